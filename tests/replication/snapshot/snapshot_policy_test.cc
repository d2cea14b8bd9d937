#include "kekbit/replication/snapshot/snapshot_policy.h"

#include "gtest/gtest.h"

namespace kekbit {
namespace {

constexpr SnapshotPolicy kNever;
const SnapshotPolicy kAll = {.frames = 100, .bytes = 1000, .time = absl::Minutes(1)};

TEST(SnapshotPolicyTest, NeverUnlessTold) {
  EXPECT_FALSE(
      SnapshotIsDue(kNever, {.frames = 1'000'000'000, .bytes = uint64_t{1} << 60, .time = absl::Hours(10'000)}));
}

TEST(SnapshotPolicyTest, WhicheverComesFirst) {
  EXPECT_FALSE(SnapshotIsDue(kAll, {.frames = 99, .bytes = 999, .time = absl::Seconds(59)}));
  EXPECT_TRUE(SnapshotIsDue(kAll, {.frames = 100, .bytes = 0}));
  EXPECT_TRUE(SnapshotIsDue(kAll, {.frames = 1, .bytes = 1000}));
  EXPECT_TRUE(SnapshotIsDue(kAll, {.frames = 1, .bytes = 10, .time = absl::Minutes(1)}));
}

TEST(SnapshotPolicyTest, NeverOfAStateThatHasOne) {
  EXPECT_FALSE(SnapshotIsDue(kAll, {.frames = 0, .bytes = 5000, .time = absl::Hours(1)}));
}

TEST(SnapshotPolicyTest, OneAtATime) { EXPECT_FALSE(SnapshotIsDue(kAll, {.frames = 500, .running = true})); }

TEST(SnapshotPolicyTest, AFailedOneIsTriedAgainLaterAndLater) {
  EXPECT_EQ(SnapshotRetryDelay(0), absl::ZeroDuration());
  EXPECT_EQ(SnapshotRetryDelay(1), absl::Seconds(1));
  EXPECT_EQ(SnapshotRetryDelay(4), absl::Seconds(8));
  EXPECT_EQ(SnapshotRetryDelay(1'000'000), absl::Minutes(5));
  SinceSnapshot since = {.frames = 500, .failures = 2, .since_failure = absl::Milliseconds(1999)};
  EXPECT_FALSE(SnapshotIsDue(kAll, since));
  since.since_failure = absl::Seconds(2);
  EXPECT_TRUE(SnapshotIsDue(kAll, since));
}

}  // namespace
}  // namespace kekbit
