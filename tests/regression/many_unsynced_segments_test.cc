// With more unsynced segments than a process may have descriptors (ulimit -n), nobody could become primary, for ever.
//
// KEKBIT_SEGMENTS: how many there are; some thousand.

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/apply_context.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/replica.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

constexpr uint64_t kDescriptors = 64;
constexpr size_t kCommandBytes = 80;

struct Counter {
  using Command = std::string;
  using Result = uint64_t;
  Result Apply(const Command& /*command*/, const ApplyContext& /*context*/) { return ++commands; }
  uint64_t commands = 0;
};
using CounterReplica = Replica<Counter, TextCodec>;

uint64_t SegmentsWanted(uint64_t usual) {
  const char* const text = std::getenv("KEKBIT_SEGMENTS");
  uint64_t count = 0;
  return text != nullptr && absl::SimpleAtoi(text, &count) ? count : usual;
}

ReplicaOptions OptionsFor(const std::string& directory, bool threads) {
  ReplicaOptions options;
  options.directory = directory;
  options.segment_bytes = 16 << 10;
  options.threads = threads;
  options.free_bytes_min = 0;
  return options;
}

// Does what `body` does in a process of its own, and says how long that took.
template <typename Body>
int InAProcess(const char* what, Body body) {
  const absl::Time begin = absl::Now();
  ChildProcess child(body);
  const int status = child.Wait();
  std::printf("%s: %s\n", what, absl::FormatDuration(absl::Now() - begin).c_str());
  return status;
}

void LimitDescriptors() {
  const rlimit limit = {.rlim_cur = kDescriptors, .rlim_max = kDescriptors};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) std::abort();
}

int Fail(const absl::Status& status) {
  std::printf("%s\n", status.ToString().c_str());
  return 1;
}

// A primary that is killed with all of its segments not synced.
int MakeJournal(const std::string& directory, uint64_t segments) {
  auto primary = CounterReplica::Open(OptionsFor(directory, false));
  if (!primary.ok()) return Fail(primary.status());
  while ((*primary)->role() != Role::kPrimary) (*primary)->Poll().IgnoreError();
  const std::string command(kCommandBytes, 'x');
  const std::string last = JournalLayout(directory).segment(segments);
  const uint64_t at_once = 50;
  while (!FileSystem::Posix().Info(last).ok()) {
    for (uint64_t i = 0; i < at_once; ++i) {
      if (const auto done = (*primary)->Submit(command); !done.ok()) return Fail(done.status());
    }
  }
  ::_exit(0);
}

// One that takes over, with threads, and syncs everything.
int TakeOver(const std::string& directory) {
  LimitDescriptors();
  ReplicaOptions options = OptionsFor(directory, true);
  options.ack = Ack::kSynced;
  auto replica = CounterReplica::Open(options);
  if (!replica.ok()) return Fail(replica.status());
  if (!(*replica)->WaitForRole(Role::kPrimary, absl::Minutes(5))) return Fail((*replica)->status());
  const auto done = (*replica)->Execute("one more");
  if (!done.ok()) return Fail(done.status());
  return 0;
}

int VerifyIt(const std::string& directory) {
  LimitDescriptors();
  Output output;
  const auto sound = Verify({.path = directory}, output);
  if (!sound.ok()) return Fail(sound.status());
  return *sound ? 0 : 2;
}

int RepairIt(const std::string& directory) {
  LimitDescriptors();
  Output output;
  const auto repaired = Repair({.path = directory, .apply = true}, output);
  if (!repaired.ok()) return Fail(repaired.status());
  return *repaired ? 0 : 2;
}

// As after a power failure that took the frames of the last segment.
void TearTail(const std::string& directory, SegmentNumber last) {
  const JournalLayout layout(directory);
  std::string mark = ReadFileBytes(layout.synced());
  const uint64_t other_boot = 1;
  std::memcpy(mark.data() + 3 * sizeof other_boot, &other_boot, sizeof other_boot);
  WriteFileBytes(layout.synced(), mark);
  std::string segment = ReadFileBytes(layout.segment(last));
  segment[kDataOffset + 60] = static_cast<char>(segment[kDataOffset + 60] ^ 1);
  WriteFileBytes(layout.segment(last), segment);
}

SegmentNumber LastOf(const std::string& directory) {
  return JournalLayout(directory).ListSegments(FileSystem::Posix()).value().back();
}

TEST(ManyUnsyncedSegmentsTest, AreTakenOverVerifiedAndRepairedWithFewDescriptors) {
  const TempDir dir = TempDir::InMemory();
  const std::string killed = JoinPath(dir.path(), "killed");
  ASSERT_EQ(InAProcess("written", [&] { return MakeJournal(killed, SegmentsWanted(1'000)); }), 0);
  const std::string torn = JoinPath(dir.path(), "torn");
  std::filesystem::copy(killed, torn, std::filesystem::copy_options::recursive);
  TearTail(torn, LastOf(torn));

  EXPECT_EQ(InAProcess("verified", [&] { return VerifyIt(killed); }), 0);
  EXPECT_EQ(InAProcess("taken over", [&] { return TakeOver(killed); }), 0);
  EXPECT_EQ(InAProcess("verified", [&] { return VerifyIt(killed); }), 0);

  EXPECT_EQ(InAProcess("verified", [&] { return VerifyIt(torn); }), 2);  // it has a torn tail
  EXPECT_EQ(InAProcess("repaired", [&] { return RepairIt(torn); }), 0);
  EXPECT_EQ(SyncMark::OpenForReading(FileSystem::Posix(), JournalLayout(torn).synced()).value().unfinished(),
            std::nullopt);
  EXPECT_EQ(InAProcess("verified", [&] { return VerifyIt(torn); }), 0);
  EXPECT_EQ(InAProcess("taken over", [&] { return TakeOver(torn); }), 0);
}

// Recovery as a replica does it, of a torn tail, too.
TEST(ManyUnsyncedSegmentsTest, ATornTailIsRecoveredWithFewDescriptors) {
  const TempDir dir = TempDir::InMemory();
  ASSERT_EQ(InAProcess("written", [&] { return MakeJournal(dir.path(), 300); }), 0);
  TearTail(dir.path(), LastOf(dir.path()));
  EXPECT_EQ(InAProcess("taken over", [&] { return TakeOver(dir.path()); }), 0);
}

// As with a vm.max_map_count that is nearly used up.
TEST(ManyUnsyncedSegmentsTest, AreTakenOverAndSyncedWithFewMappings) {
  for (const Ack ack : {Ack::kPublished, Ack::kSynced}) {
    const TempDir dir = TempDir::InMemory();
    ASSERT_EQ(InAProcess("written", [&] { return MakeJournal(dir.path(), 300); }), 0);
    FaultyFileSystem fs;
    fs.LimitMappings(50);
    fs.LimitFiles(20);
    ReplicaOptions options = OptionsFor(dir.path(), false);
    options.file_system = &fs;
    options.ack = ack;
    auto replica = CounterReplica::Open(options);
    ASSERT_THAT(replica, IsOk());
    for (int i = 0; i < 100 && (*replica)->role() != Role::kPrimary; ++i) (*replica)->Poll().IgnoreError();
    ASSERT_EQ((*replica)->role(), Role::kPrimary) << (*replica)->status();
    // It writes faster than it syncs.
    while (!fs.Info(JournalLayout(dir.path()).segment(500)).ok()) {
      ASSERT_THAT((*replica)->Submit(std::string(kCommandBytes, 'x')), IsOk());
    }
    EXPECT_THAT((*replica)->Execute("one more", Ack::kSynced), IsOk());
    Output output;
    replica->reset();
    EXPECT_THAT(Verify({.file_system = &fs, .path = dir.path()}, output), IsOkAndHolds(true));
  }
}

}  // namespace
}  // namespace kekbit
