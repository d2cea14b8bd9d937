// Roles that change, and commands that are synced: P3, P6.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/replica.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::Pair;

// P6. It acknowledges nothing more, and follows whoever leads now.
TEST_F(ReplicaTest, AFencedPrimarySaysSoAndFollows) {
  std::vector<std::pair<Role, Epoch>> changes;
  ReplicaOptions options = Polled();
  options.on_role_change = [&](Role role, Epoch epoch) { changes.emplace_back(role, epoch); };
  const auto primary = Open(options);
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(EpochStore epochs, EpochStore::Open(fs_, JournalLayout(dir_.path()).epoch()));
  ASSERT_THAT(epochs.Grant(0), IsOkAndHolds(2u));
  const auto fenced = AllOf(HasSubstr("epoch 1 is over"), HasSubstr("in epoch 2"));
  EXPECT_THAT(primary->Execute("two"), StatusIs(absl::StatusCode::kAborted, fenced));
  EXPECT_EQ(primary->role(), Role::kFollower);
  EXPECT_THAT(changes, ElementsAre(Pair(Role::kPrimary, 1), Pair(Role::kFollower, 1)));
  EXPECT_THAT(primary->Execute("three"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a follower")));
  // It has let go of everything.
  const auto next = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *next), IsOk());
  EXPECT_EQ(next->applied().epoch, 3u);
  ASSERT_THAT(next->Execute("four"), IsOk());
  ASSERT_THAT(primary->Poll(), IsOk());
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("one", "four"));
  EXPECT_EQ(primary->role(), Role::kFollower);
}

// Its directory was replaced: there is nobody to follow.
TEST_F(ReplicaTest, AFencedPrimaryWithoutItsJournalStops) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(EpochStore epochs, EpochStore::Open(fs_, JournalLayout(dir_.path()).epoch()));
  ASSERT_THAT(epochs.Grant(0), IsOkAndHolds(2u));
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).epoch()), IsOk());
  EXPECT_THAT(primary->Execute("two"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(primary->role(), Role::kStopped);
  EXPECT_THAT(primary->Execute("three"), StatusIs(absl::StatusCode::kAborted));
}

// An idle primary used to find out at its next roll.
TEST_F(ReplicaTest, APrimaryNoticesThatItsJournalIsGone) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  clock_.Advance(2 * kSecondNs);
  ASSERT_THAT(primary->Poll(), IsOk());
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).epoch()), IsOk());
  clock_.Advance(2 * kSecondNs);
  EXPECT_THAT(primary->Poll(), StatusIs(absl::StatusCode::kAborted, HasSubstr("moved, replaced or deleted")));
  EXPECT_EQ(primary->role(), Role::kStopped);
}

// It would go on acknowledging what nobody can find.
TEST_F(ReplicaTest, APrimaryNoticesThatItsSegmentIsGone) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  const std::string segment = JournalLayout(dir_.path()).segment(1);
  ASSERT_THAT(fs_.Rename(segment, segment + "~"), IsOk());
  clock_.Advance(2 * kSecondNs);
  EXPECT_THAT(primary->Poll(), StatusIs(absl::StatusCode::kAborted, HasSubstr("segment was moved")));
  EXPECT_EQ(primary->role(), Role::kStopped);
}

TEST_F(ReplicaTest, APrimaryNoticesThatItsLeaseIsWorthNothing) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).lease()), IsOk());
  clock_.Advance(2 * kSecondNs);
  ASSERT_THAT(primary->Poll(), IsOk());
  EXPECT_EQ(primary->role(), Role::kFollower);
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  EXPECT_EQ(primary->applied().epoch, 2u);
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("one"));
}

// It found out when it was to take over; until then it was a standby of nothing.
TEST_F(ReplicaTest, AFollowerNoticesThatItsJournalIsGone) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ReplicaOptions reads = Polled();
  reads.may_lead = false;
  const auto standby = Open(Polled());
  const auto reader = Open(reads);
  for (const auto& follower : {&standby, &reader}) {
    clock_.Advance(2 * kSecondNs);
    ASSERT_THAT((*follower)->Poll(), IsOk());
  }
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).epoch()), IsOk());
  clock_.Advance(2 * kSecondNs);
  for (const auto& follower : {&standby, &reader}) {
    EXPECT_THAT((*follower)->Poll(), StatusIs(absl::StatusCode::kAborted, HasSubstr("moved, replaced or deleted")));
    EXPECT_EQ((*follower)->role(), Role::kStopped);
  }
}

TEST_F(ReplicaTest, ASleepingOrSpinningFollowerNoticesThatItsJournalIsGone) {
  ReplicaOptions spins = Options();
  spins.wait = Wait::kSpin;
  const auto primary = Open(Polled());  // and looks no more
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  const auto sleeper = Open(Options());
  const auto spinner = Open(spins);
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).epoch()), IsOk());
  EXPECT_TRUE(sleeper->WaitForRole(Role::kStopped, kLong));
  EXPECT_TRUE(spinner->WaitForRole(Role::kStopped, kLong));
}

// Who waits for a role may rely on what the callbacks have done. Once they came later, now and then.
TEST_F(ReplicaTest, WhoWaitsForARoleWaitsForItsCallbacks) {
  absl::Notification called;
  absl::Notification go_on;
  std::vector<std::string> done;
  ReplicaOptions options = Options();
  options.on_takeover = [&](const TakeoverReport& report) { done.push_back(report.ToString()); };
  options.on_role_change = [&](Role role, Epoch /*epoch*/) {
    called.Notify();
    go_on.WaitForNotification();
    done.emplace_back(RoleName(role));
  };
  const auto replica = Open(options);
  called.WaitForNotification();
  EXPECT_EQ(replica->role(), Role::kPrimary);
  EXPECT_FALSE(replica->WaitForRole(Role::kPrimary, absl::ZeroDuration()));
  go_on.Notify();
  ASSERT_TRUE(replica->WaitForRole(Role::kPrimary, kLong));
  EXPECT_THAT(done, ElementsAre(HasSubstr("epoch 1"), "primary"));
}

TEST_F(ReplicaTest, ACallbackMayWaitForTheRole) {
  std::unique_ptr<TapeReplica> replica;
  std::vector<bool> waited;
  ReplicaOptions options = Polled();
  options.on_role_change = [&](Role role, Epoch /*epoch*/) { waited.push_back(replica->WaitForRole(role, kLong)); };
  replica = Open(options);
  ASSERT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
  EXPECT_THAT(waited, ElementsAre(true));
  EXPECT_TRUE(replica->WaitForRole(Role::kPrimary, absl::ZeroDuration()));
}

// A replica without threads has nobody else to tell it.
TEST_F(ReplicaTest, AStepDownThatFailsTellsThatTheReplicaStopped) {
  std::vector<Role> told;
  ReplicaOptions options = Polled();
  options.ack = Ack::kSynced;
  options.on_role_change = [&](Role role, Epoch /*epoch*/) { told.push_back(role); };
  const auto primary = Open(options);
  const auto standby = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Submit("one"), IsOk());
  fs_.FailCalls("MappedFile::Sync", absl::AbortedError("planted"));
  EXPECT_THAT(primary->StepDown(), StatusIs(absl::StatusCode::kAborted, HasSubstr("planted")));
  EXPECT_THAT(told, ElementsAre(Role::kPrimary, Role::kStopped));
  EXPECT_FALSE(primary->WaitForRole(Role::kPrimary, kLong));
}

TEST_F(ReplicaTest, StepDownHandsOverAndFollows) {
  const auto primary = Open(Polled());
  const auto standby = Open(Polled());
  EXPECT_THAT(primary->StepDown(), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  ASSERT_THAT(primary->StepDown(), IsOk());
  EXPECT_EQ(primary->role(), Role::kFollower);
  // It leaves the lease to the other, though it asks first.
  ASSERT_THAT(primary->Poll(), IsOk());
  EXPECT_EQ(primary->role(), Role::kFollower);
  ASSERT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
  ASSERT_THAT(standby->Execute("two"), IsOk());
  ASSERT_THAT(primary->Poll(), IsOk());
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("one", "two"));
  // And back.
  ASSERT_THAT(standby->StepDown(), IsOk());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("three"), IsOk());
  ASSERT_THAT(standby->Poll(), IsOk());
  EXPECT_THAT(CommandsOf(*standby), ElementsAre("one", "two", "three"));
}

// Nobody would lead, for as long as it leaves the lease to others.
TEST_F(ReplicaTest, WhoHasNoStandbyDoesNotStepDown) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no standby"));
  EXPECT_THAT(primary->StepDown(), refused);
  ReplicaOptions reads = Polled();
  reads.may_lead = false;
  const auto reader = Open(reads);
  EXPECT_THAT(primary->StepDown(), refused);
  auto standby = Open(Polled());
  standby.reset();
  EXPECT_THAT(primary->StepDown(), refused);
  EXPECT_EQ(primary->role(), Role::kPrimary);
  ASSERT_THAT(primary->Execute("one"), IsOk());
  standby = Open(Polled());
  EXPECT_THAT(primary->StepDown(), IsOk());
  EXPECT_EQ(primary->role(), Role::kFollower);
}

TEST_F(ReplicaTest, WhoStepsDownAloneLeadsAgainLater) {
  ReplicaOptions options = Options();
  options.step_down_for = absl::Milliseconds(20);
  const auto replica = Open(options);
  ASSERT_TRUE(replica->WaitForRole(Role::kPrimary, kLong));
  ASSERT_THAT(replica->StepDown(Successor::kAnybody), IsOk());
  EXPECT_EQ(replica->role(), Role::kFollower);
  ASSERT_TRUE(replica->WaitForRole(Role::kPrimary, kLong));
  EXPECT_EQ(replica->applied().epoch, 2u);
}

TEST_F(ReplicaTest, ThreadedReplicasHandOverToAndFro) {
  const auto first = OpenPrimary();
  const auto second = Open(Options());
  std::vector<std::string> expected;
  for (int i = 0; i < 6; ++i) {
    TapeReplica& primary = i % 2 == 0 ? *first : *second;
    TapeReplica& standby = i % 2 == 0 ? *second : *first;
    ASSERT_TRUE(primary.WaitForRole(Role::kPrimary, kLong));
    expected.push_back(absl::StrCat(i));
    KB_ASSERT_OK_AND_ASSIGN(const auto done, primary.Execute(expected.back()));
    ASSERT_THAT(primary.StepDown(), IsOk());
    EXPECT_THAT(standby.ReadAt(done.position, kLong, [](const Tape& tape) { return tape.commands; }),
                IsOkAndHolds(ElementsAreArray(expected)));
  }
}

TEST_F(ReplicaTest, ABatchIsAppliedEverywhere) {
  const auto primary = OpenPrimary();
  const auto follower = Open(Options());
  KB_ASSERT_OK_AND_ASSIGN(const auto done, primary->SubmitBatch({"one", "bad", "three"}));
  ASSERT_EQ(done.size(), 3u);
  EXPECT_THAT(done[0].result, IsOkAndHolds(1u));
  EXPECT_THAT(done[1].result, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(done[2].result, IsOkAndHolds(2u));
  EXPECT_EQ(done[2].position.seq, done[0].position.seq + 2);
  EXPECT_THAT(follower->ReadAt(done[2].position, kLong, [](const Tape& tape) { return tape.commands; }),
              IsOkAndHolds(ElementsAre("one", "three")));
  EXPECT_THAT(primary->SubmitBatch({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(follower->SubmitBatch({"x"}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ReplicaTest, ASyncedCommandIsMarkedAsSuch) {
  ReplicaOptions options = Options();
  options.ack = Ack::kSynced;
  const auto primary = Open(options);
  ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
  KB_ASSERT_OK_AND_ASSIGN(const SyncMark mark,
                          SyncMark::OpenForReading(FileSystem::Posix(), JournalLayout(dir_.path()).synced()));
  for (int i = 0; i < 300; ++i) {  // over several segments
    KB_ASSERT_OK_AND_ASSIGN(const auto done, primary->Execute(std::string(100, 'x')));
    ASSERT_GE(mark.synced(), done.position.seq);
  }
  KB_ASSERT_OK_AND_ASSIGN(const auto published, primary->Execute("published", Ack::kPublished));
  EXPECT_LT(mark.synced(), published.position.seq);
  EXPECT_THAT(primary->WaitFor(published.position, Ack::kSynced, kLong), IsOk());
  EXPECT_GE(mark.synced(), published.position.seq);
  EXPECT_THAT(primary->WaitFor({.epoch = 7, .seq = 1}, Ack::kSynced, kLong),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

// P3. A sync that fails is the end of this primary: what it acknowledged is on the disk, the rest nobody knows.
TEST_F(ReplicaTest, AFailedSyncStopsThePrimary) {
  FaultyFileSystem faulty;
  ReplicaOptions options = Options();
  options.ack = Ack::kSynced;
  options.file_system = &faulty;
  const auto primary = Open(options);
  ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
  ASSERT_THAT(primary->Execute("one"), IsOk());
  faulty.FailCalls("MappedFile::Sync", absl::AbortedError("planted"));
  EXPECT_THAT(primary->Execute("two"), StatusIs(absl::StatusCode::kAborted, HasSubstr("unknown")));
  EXPECT_EQ(primary->role(), Role::kStopped);
  faulty.Heal();
  EXPECT_THAT(primary->Execute("three"), StatusIs(absl::StatusCode::kAborted, HasSubstr("planted")));
}

// P10. The primary stops taking commands before the disk is full, and goes on when there is room.
TEST_F(ReplicaTest, BelowTheFloorNoCommandIsTaken) {
  ReplicaOptions options = Polled();
  options.free_bytes_min = 1'000'000;
  const auto primary = Open(options);
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(primary->Execute("one"), IsOk());
  const auto look = [&](uint64_t free_bytes) {
    fs_.SetFreeBytes(free_bytes);
    clock_.Advance(kSecondNs);
    EXPECT_THAT(primary->Poll(), IsOk());
  };
  look(999'999);
  EXPECT_THAT(primary->Execute("two"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("999999")));
  EXPECT_THAT(primary->SubmitBatch({"two"}), StatusIs(absl::StatusCode::kResourceExhausted));
  look(1'000'001);  // not for a byte
  EXPECT_THAT(primary->Execute("two"), StatusIs(absl::StatusCode::kResourceExhausted));
  look(2'000'000);
  ASSERT_THAT(primary->Execute("three"), IsOk());
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("one", "three"));
  EXPECT_EQ(primary->role(), Role::kPrimary);
}

TEST_F(ReplicaTest, ATakeoverIsReported) {
  std::vector<TakeoverReport> reports;  // by one after the other
  ReplicaOptions options = Options();
  options.on_takeover = [&](const TakeoverReport& report) { reports.push_back(report); };
  auto first = Open(options);
  ASSERT_TRUE(first->WaitForRole(Role::kPrimary, kLong));
  ASSERT_THAT(first->Execute("one"), IsOk());
  const auto second = Open(options);
  first.reset();
  ASSERT_TRUE(second->WaitForRole(Role::kPrimary, kLong));
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[1].epoch, 2u);
  EXPECT_EQ(reports[1].follows, 2u);
  EXPECT_GT(reports[1].total(), absl::ZeroDuration());
  EXPECT_THAT(reports[1].ToString(), HasSubstr("epoch 2 behind seq 2"));
}

// What failed may work a moment later: a journal without a primary is not to wait long for that.
TEST_F(ReplicaTest, ATakeoverThatFailedIsTriedAgainSoonThenLessOften) {
  const auto standby = Open(Polled());
  fs_.FailCalls("Allocate", absl::ResourceExhaustedError("planted"));
  const int64_t begin = clock_.MonotonicNanos();
  std::vector<int64_t> tries_ms;
  while (tries_ms.size() < 10) {
    fs_.Heal();
    fs_.FailCalls("Allocate", absl::ResourceExhaustedError("planted"));
    standby->Poll().IgnoreError();
    if (fs_.failed()) tries_ms.push_back((clock_.MonotonicNanos() - begin) / 1'000'000);
    clock_.Advance(1'000'000);
  }
  EXPECT_THAT(tries_ms, ElementsAre(0, 1, 3, 7, 15, 31, 63, 127, 227, 327));
  fs_.Heal();
  clock_.Advance(100'000'000);
  EXPECT_THAT(standby->Poll(), IsOk());
  EXPECT_EQ(standby->role(), Role::kPrimary);
}

}  // namespace
}  // namespace kekbit
