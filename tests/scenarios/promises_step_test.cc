// P2, for a whole replica: wherever between two instructions a primary is killed, a follower has
// seen nothing torn. A standby that takes over then has every acknowledged command, and none that
// was never submitted.
//
// The primary goes on by single instructions, and the parent looks at the journal after each. Now
// and then the parent takes a copy of the journal over, as a standby would if the primary were
// killed just there.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/clock.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/replica.h"
#include "tests/support/checked_payload.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_clock.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stepped_process.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

constexpr size_t kLongest = 72;          // so that the smallest segment takes some 170
constexpr uint64_t kFirstStepped = 155;  // not long before the next segment begins
constexpr uint64_t kCommands = 190;
constexpr uint64_t kTakeOverEvery = 5'003;  // instructions; a prime, so that loops don't meet it at one place

std::string CommandAt(uint64_t number) {
  std::string text;
  for (const uint8_t byte : CheckedPayload(number, kLongest)) text.push_back(static_cast<char>(' ' + byte % 64));
  return text;
}

ReplicaOptions OptionsFor(const std::string& directory) {
  ReplicaOptions options;
  options.directory = directory;
  options.segment_bytes = kCapacityMin;
  options.threads = false;
  options.checks.decode = false;  // as in a release; each instruction costs a look
  return options;
}

std::unique_ptr<TapeReplica> OpenPolled(const std::string& directory) {
  auto replica = TapeReplica::Open(OptionsFor(directory));
  EXPECT_THAT(replica, IsOk());
  if (!replica.ok()) return nullptr;
  for (int polls = 0; polls < 1000 && (*replica)->role() == Role::kFollower; ++polls) (*replica)->Poll().IgnoreError();
  EXPECT_EQ((*replica)->role(), Role::kPrimary) << (*replica)->status();
  return *std::move(replica);
}

class PromiseP2StepTest : public testing::Test {
 protected:
  // Returns true if a follower sees just what it may at this moment.
  bool Look(JournalReader& follower, const SharedWords& words) {
    while (const std::optional<Frame> frame = follower.Next()) {
      if (frame->kind() != FrameKind::kCommand) continue;
      EXPECT_EQ(AsText(frame->payload), CommandAt(found_));
      ++found_;
    }
    EXPECT_THAT(follower.status(), IsOk());
    EXPECT_GE(found_, words.Get(0)) << "an acknowledged command is not there";
    EXPECT_LE(found_, words.Get(0) + 1) << "a command that was not submitted";
    return !HasFailure();
  }

  // Returns true if a standby would take over with just that if the primary were killed now.
  bool TakeOver(const SharedWords& words) {
    const TempDir copy = TempDir::InMemory();
    const std::string directory = copy.File("journal");
    std::filesystem::copy(directory_, directory, std::filesystem::copy_options::recursive);
    const auto replica = OpenPolled(directory);
    if (replica == nullptr) return false;
    const std::vector<std::string> commands = CommandsOf(*replica);
    EXPECT_GE(commands.size(), words.Get(0));
    EXPECT_LE(commands.size(), words.Get(0) + 1);
    for (uint64_t i = 0; i < commands.size(); ++i) EXPECT_EQ(commands[i], CommandAt(i));
    ++takeovers_;
    return !HasFailure();
  }

  size_t CountSegments() const { return JournalLayout(directory_).ListSegments(FileSystem::Posix()).value().size(); }

  const TempDir dir_ = TempDir::InMemory();
  const std::string directory_ = dir_.File("journal");
  uint64_t found_ = 0;
  uint64_t takeovers_ = 0;
};

TEST_F(PromiseP2StepTest, APrimaryKilledAtAnyInstructionLosesNothing) {
  // There is something to take over.
  ASSERT_THAT(OpenPolled(directory_)->Execute(CommandAt(0)), IsOk());
  SharedWords words(1);  // how many commands are acknowledged
  words.Set(0, 1);
  std::vector<std::string> commands;
  for (uint64_t i = 0; i < kCommands; ++i) commands.push_back(CommandAt(i));
  SteppedProcess child([&] {
    ReplicaOptions options = OptionsFor(directory_);
    // The machine's clock is read in a loop that ends only if it is through before the next tick.
    const FakeClock clock(Clock::System().RealtimeNanos());
    options.clock = &clock;
    auto replica = TapeReplica::Open(std::move(options)).value();
    while (replica->role() == Role::kFollower) replica->Poll().IgnoreError();
    for (uint64_t i = 1; i < kCommands; ++i) {
      if (i == kFirstStepped) SteppedProcess::Begin();
      if (!replica->Execute(commands[i]).ok()) return 1;
      words.Set(0, i + 1);
    }
    return replica->StepDown(Successor::kAnybody).ok() ? 0 : 2;
  });
  if (!child.can_step()) GTEST_SKIP() << "ptrace is forbidden here";
  auto follower = ReadJournal(FileSystem::Posix(), JournalLayout(directory_));
  ASSERT_THAT(follower, IsOk());
  const size_t segments = CountSegments();
  uint64_t instructions = 0;
  do {
    if (!Look(*follower, words)) break;
    if (instructions % kTakeOverEvery == 0 && !TakeOver(words)) break;
    ++instructions;
  } while (child.Step());
  ASSERT_FALSE(HasFailure()) << "at instruction " << instructions << ", " << words.Get(0) << " acknowledged";
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(found_, kCommands);
  EXPECT_GT(CountSegments(), segments);                        // it rolled
  EXPECT_GT(instructions, 500 * (kCommands - kFirstStepped));  // fewer would mean that it did not step
  std::printf("%llu instructions, each a place to die; %llu takeovers\n", static_cast<unsigned long long>(instructions),
              static_cast<unsigned long long>(takeovers_));
}

}  // namespace
}  // namespace kekbit
