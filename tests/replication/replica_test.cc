// Replica<State> in one process: with threads of its own, and by Poll() alone.

#include "kekbit/replication/replica.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST_F(ReplicaTest, ThePrimaryExecutes) {
  const auto replica = OpenPrimary();
  KB_ASSERT_OK_AND_ASSIGN(const TapeReplica::Executed first, replica->Execute("one"));
  EXPECT_EQ(first.position, (Position{.epoch = 1, .seq = 2}));
  EXPECT_THAT(first.result, IsOkAndHolds(1u));
  KB_ASSERT_OK_AND_ASSIGN(const TapeReplica::Executed second, replica->Submit("two"));
  EXPECT_EQ(second.position, (Position{.epoch = 1, .seq = 3}));
  EXPECT_THAT(second.result, IsOkAndHolds(2u));
  EXPECT_THAT(replica->WaitFor(second.position, Ack::kPublished, absl::ZeroDuration()), IsOk());
  EXPECT_EQ(replica->applied(), second.position);
  EXPECT_THAT(CommandsOf(*replica), ElementsAre("one", "two"));
  EXPECT_THAT(replica->status(), IsOk());
}

TEST_F(ReplicaTest, AnErrorOfTheStateIsAResultLikeAnyOther) {
  auto replica = OpenPrimary();
  KB_ASSERT_OK_AND_ASSIGN(const TapeReplica::Executed executed, replica->Execute("bad one"));
  EXPECT_THAT(executed.result, StatusIs(absl::StatusCode::kInvalidArgument, "a bad command"));
  EXPECT_EQ(executed.position.seq, 2u);
  EXPECT_THAT(replica->Execute("good"), IsOk());
  EXPECT_EQ(replica->role(), Role::kPrimary);
  // The command is in the journal, and found again.
  const auto follower = Open(Polled());
  EXPECT_THAT(CommandsOf(*follower), ElementsAre("good"));
  EXPECT_EQ(follower->Read([](const Tape& tape) { return tape.positions.size(); }), 2u);
}

TEST_F(ReplicaTest, AFollowerAppliesAndTakesNoCommands) {
  const auto primary = OpenPrimary();
  const auto follower = Open(Options());
  Position position;
  for (int i = 0; i < 3000; ++i) {
    KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute(absl::StrCat("command ", i)));
    position = executed.position;
  }
  EXPECT_THAT(follower->ReadAt(position, kLong, [](const Tape& tape) { return tape.commands.size(); }),
              IsOkAndHolds(3000u));
  EXPECT_EQ(CommandsOf(*follower), CommandsOf(*primary));
  EXPECT_EQ(follower->applied(), position);
  EXPECT_EQ(follower->role(), Role::kFollower);
  for (const auto& refused : {follower->Execute("no"), follower->Submit("no")}) {
    EXPECT_THAT(refused,
                StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr(dir_.path()), HasSubstr("follower"))));
  }
  ++position.seq;
  EXPECT_THAT(follower->ReadAt(position, absl::Milliseconds(1), [](const Tape&) { return 0; }),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not applied in time")));
  EXPECT_FALSE(follower->WaitForRole(Role::kPrimary, absl::Milliseconds(1)));
}

TEST_F(ReplicaTest, RestartedItReplaysEverything) {
  std::vector<std::string> commands;
  for (Epoch epoch = 1; epoch <= 4; ++epoch) {
    const auto replica = OpenPrimary();
    EXPECT_EQ(replica->applied().epoch, epoch);
    EXPECT_EQ(CommandsOf(*replica), commands);
    for (int i = 0; i < 1500; ++i) {
      commands.push_back(absl::StrCat("epoch ", epoch, " ", i));
      ASSERT_THAT(replica->Execute(commands.back()), IsOk());
    }
  }
  EXPECT_EQ(CommandsOf(*Open(Polled())), commands);
}

TEST_F(ReplicaTest, TheInitialStateIsTheUsers) {
  Tape initial;
  initial.commands = {"from before"};
  KB_ASSERT_OK_AND_ASSIGN(const auto replica, TapeReplica::Open(Options(), initial));
  ASSERT_TRUE(replica->WaitForRole(Role::kPrimary, kLong));
  ASSERT_THAT(replica->Execute("next"), IsOk());
  EXPECT_THAT(CommandsOf(*replica), ElementsAre("from before", "next"));
}

TEST_F(ReplicaTest, AFollowerTakesOverFromAPrimaryThatIsDestroyed) {
  auto primary = OpenPrimary();
  ASSERT_THAT(primary->Execute("one"), IsOk());
  const auto follower = Open(Options());
  ASSERT_THAT(primary->Execute("two"), IsOk());
  primary.reset();
  ASSERT_TRUE(follower->WaitForRole(Role::kPrimary, kLong));
  EXPECT_EQ(follower->applied(), (Position{.epoch = 2, .seq = 4}));
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, follower->Execute("three"));
  EXPECT_EQ(executed.position, (Position{.epoch = 2, .seq = 5}));
  EXPECT_THAT(CommandsOf(*follower), ElementsAre("one", "two", "three"));
}

TEST_F(ReplicaTest, TheLeaseGoesRoundAmongReplicasThatComeAndGo) {
  std::vector<std::string> commands;
  auto primary = OpenPrimary();
  for (int round = 0; round < 10; ++round) {
    auto standby = Open(Options());
    for (int i = 0; i < 300; ++i) {
      commands.push_back(absl::StrCat("round ", round, " ", i));
      ASSERT_THAT(primary->Execute(commands.back()), IsOk());
    }
    primary = std::move(standby);
    ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
    ASSERT_EQ(CommandsOf(*primary), commands);
  }
}

TEST_F(ReplicaTest, RoleChangesAreReportedWithTheEpoch) {
  absl::Mutex mutex;
  std::vector<std::pair<Role, Epoch>> changes;
  ReplicaOptions options = Options();
  options.on_role_change = [&](Role role, Epoch epoch) {
    absl::MutexLock lock(&mutex);
    changes.emplace_back(role, epoch);
  };
  const auto await = [&](size_t count) {
    absl::MutexLock lock(&mutex);
    const auto reached = [&] { return changes.size() >= count; };
    mutex.Await(absl::Condition(&reached));
  };
  auto first = Open(options);
  await(1);
  auto second = Open(options);
  first.reset();
  await(2);
  {
    absl::MutexLock lock(&mutex);
    EXPECT_THAT(changes, ElementsAre(Pair(Role::kPrimary, 1), Pair(Role::kPrimary, 2)));
  }
}

TEST_F(ReplicaTest, PollIsForReplicasWithoutThreads) {
  EXPECT_THAT(OpenPrimary()->Poll(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ReplicaTest, WithoutThreadsNothingHappensButInPoll) {
  const auto primary = Open(Polled());
  const auto follower = Open(Polled());
  EXPECT_EQ(primary->role(), Role::kFollower);
  ASSERT_THAT(primary->Poll(), IsOk());
  ASSERT_EQ(primary->role(), Role::kPrimary);
  std::vector<std::string> commands;
  for (int i = 0; i < 2000; ++i) {
    commands.push_back(absl::StrCat(i));
    ASSERT_THAT(primary->Execute(commands.back()), IsOk());
  }
  EXPECT_THAT(CommandsOf(*follower), IsEmpty());
  ASSERT_THAT(follower->Poll(), IsOk());
  EXPECT_EQ(CommandsOf(*follower), commands);
  EXPECT_EQ(follower->role(), Role::kFollower);
}

TEST_F(ReplicaTest, OneThatMayNotLeadOnlyReads) {
  ReplicaOptions options = Polled();
  options.may_lead = false;
  const auto reader = Open(options);
  EXPECT_THAT(PollUntil(Role::kPrimary, *reader, 10), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(reader->role(), Role::kFollower);
  auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  primary.reset();
  EXPECT_THAT(PollUntil(Role::kPrimary, *reader, 10), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(reader->role(), Role::kFollower);
  EXPECT_THAT(CommandsOf(*reader), ElementsAre("one"));
  // The replica does not keep others from the lease, with threads neither.
  options.threads = true;
  const auto threaded = Open(options);
  const auto next = OpenPrimary();
  EXPECT_EQ(threaded->role(), Role::kFollower);
}

TEST_F(ReplicaTest, AnotherCodecIsRefused) {
  const auto primary = OpenPrimary();
  const auto other = Replica<Tape, RawCodec>::Open(Polled());
  EXPECT_THAT(other, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("data format")));
}

TEST_F(ReplicaTest, ADirectoryIsNeeded) {
  EXPECT_THAT(TapeReplica::Open({}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("directory")));
}

TEST_F(ReplicaTest, SegmentsTooSmallOrTooLargeAreRefused) {
  for (const uint32_t bytes : {uint32_t{0}, uint32_t{1000}, kCapacityMin - 1, kCapacityMax + 1}) {
    ReplicaOptions options = Polled();
    options.segment_bytes = bytes;
    EXPECT_THAT(TapeReplica::Open(options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("ReplicaOptions::segment_bytes is ", bytes, ", not in 16384 to 4294967288")));
  }
  EXPECT_THAT(fs_.List(dir_.path()), IsOkAndHolds(testing::IsEmpty()));
  ReplicaOptions options = Polled();
  options.segment_bytes = kCapacityMin + 1;  // rounded up
  const auto replica = Open(options);
  ASSERT_NE(replica, nullptr);
  EXPECT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
}

TEST_F(ReplicaTest, ADamagedJournalIsRefused) {
  {
    const auto primary = OpenPrimary();
    for (int i = 0; i < 3000; ++i) ASSERT_THAT(primary->Execute(absl::StrCat("command ", i)), IsOk());
  }
  const std::string path = JournalLayout(dir_.path()).segment(2);
  std::string bytes = ReadFileBytes(path);
  bytes[5000] = static_cast<char>(bytes[5000] ^ 1);
  WriteFileBytes(path, bytes);
  EXPECT_THAT(TapeReplica::Open(Options()),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path), HasSubstr("at offset"))));
  bytes[5000] = static_cast<char>(bytes[5000] ^ 1);
  WriteFileBytes(path, bytes);
  EXPECT_EQ(CommandsOf(*OpenPrimary()).size(), 3000u);
}

// A length that was zeroed in the middle looks like the end of the journal, except for the later
// segments. A takeover used to seal that place before it saw them.
TEST_F(ReplicaTest, ATakeoverSealsNothingOverLostFrames) {
  {
    const auto primary = OpenPrimary();
    for (int i = 0; i < 3000; ++i) ASSERT_THAT(primary->Execute(absl::StrCat("command ", i)), IsOk());
  }
  const std::string path = JournalLayout(dir_.path()).segment(2);
  std::string bytes = ReadFileBytes(path);
  const std::string whole = bytes;
  bytes.replace(kDataOffset, kLengthBytes, kLengthBytes, '\0');
  WriteFileBytes(path, bytes);
  {
    const auto replica = Open(Options());
    EXPECT_FALSE(replica->WaitForRole(Role::kPrimary, kLong));
    EXPECT_THAT(replica->status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("seq 1024 is damaged")));
  }
  EXPECT_EQ(ReadFileBytes(path), bytes);
  WriteFileBytes(path, whole);
  EXPECT_EQ(CommandsOf(*OpenPrimary()).size(), 3000u);
}

TEST_F(ReplicaTest, ASegmentUnderAnothersNameIsRefused) {
  {
    const auto primary = OpenPrimary();
    for (int i = 0; i < 3000; ++i) ASSERT_THAT(primary->Execute(absl::StrCat("command ", i)), IsOk());
  }
  const JournalLayout layout(dir_.path());
  WriteFileBytes(layout.segment(2), ReadFileBytes(layout.segment(3)));
  EXPECT_THAT(TapeReplica::Open(Options()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("this is segment 3, not 2")));
}

TEST_F(ReplicaTest, AJournalWithoutItsBeginningIsRefused) {
  {
    const auto primary = OpenPrimary();
    for (int i = 0; i < 3000; ++i) ASSERT_THAT(primary->Execute(absl::StrCat("command ", i)), IsOk());
  }
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).segment(1)), IsOk());
  EXPECT_THAT(TapeReplica::Open(Options()),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("seq 1 is no longer kept")));
}

TEST_F(ReplicaTest, ATooLongCommandIsRefusedAndWorkGoesOn) {
  const auto primary = OpenPrimary();
  EXPECT_THAT(primary->Execute(std::string(600, 'x')), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(primary->role(), Role::kPrimary);
  EXPECT_EQ(primary->applied().seq, 1u);
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute("fits"));
  EXPECT_EQ(executed.position.seq, 2u);
  EXPECT_THAT(CommandsOf(*Open(Polled())), ElementsAre("fits"));
}

TEST_F(ReplicaTest, ATakeoverWhileTheDiskIsFullSucceedsLater) {
  auto primary = Open(Polled());
  const auto standby = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  fs_.FailCalls("Allocate", absl::ResourceExhaustedError("planted"));
  primary.reset();
  EXPECT_THAT(PollUntil(Role::kPrimary, *standby, 10),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  EXPECT_EQ(standby->role(), Role::kFollower);
  EXPECT_THAT(CommandsOf(*standby), ElementsAre("one"));
  fs_.Heal();
  EXPECT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
  EXPECT_THAT(standby->status(), IsOk());
  EXPECT_THAT(standby->Execute("two"), IsOk());
  EXPECT_THAT(CommandsOf(*Open(Polled())), ElementsAre("one", "two"));
}

TEST_F(ReplicaTest, TimeDoesNotGoBackEvenIfTheClockDoes) {
  const int64_t start = clock_.RealtimeNanos();
  for (const int64_t jump : {int64_t{0}, -3600 * kSecondNs}) {
    clock_.SetRealtime(start + jump);
    auto primary = Open(Polled());
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    for (const int64_t second : {100, 50, 200, 0}) {
      clock_.SetRealtime(start + jump + second * kSecondNs);
      ASSERT_THAT(primary->Execute("x"), IsOk());
    }
  }
  const std::vector<int64_t> times = Open(Polled())->Read([](const Tape& tape) { return tape.times; });
  ASSERT_EQ(times.size(), 8u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_EQ(times.front(), start + 100 * kSecondNs);
  // The time goes on by what went by: a second for each poll.
  EXPECT_GE(times.back(), start + 200 * kSecondNs);
  EXPECT_LE(times.back(), start + 205 * kSecondNs);
}

TEST_F(ReplicaTest, ManyThreadsExecuteAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  const auto primary = OpenPrimary();
  const auto follower = Open(Options());
  std::vector<std::vector<std::pair<Seq, std::string>>> done(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string command = absl::StrCat("thread ", t, " ", i);
        const auto executed = primary->Execute(command);
        if (!executed.ok() || executed->result.value_or(0) + 1 != executed->position.seq) return;
        done[static_cast<size_t>(t)].emplace_back(executed->position.seq, command);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::pair<Seq, std::string>> all;
  for (const auto& one : done) {
    EXPECT_TRUE(std::is_sorted(one.begin(), one.end()));
    all.insert(all.end(), one.begin(), one.end());
  }
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), static_cast<size_t>(kThreads * kEach));
  std::vector<std::string> commands;
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].first, i + 2);
    commands.push_back(all[i].second);
  }
  EXPECT_EQ(CommandsOf(*primary), commands);
  EXPECT_THAT(follower->ReadAt(primary->applied(), kLong, [](const Tape& tape) { return tape.commands; }),
              IsOkAndHolds(commands));
}

TEST_F(ReplicaTest, AFollowerThatStartsUnderFullLoadComesToTheSameState) {
  const auto primary = OpenPrimary();
  std::atomic<bool> stop = false;
  std::thread load([&] {
    for (int i = 0; !stop; ++i) ASSERT_THAT(primary->Execute(absl::StrCat("command ", i)), IsOk());
  });
  std::vector<std::unique_ptr<TapeReplica>> followers;
  for (const Wait wait : {Wait::kSleep, Wait::kSpin, Wait::kSleep}) {
    ReplicaOptions options = Options();
    options.wait = wait;
    followers.push_back(Open(options));
    // The follower is under way: it has applied something that came after its Open().
    Position later = primary->applied();
    later.seq += 1000;
    EXPECT_THAT(followers.back()->ReadAt(later, kLong, [](const Tape&) { return true; }), IsOk());
  }
  stop = true;
  load.join();
  const std::vector<std::string> commands = CommandsOf(*primary);
  for (const auto& follower : followers) {
    EXPECT_TRUE(follower->ReadAt(primary->applied(), kLong, [&](const Tape& tape) { return tape.commands == commands; })
                    .value_or(false));
  }
}

TEST_F(ReplicaTest, ReadersMayReadWhileCommandsAreApplied) {
  const auto primary = OpenPrimary();
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    uint64_t last = 0;
    while (!stop) {
      const uint64_t now = primary->Read([](const Tape& tape) { return tape.commands.size(); });
      ASSERT_GE(now, last);
      last = now;
    }
  });
  for (int i = 0; i < 3000; ++i) ASSERT_THAT(primary->Execute("x"), IsOk());
  stop = true;
  reader.join();
}

TEST_F(ReplicaTest, AStoppedReplicaLeavesTheLeaseToTheOthers) {
  auto primary = OpenPrimary();
  // Nobody can tell who holds the lease: who wants it asks every 5 ms.
  WriteFileBytes(JournalLayout(dir_.path()).lease(), "");
  const auto strict = Open<StrictReplica>(Options());
  ASSERT_THAT(primary->Execute(kNoUtf8), IsOk());
  ASSERT_TRUE(strict->WaitForRole(Role::kStopped, kLong));
  EXPECT_THAT(strict->status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         AllOf(HasSubstr(dir_.path()), HasSubstr("seq 2"), HasSubstr("UTF-8"))));
  primary.reset();
  // This is time enough for the stopped replica to do what it must not do; a primary by then would
  // only hide that.
  absl::SleepFor(absl::Milliseconds(50));
  const auto next = Open(Polled());
  EXPECT_THAT(PollUntil(Role::kPrimary, *next), IsOk());
}

// Calls `hook` once, before a lease is opened.
class LeaseHook final : public FileSystem {
 public:
  explicit LeaseHook(std::function<void()> hook) : hook_(std::move(hook)) {}

  absl::StatusOr<std::unique_ptr<File>> OpenOrCreate(const std::string& path) override {
    if (absl::EndsWith(path, "/lease") && hook_) std::exchange(hook_, nullptr)();
    return base_.OpenOrCreate(path);
  }
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, Access access) override {
    return base_.Open(path, access);
  }
  absl::StatusOr<std::unique_ptr<File>> CreateUnnamed(const std::string& directory, const std::string& path) override {
    return base_.CreateUnnamed(directory, path);
  }
  absl::StatusOr<FileInfo> Info(const std::string& path) override { return base_.Info(path); }
  absl::Status CreateDirectories(const std::string& path) override { return base_.CreateDirectories(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override { return base_.List(directory); }
  absl::Status Rename(const std::string& from, const std::string& to) override { return base_.Rename(from, to); }
  absl::Status Unlink(const std::string& path) override { return base_.Unlink(path); }
  absl::Status SyncDirectory(const std::string& path) override { return base_.SyncDirectory(path); }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override { return base_.FreeBytes(path); }

 private:
  FileSystem& base_ = FileSystem::Posix();
  std::function<void()> hook_;
};

TEST_F(ReplicaTest, WhoCanNotApplyTheLastFramesDoesNotBecomePrimary) {
  // The primary publishes something that the standby can't decode, and is gone, after the standby's
  // last look.
  auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  LeaseHook hooked([&] {
    EXPECT_THAT(primary->Execute(kNoUtf8), IsOk());
    primary.reset();
  });
  ReplicaOptions options = Polled();
  options.file_system = &hooked;
  const auto strict = Open<StrictReplica>(options);
  EXPECT_THAT(PollUntil(Role::kPrimary, *strict, 10),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("UTF-8")));
  EXPECT_EQ(primary, nullptr);
  EXPECT_EQ(strict->role(), Role::kStopped);
  const auto next = Open(Polled());
  EXPECT_THAT(PollUntil(Role::kPrimary, *next), IsOk());
}

TEST_F(ReplicaTest, ReadGivesStateAndPositionOfOneMoment) {
  const auto primary = OpenPrimary();
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute("one"));
  const auto [commands, position] =
      primary->Read([](const Tape& tape, Position applied) { return std::pair(tape.commands.size(), applied); });
  EXPECT_EQ(commands, 1u);
  EXPECT_EQ(position, executed.position);
}

TEST_F(ReplicaTest, APositionThatIsNotOfThisReignIsNotAwaitedAtAnyStage) {
  const auto primary = OpenPrimary();
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute("one"));
  for (const Ack ack : {Ack::kPublished, Ack::kSynced}) {
    EXPECT_THAT(primary->WaitFor(executed.position, ack, kLong), IsOk());
    Position other = executed.position;
    ++other.epoch;
    EXPECT_THAT(primary->WaitFor(other, ack, kLong), StatusIs(absl::StatusCode::kFailedPrecondition));
    other = executed.position;
    ++other.seq;
    EXPECT_THAT(primary->WaitFor(other, ack, kLong), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

struct Thrower {
  using Command = std::string;
  using Result = int;
  Result Apply(const Command& command, const ApplyContext& /*context*/) {
    throw std::runtime_error("thrown at " + command);
  }
};

// A caller that catches the exception would go on with a state that nobody else has.
TEST_F(ReplicaTest, AnApplyThatThrowsEndsThePrimaryToo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto execute = [this] {
    const auto primary = Open<Replica<Thrower, TextCodec>>(Polled());
    while (primary->role() != Role::kPrimary) {
      clock_.Advance(kSecondNs);
      primary->Poll().IgnoreError();
    }
    try {
      primary->Execute("this").status().IgnoreError();
    } catch (const std::exception&) {
    }
  };
  EXPECT_DEATH(execute(), "thrown at this");
}

}  // namespace
}  // namespace kekbit
