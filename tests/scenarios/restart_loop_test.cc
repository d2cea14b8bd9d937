// P10: a service that is started again and again fills no disk. Each start takes what its few frames need, and what
// readers have mapped stays readable on a full disk. On real file systems of 400 MB; skipped visibly without root.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/replica.h"
#include "tests/support/child_process.h"
#include "tests/support/mounted_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using TapeReplica = Replica<Tape, TextCodec>;

constexpr int kStarts = 20;

// The default segments, of which six fill this disk.
absl::StatusOr<std::unique_ptr<TapeReplica>> Start(const std::string& directory, bool may_lead = true) {
  ReplicaOptions options;
  options.directory = directory;
  options.may_lead = may_lead;
  return TapeReplica::Open(options);
}

// Leads, executes one command, and ends in this or that way. 0: all went well.
int Live(const std::string& directory, bool killed) {
  ChildProcess service([&] {
    auto replica = Start(directory);
    if (!replica.ok() || !(*replica)->WaitForRole(Role::kPrimary, absl::Minutes(10))) return 1;
    if (!(*replica)->Execute("x").ok()) return 2;
    if (killed) ::_exit(0);  // nothing is closed
    return 0;
  });
  return service.Wait();
}

// Every byte of every segment, by mappings that were made before the disk was full.
class EverySegment final {
 public:
  explicit EverySegment(const std::string& directory) {
    const JournalLayout layout(directory);
    FileSystem& fs = FileSystem::Posix();
    const std::vector<SegmentNumber> numbers = layout.ListSegments(fs).value();
    for (const SegmentNumber number : numbers) {
      const std::unique_ptr<File> file = fs.Open(layout.segment(number), Access::kRead).value();
      allocated_ += file->Info()->allocated;
      mappings_.push_back(file->Map(Access::kRead, file->Info()->size).value());
    }
  }

  uint64_t allocated() const { return allocated_; }
  uint64_t Sum() const {
    uint64_t sum = 0;
    for (const auto& mapping : mappings_) {
      for (const uint8_t byte : mapping->bytes()) sum += byte;
    }
    return sum;
  }

 private:
  std::vector<std::unique_ptr<MappedFile>> mappings_;
  uint64_t allocated_ = 0;
};

void FillDisk(const std::string& ballast) {
  std::FILE* const file = std::fopen(ballast.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  const std::string bytes(1 << 20, 'b');
  while (std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size()) {
  }
  std::fclose(file);
}

// Leads until then, for a minute at most.
bool LeadUntil(const std::string& directory, const std::function<bool()>& done) {
  const auto replica = Start(directory);
  if (!replica.ok() || !(*replica)->WaitForRole(Role::kPrimary, absl::Minutes(1))) return false;
  for (const absl::Time end = absl::Now() + absl::Minutes(1); absl::Now() < end;) {
    if (done()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

class RestartLoopTest : public testing::TestWithParam<const char*> {};

TEST_P(RestartLoopTest, EveryStartLeads) {
  const TempDir dir;
  const bool holes = std::string(GetParam()) != "tmpfs";
  ChildProcess child([&] {
    const MountedDisk disk(GetParam(), dir.path());
    if (!disk.ok()) return MountedDisk::kSkipped;
    const std::string directory = disk.path() + "/journal";
    for (int i = 0; i < kStarts; ++i) EXPECT_EQ(Live(directory, i % 2 == 0), 0) << i;
    // Its own segment, and its predecessor's, are whole.
    const uint64_t limit = kStarts * (holes ? 64 << 10 : (1 << 20) + (64 << 10)) + (2 << 20);
    // A start that ends at once may give nothing back. The next one that lives for a moment does.
    EXPECT_TRUE(LeadUntil(directory, [&] { return EverySegment(directory).allocated() <= limit; }));
    {
      const EverySegment segments(directory);
      FillDisk(disk.path() + "/ballast");
      EXPECT_NE(segments.Sum(), 0u);
      const auto follower = Start(directory, /*may_lead=*/false);
      EXPECT_THAT(follower, IsOk());
      if (follower.ok()) {
        EXPECT_EQ((*follower)->Read([](const Tape& tape) { return tape.commands.size(); }), size_t{kStarts});
      }
    }
    ::unlink((disk.path() + "/ballast").c_str());
    EXPECT_EQ(Live(directory, false), 0);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  const int end = child.Wait();
  if (end == MountedDisk::kSkipped) GTEST_SKIP() << "no " << GetParam() << " can be mounted here";
  EXPECT_EQ(end, 0);
}

INSTANTIATE_TEST_SUITE_P(FileSystems, RestartLoopTest, testing::Values("ext4", "xfs", "tmpfs"));

}  // namespace
}  // namespace kekbit
