// A sync of a few commands writes these to the disk, and not what stands beside them in the page cache. On a file
// system in a file, whose device counts what is written to it; that takes root. Skipped visibly otherwise.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

constexpr int kSkipped = 77;
constexpr int kSyncs = 1000;
constexpr size_t kBytes = 3000;

// A page or two of each sync, and what the file system writes of its own; joined pages would be 2 MiB.
constexpr uint64_t kMost = uint64_t{kSyncs} * (48 << 10);

bool Run(const std::string& command) {
  // NOLINTNEXTLINE(cert-env33-c): no input of anybody's is in it
  return std::system(absl::StrCat(command, " >/dev/null 2>&1").c_str()) == 0;
}

// A file system of its own, seen by this process alone, on a device that reads 2 MiB ahead, as disks do.
class CountedDisk final {
 public:
  CountedDisk(const std::string& type, const std::string& directory) {
    const std::string image = absl::StrCat(directory, "/image");
    path_ = absl::StrCat(directory, "/disk");
    if (::unshare(CLONE_NEWNS) != 0) return;
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    const bool mounted =
        Run(absl::StrCat("mkdir ", path_, " && truncate -s 400M ", image, " && PATH=$PATH:/sbin:/usr/sbin mkfs.", type,
                         " -q ", image, " && mount -o loop ", image, " ", path_));
    if (!mounted) return;
    if (!Run(absl::StrCat("findmnt -no SOURCE ", path_, " | sed s,/dev/,, > ", directory, "/device && test -s ",
                          directory, "/device")))
      return;
    std::ifstream(absl::StrCat(directory, "/device")) >> device_;
    std::ofstream(absl::StrCat("/sys/block/", device_, "/queue/read_ahead_kb")) << "2048";
  }
  ~CountedDisk() {
    if (!device_.empty()) ::umount2(path_.c_str(), MNT_DETACH);
  }
  CountedDisk(const CountedDisk&) = delete;
  CountedDisk& operator=(const CountedDisk&) = delete;

  bool ok() const { return !device_.empty(); }
  const std::string& path() const { return path_; }

  // That were written to the device so far.
  uint64_t written() const {
    std::ifstream stat(absl::StrCat("/sys/block/", device_, "/stat"));
    uint64_t value = 0;
    constexpr int kSectorsWritten = 7;
    for (int i = 0; i < kSectorsWritten; ++i) stat >> value;
    return value * 512;
  }

 private:
  std::string path_;
  std::string device_;
};

// Runs `use(directory)`, which calls its second argument when it begins to sync; returns how it ended.
template <typename Use>
void ExpectLittle(const std::string& type, Use use) {
  const TempDir dir;
  ChildProcess child([&] {
    const CountedDisk disk(type, dir.path());
    if (!disk.ok()) return kSkipped;
    uint64_t before = 0;
    use(disk.path(), [&] { before = disk.written(); });
    const uint64_t written = disk.written() - before;
    std::printf("%s: %d syncs of %zu bytes each wrote %.1f KiB each\n", type.c_str(), kSyncs, kBytes,
                static_cast<double>(written) / 1024 / kSyncs);
    EXPECT_LE(written, kMost);
    EXPECT_GE(written, uint64_t{kSyncs} * kBytes);  // the device does count
    std::fflush(stdout);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  const int end = child.Wait();
  if (end == kSkipped) GTEST_SKIP() << "no " << type << " can be mounted from a file here";
  EXPECT_EQ(end, 0);
}

class SyncBytesTest : public testing::TestWithParam<const char*> {};

TEST_P(SyncBytesTest, OfASyncedReplica) {
  ExpectLittle(GetParam(), [](const std::string& directory, const auto& begin) {
    ReplicaOptions options;
    options.directory = directory + "/journal";
    options.ack = Ack::kSynced;
    options.segment_bytes = 16 << 20;
    auto replica = Replica<Tape, TextCodec>::Open(options);
    ASSERT_THAT(replica, IsOk());
    ASSERT_TRUE((*replica)->WaitForRole(Role::kPrimary, absl::Minutes(30)));
    const std::string command(kBytes, 'x');
    // Some way into a segment.
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT((*replica)->Submit(command), IsOk());
    ASSERT_THAT((*replica)->Execute(command), IsOk());
    begin();
    for (int i = 0; i < kSyncs; ++i) ASSERT_THAT((*replica)->Execute(command), IsOk());
  });
}

TEST_P(SyncBytesTest, OfAChannelThatIsFlushedOften) {
  ExpectLittle(GetParam(), [](const std::string& directory, const auto& begin) {
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
