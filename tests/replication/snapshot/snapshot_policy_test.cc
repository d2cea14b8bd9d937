#include "kekbit/replication/snapshot/snapshot_policy.h"

#include "gtest/gtest.h"

namespace kekbit {
namespace {

constexpr SnapshotPolicy kNever;
const SnapshotPolicy kAll = {.frames = 100, .bytes = 1000, .time = absl::Minutes(1)};

TEST(SnapshotPolicyTest, OnlyOnRequestUnlessTold) {
  const SinceSnapshot much = {.frames = 1'000'000'000, .bytes = uint64_t{1} << 60, .time = absl::Hours(10'000)};
  EXPECT_EQ(WhenToSnapshot(kNever, much), SnapshotReason::kNone);
  SinceSnapshot requested = much;
  requested.requested = true;
  EXPECT_EQ(WhenToSnapshot(kNever, requested), SnapshotReason::kRequested);
}

TEST(SnapshotPolicyTest, WhicheverComesFirst) {
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 99, .bytes = 999, .time = absl::Seconds(59)}), SnapshotReason::kNone);
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 100, .bytes = 0}), SnapshotReason::kFrames);
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 1, .bytes = 1000}), SnapshotReason::kBytes);
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 1, .bytes = 10, .time = absl::Minutes(1)}), SnapshotReason::kTime);
}

TEST(SnapshotPolicyTest, NeverOfAStateThatHasOne) {
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 0, .bytes = 5000, .time = absl::Hours(1), .requested = true}),
            SnapshotReason::kNone);
}

TEST(SnapshotPolicyTest, OneAtATime) {
  EXPECT_EQ(WhenToSnapshot(kAll, {.frames = 500, .requested = true, .running = true}), SnapshotReason::kNone);
}

TEST(SnapshotPolicyTest, AFailedOneIsTriedAgainLaterAndLater) {
  EXPECT_EQ(SnapshotRetryDelay(0), absl::ZeroDuration());
  EXPECT_EQ(SnapshotRetryDelay(1), absl::Seconds(1));
  EXPECT_EQ(SnapshotRetryDelay(4), absl::Seconds(8));
  EXPECT_EQ(SnapshotRetryDelay(1'000'000), absl::Minutes(5));
  SinceSnapshot since = {.frames = 500, .failures = 2, .since_failure = absl::Milliseconds(1999)};
  EXPECT_EQ(WhenToSnapshot(kAll, since), SnapshotReason::kNone);
  since.requested = true;
  EXPECT_EQ(WhenToSnapshot(kAll, since), SnapshotReason::kRequested);
  since.requested = false;
  since.since_failure = absl::Seconds(2);
  EXPECT_EQ(WhenToSnapshot(kAll, since), SnapshotReason::kFrames);
}

TEST(SnapshotPolicyTest, ReasonsHaveNames) {
  EXPECT_EQ(ToString(SnapshotReason::kFrames), "frames");
  EXPECT_EQ(ToString(SnapshotReason::kRequested), "requested");
}

}  // namespace
}  // namespace kekbit
