#include "kekbit/replication/lease/holder_silence.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace kekbit {
namespace {

constexpr int64_t kStep = 50;
const ProcessId kHolder = {.pid = 1, .start_time = 2, .pid_namespace = 3};

TEST(HolderSilenceTest, GrowsWhileNothingChanges) {
  HolderSilence silence;
  EXPECT_EQ(silence.Look(kHolder, 7, 1000, kStep), 0);
  EXPECT_EQ(silence.Look(kHolder, 7, 1030, kStep), 30);
  EXPECT_EQ(silence.Look(kHolder, 7, 1080, kStep), 80);
}

TEST(HolderSilenceTest, ASignOfLifeOrAnotherHolderEndsIt) {
  HolderSilence silence;
  silence.Look(kHolder, 7, 1000, kStep);
  silence.Look(kHolder, 7, 1030, kStep);
  EXPECT_EQ(silence.Look(kHolder, 8, 1060, kStep), 0);
  EXPECT_EQ(silence.Look(kHolder, 8, 1090, kStep), 30);
  for (const ProcessId& other : {ProcessId{.pid = 9, .start_time = 2, .pid_namespace = 3},
                                 ProcessId{.pid = 1, .start_time = 9, .pid_namespace = 3},
                                 ProcessId{.pid = 1, .start_time = 2, .pid_namespace = 9}}) {
    EXPECT_EQ(silence.Look(other, 8, 1100, kStep), 0);
    EXPECT_EQ(silence.Look(kHolder, 8, 1110, kStep), 0);
  }
}

// As when the watcher, or the whole machine, was stopped.
TEST(HolderSilenceTest, ALongPauseBetweenTwoLooksCountsAsOneStep) {
  HolderSilence silence;
  silence.Look(kHolder, 7, 1000, kStep);
  EXPECT_EQ(silence.Look(kHolder, 7, 1'000'000, kStep), kStep);
  EXPECT_EQ(silence.Look(kHolder, 7, 1'000'010, kStep), kStep + 10);
}

TEST(HolderSilenceTest, AClockThatGoesBackTakesNothingAway) {
  HolderSilence silence;
  silence.Look(kHolder, 7, 1000, kStep);
  silence.Look(kHolder, 7, 1020, kStep);
  EXPECT_EQ(silence.Look(kHolder, 7, 500, kStep), 20);
}

}  // namespace
}  // namespace kekbit
