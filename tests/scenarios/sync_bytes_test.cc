// A sync of a few commands writes these to the disk, and not what stands beside them in the page cache. On a file
// system in a file, whose device counts what is written to it; that takes root. Skipped visibly otherwise.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/file_bytes.h"
#include "tests/support/mounted_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

constexpr int kSyncs = 1000;
constexpr size_t kBytes = 3000;

// Runs `use(directory)`, which calls its second argument when it begins to sync, and expects a sync to write at most
// that in the mean: a page or two, and what the file system writes of its own. Joined pages may be 2 MiB.
template <typename Use>
void ExpectLittle(const std::string& type, uint64_t most_of_each, Use use) {
  const TempDir dir;
  ChildProcess child([&] {
    const MountedDisk disk(type, dir.path());
    if (!disk.ok()) return MountedDisk::kSkipped;
    disk.SetReadAhead(2048);
    uint64_t before = 0;
    use(disk.path(), [&] { before = disk.written(); });
    const uint64_t written = disk.written() - before;
    std::printf("%s: %d syncs of %zu bytes each wrote %.1f KiB each\n", type.c_str(), kSyncs, kBytes,
                static_cast<double>(written) / 1024 / kSyncs);
    EXPECT_LE(written, uint64_t{kSyncs} * most_of_each);
    EXPECT_GE(written, uint64_t{kSyncs} * kBytes);  // the device does count
    std::fflush(stdout);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  const int end = child.Wait();
  if (end == MountedDisk::kSkipped) GTEST_SKIP() << "no " << type << " can be mounted from a file here";
  EXPECT_EQ(end, 0);
}

class SyncBytesTest : public testing::TestWithParam<const char*> {};

// 7 KiB, which are the pages alone; joined by read-ahead, 14 and more.
TEST_P(SyncBytesTest, OfASyncedReplica) {
  ExpectLittle(GetParam(), 10 << 10, [](const std::string& directory, const auto& begin) {
    ReplicaOptions options;
    options.directory = directory + "/journal";
    options.ack = Ack::kSynced;
    options.segment_bytes = 16 << 20;
    auto replica = Replica<Tape, TextCodec>::Open(options);
    ASSERT_THAT(replica, IsOk());
    ASSERT_TRUE((*replica)->WaitForRole(Role::kPrimary, absl::Minutes(3)));
    const std::string command(kBytes, 'x');
    // Some way into the first segment of full length, which stood ready, and not up to where the next one is made: the
    // zeros that are written to make one are more than all the syncs write.
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT((*replica)->Submit(command), IsOk());
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT((*replica)->Execute(command), IsOk());
    begin();
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT((*replica)->Execute(command), IsOk());
  });
}

// 8 to 12 KiB; joined, 48.
TEST_P(SyncBytesTest, OfAChannelThatIsFlushedOften) {
  ExpectLittle(GetParam(), 24 << 10, [](const std::string& directory, const auto& begin) {
    const auto header = Header::Make({.channel_id = 1, .capacity = 16 << 20, .max_msg_len = kBytes});
    ASSERT_THAT(header, IsOk());
    auto writer = ShmWriter::Create(directory, *header, {.flush_on_close = false, .flushes_often = true});
    ASSERT_THAT(writer, IsOk());
    const std::string record(kBytes, 'x');
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT(writer->Write(AsBytes(record)), IsOk());
    ASSERT_THAT(writer->Flush(), IsOk());
    begin();
    for (int i = 0; i < kSyncs; ++i) {
      ASSERT_THAT(writer->Write(AsBytes(record)), IsOk());
      ASSERT_THAT(writer->Flush(), IsOk());
    }
  });
}

INSTANTIATE_TEST_SUITE_P(FileSystems, SyncBytesTest, testing::Values("ext4", "xfs"));

}  // namespace
}  // namespace kekbit
