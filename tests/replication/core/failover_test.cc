#include "kekbit/replication/core/failover.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

constexpr int64_t kNow = 7'000'000'000;
constexpr Epoch kMine = 5;
constexpr Epoch kNewer = 6;

TEST(FailoverTest, NextStep) {
  struct Row {
    std::string name;
    int64_t next_try_ns;
    bool lease_held;
    FailoverStep step;
    int64_t next_try_after;
  };
  const std::vector<Row> rows = {
      {"asks at once", 0, false, FailoverStep::kAskForLease, kNow + kLookForLeaseEveryNs},
      {"asks when it is time", kNow, false, FailoverStep::kAskForLease, kNow + kLookForLeaseEveryNs},
      {"does not ask before", kNow + 1, false, FailoverStep::kWait, kNow + 1},
      {"takes over at once", 0, true, FailoverStep::kTakeOver, 0},
      {"takes over when it is time", kNow, true, FailoverStep::kTakeOver, kNow},
      {"does not try again before", kNow + 1, true, FailoverStep::kWait, kNow + 1},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Failover failover = {.granted = kMine, .reign_before = 4, .next_try_ns = row.next_try_ns, .retry_ns = 3};
    EXPECT_EQ(NextStep(failover, row.lease_held, kNow), row.step);
    EXPECT_EQ(failover.next_try_ns, row.next_try_after);
    EXPECT_EQ(failover.granted, kMine);
    EXPECT_EQ(failover.reign_before, 4);
    EXPECT_EQ(failover.retry_ns, 3);
  }
}

TEST(FailoverTest, ATakeoverBeginsAsSoonAsTheLeaseIsHad) {
  Failover failover;
  ASSERT_EQ(NextStep(failover, /*lease_held=*/false, kNow), FailoverStep::kAskForLease);
  EXPECT_EQ(NextStep(failover, /*lease_held=*/true, kNow), FailoverStep::kWait);
  NoteLease(failover);
  EXPECT_EQ(NextStep(failover, /*lease_held=*/true, kNow), FailoverStep::kTakeOver);
}

TEST(FailoverTest, StepAfterFailure) {
  struct Row {
    absl::Status why;
    bool is_transient;
    Epoch granted;
    Epoch newest;
    FailoverStep step;
  };
  const std::vector<Row> rows = {
      {absl::ResourceExhaustedError(""), true, kMine, kMine, FailoverStep::kTryAgain},
      {absl::PermissionDeniedError(""), true, 0, 0, FailoverStep::kTryAgain},
      {absl::UnavailableError(""), true, kMine, kNewer, FailoverStep::kTryAgain},
      {absl::NotFoundError(""), false, kMine, kMine, FailoverStep::kTryAgain},
      {absl::NotFoundError(""), false, kMine, kNewer, FailoverStep::kTryAgain},
      // A taker whose epoch was over made the segment first, or one whose epoch is newer.
      {absl::AlreadyExistsError(""), false, kMine, kMine, FailoverStep::kTryAgain},
      {absl::AlreadyExistsError(""), false, 0, kNewer, FailoverStep::kTryAgain},
      {absl::AlreadyExistsError(""), false, kMine, kNewer, FailoverStep::kGiveUpLease},
      // A sync failed, or this replica is fenced.
      {absl::AbortedError(""), false, kMine, kMine, FailoverStep::kStop},
      {absl::AbortedError(""), false, 0, kNewer, FailoverStep::kStop},
      {absl::AbortedError(""), false, kMine, kNewer, FailoverStep::kGiveUpLease},
      {absl::DataLossError(""), false, kMine, kMine, FailoverStep::kStop},
      {absl::DataLossError(""), false, kMine, kNewer, FailoverStep::kStop},
      {absl::FailedPreconditionError(""), false, 0, 0, FailoverStep::kStop},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(absl::StatusCodeToString(row.why.code()) + ", granted " + std::to_string(row.granted) + ", newest " +
                 std::to_string(row.newest));
    Failover failover = {.granted = row.granted, .reign_before = 4};
    const TakeoverFailure failure = {.why = row.why, .is_transient = row.is_transient, .newest = row.newest};
    EXPECT_EQ(AfterFailure(failover, failure, kNow), row.step);
    // Only who gives the lease up forgets its epoch: another try goes on in it.
    EXPECT_EQ(failover.granted, row.step == FailoverStep::kGiveUpLease ? 0 : row.granted);
    EXPECT_EQ(failover.reign_before, 4);
    EXPECT_EQ(failover.next_try_ns, kNow + kLookForLeaseEveryNs);
  }
}

TEST(FailoverTest, TriesBecomeRarerUnlessSomebodyIsInTheWay) {
  const TakeoverFailure full = {.why = absl::ResourceExhaustedError(""), .is_transient = true};
  const TakeoverFailure writer_lives = {.why = absl::UnavailableError(""), .is_transient = true};
  Failover failover;
  std::vector<int64_t> delays_ms;
  for (int i = 0; i < 9; ++i) {
    ASSERT_EQ(AfterFailure(failover, full, kNow), FailoverStep::kTryAgain);
    delays_ms.push_back((failover.next_try_ns - kNow) / 1'000'000);
  }
  EXPECT_EQ(delays_ms, (std::vector<int64_t>{1, 2, 4, 8, 16, 32, 64, 100, 100}));
  AfterFailure(failover, writer_lives, kNow);
  EXPECT_EQ(failover.next_try_ns, kNow + kLookForLeaseEveryNs);
  AfterFailure(failover, full, kNow);
  EXPECT_EQ(failover.next_try_ns, kNow + 2 * kLookForLeaseEveryNs);
  NoteReign(failover);
  AfterFailure(failover, full, kNow);
  EXPECT_EQ(failover.next_try_ns, kNow + kLookForLeaseEveryNs);
}

TEST(FailoverTest, ATakeoverThatIsTriedAgainKeepsItsEpoch) {
  EXPECT_TRUE(NeedsEpoch({}, 0));
  EXPECT_TRUE(NeedsEpoch({}, kNewer));
  EXPECT_FALSE(NeedsEpoch({.granted = kMine}, kMine));
  EXPECT_TRUE(NeedsEpoch({.granted = kMine}, kNewer));
}

TEST(FailoverTest, AReplicaThatSteppedDownLeavesTheLeaseUntilAnotherHadIt) {
  const LeaseClaim left = {.left_epoch = kMine, .leave_until_ns = kNow};
  EXPECT_TRUE(LeavesLease(left, kMine, kNow - 1));
  EXPECT_FALSE(LeavesLease(left, kMine, kNow));
  EXPECT_FALSE(LeavesLease(left, kNewer, kNow - 1));
  EXPECT_FALSE(LeavesLease({.leave_until_ns = kNow}, 0, kNow - 1));
}

TEST(FailoverTest, ADeadHolderThatReignedWasTheOnlyWriter) {
  EXPECT_TRUE(HolderWasWriter({.succeeded = 4}, {.granted = kMine, .reign_before = 4}, kMine));
  EXPECT_FALSE(HolderWasWriter({.succeeded = 3}, {.granted = kMine, .reign_before = 4}, kMine));
  EXPECT_FALSE(HolderWasWriter({.succeeded = 0}, {.granted = kMine, .reign_before = 0}, kMine));
  // Before this replica has an epoch of its own, the newest is the last that reigned.
  EXPECT_TRUE(HolderWasWriter({.succeeded = 4}, {.granted = 0, .reign_before = 3}, 4));
  EXPECT_FALSE(HolderWasWriter({.succeeded = 3}, {.granted = 0, .reign_before = 3}, 4));
  EXPECT_FALSE(HolderWasWriter({.succeeded = 0}, {.granted = 0, .reign_before = 0}, 0));
}

}  // namespace
}  // namespace kekbit
