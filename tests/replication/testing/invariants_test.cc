#include "kekbit/replication/testing/invariants.h"

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

ReplicaSample Follower(Seq applied, Seq snapshot = 0) {
  return {.applied = {.epoch = 2, .seq = applied}, .published = Position{.epoch = 2, .seq = 9}, .snapshot = snapshot};
}

JournalSample Journal() {
  return {.epoch = 2,
          .synced = 7,
          .begins_after = 3,
          .newest_snapshot = 6,
          .older_snapshot = 4,
          .published = Position{.epoch = 2, .seq = 9}};
}

void ExpectWrong(const absl::Status& status, const char* what) {
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(what));
}

TEST(InvariantsTest, AReplicaThatIsWell) {
  EXPECT_THAT(CheckReplica(Follower(9, 9)), IsOk());
  EXPECT_THAT(CheckReplicaStep(Follower(8), Follower(9, 9)), IsOk());
}

TEST(InvariantsTest, AReplica) {
  ExpectWrong(CheckReplica(Follower(10)), "applied is 10, above published, which is 9");
  ExpectWrong(CheckReplica(Follower(5, 6)), "snapshot is 6, above applied, which is 5");
  ReplicaSample ahead = Follower(9);
  ahead.applied.epoch = 3;
  ExpectWrong(CheckReplica(ahead), "epoch applied");
}

TEST(InvariantsTest, AReplicaFromOneMomentToTheNext) {
  ExpectWrong(CheckReplicaStep(Follower(8), Follower(7)), "applied went back from 8 to 7");
  ReplicaSample older = Follower(9);
  older.applied.epoch = 1;
  ExpectWrong(CheckReplicaStep(Follower(8), older), "the epoch applied went back");
  ExpectWrong(CheckReplicaStep(Follower(8, 6), Follower(8, 5)), "snapshot went back");
  ReplicaSample stopped = Follower(8);
  stopped.role = Role::kStopped;
  ExpectWrong(CheckReplicaStep(stopped, Follower(8)), "had stopped");
}

TEST(InvariantsTest, AJournalThatIsWell) {
  EXPECT_THAT(CheckJournal(Journal()), IsOk());
  EXPECT_THAT(CheckJournalStep(Journal(), Journal()), IsOk());
}

TEST(InvariantsTest, AJournal) {
  JournalSample journal = Journal();
  journal.synced = 10;
  ExpectWrong(CheckJournal(journal), "synced is 10, above published");
  journal = Journal();
  journal.begins_after = 5;
  ExpectWrong(CheckJournal(journal), "begins after is 5, above its older snapshot's, which is 4");
  journal = Journal();
  journal.newest_snapshot = 10;
  ExpectWrong(CheckJournal(journal), "snapshot is 10, above published");
  journal = Journal();
  journal.epoch = 1;
  ExpectWrong(CheckJournal(journal), "the epoch published is 2, above that granted");
}

TEST(InvariantsTest, AJournalFromOneMomentToTheNext) {
  JournalSample before = Journal();
  before.epoch = 3;
  ExpectWrong(CheckJournalStep(before, Journal()), "the epoch went back");
  before = Journal();
  before.synced = 8;
  ExpectWrong(CheckJournalStep(before, Journal()), "synced went back");
  before = Journal();
  before.begins_after = 4;
  ExpectWrong(CheckJournalStep(before, Journal()), "beginning went back");
}

TEST(InvariantsTest, P15_TheJournalsTime) {
  const StampSample before = {.time_ns = 1'000'000'000, .after_ns = 0, .before_ns = 0};
  EXPECT_THAT(CheckStamps(before, {.time_ns = 1'900'000'000, .after_ns = 1'000'000'000, .before_ns = 1'000'000'000}),
              IsOk());
  ExpectWrong(CheckStamps(before, {.time_ns = 999'999'999, .after_ns = 0, .before_ns = 0}), "went back");
  ExpectWrong(CheckStamps(before, {.time_ns = 1'000'000'000, .after_ns = 1'000'000'000, .before_ns = 1'000'000'000}),
              "went on by 0");
  ExpectWrong(CheckStamps(before, {.time_ns = 1'800'000'000, .after_ns = 1'000'000'000, .before_ns = 1'000'000'000}),
              "at least");
}

}  // namespace
}  // namespace kekbit
