#include "kekbit/replication/journal/journal_time.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_clock.h"
#include "tests/support/fake_clock.h"

namespace kekbit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using What = ClockNote::What;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000 * kSecond;  // by the wall clock
constexpr int64_t kBoot = 50 * kSecond;              // the same moment by the boot clock

// A journal's time at kStart, going at that pace, and `ahead` of the wall clock.
JournalTime At(JournalPace pace, int64_t ahead = 0) {
  return {.pace = pace,
          .from_ns = kStart + ahead,
          .from_boot_ns = kBoot,
          .wall_less_boot_ns = kStart - kBoot,
          .told = ahead != 0};
}

struct Case {
  const char* what;
  JournalTime before;
  int64_t passed;  // by the boot clock
  int64_t set_by;  // the wall clock, meanwhile
  JournalPace pace;
  int64_t stamp;  // less kStart
  std::optional<What> note;
};

const Case kCases[] = {
    {"time goes by", At(JournalPace::kClock), 20 * kSecond, 0, JournalPace::kClock, 20 * kSecond, {}},
    {"set back", At(JournalPace::kClock), 20 * kSecond, -kDay, JournalPace::kSlower, 20 * kSecond, What::kSetBack},
    // The wall clock shows more than it did at the last frame, and is wrong all the same.
    {"set back by less than went by", At(JournalPace::kClock), 20 * kSecond, -10 * kSecond, JournalPace::kSlower,
     20 * kSecond, What::kSetBack},
    {"set back a little", At(JournalPace::kClock), kSecond, -5 * kMs, JournalPace::kSlower, kSecond, {}},
    {"read a moment apart", At(JournalPace::kClock), kSecond, -50'000, JournalPace::kClock, kSecond - 50'000, {}},
    {"set ahead by the limit", At(JournalPace::kClock), kSecond, kHour, JournalPace::kClock, kHour + kSecond,
     What::kSetAhead},
    {"set ahead a little", At(JournalPace::kClock), kSecond, 5 * kMs, JournalPace::kClock, kSecond + 5 * kMs, {}},
    {"set ahead by more", At(JournalPace::kClock), kSecond, kHour + 1, JournalPace::kFaster, kSecond, What::kSetTooFar},

    {"slower", At(JournalPace::kSlower, kDay), 10 * kSecond, 0, JournalPace::kSlower, kDay + 9 * kSecond, {}},
    {"slower, set back again", At(JournalPace::kSlower, kDay), 10 * kSecond, -kHour, JournalPace::kSlower,
     kDay + 9 * kSecond, What::kSetBack},
    {"slower, caught up", At(JournalPace::kSlower, kSecond), 11 * kSecond, 0, JournalPace::kClock, 11 * kSecond,
     What::kCaughtUp},
    {"slower, set right", At(JournalPace::kSlower, kDay), 10 * kSecond, kDay, JournalPace::kClock, kDay + 10 * kSecond,
     What::kCaughtUp},
    {"slower, set far ahead", At(JournalPace::kSlower, kDay), 10 * kSecond, 3 * kDay, JournalPace::kFaster,
     kDay + 9 * kSecond, What::kSetTooFar},

    {"faster", At(JournalPace::kFaster, -kDay), 10 * kSecond, 0, JournalPace::kFaster, 11 * kSecond - kDay, {}},
    {"faster, nearly there",
     At(JournalPace::kFaster, -2 * kSecond),
     10 * kSecond,
     0,
     JournalPace::kFaster,
     9 * kSecond,
     {}},
    {"faster, caught up", At(JournalPace::kFaster, -kSecond), 10 * kSecond, 0, JournalPace::kClock, 10 * kSecond,
     What::kCaughtUp},
    {"faster, set right", At(JournalPace::kFaster, -kDay), 10 * kSecond, -kDay, JournalPace::kSlower,
     11 * kSecond - kDay, What::kSetBack},
};

TEST(JournalTimeTest, EveryCase) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    const ClockReading now = {.wall_ns = kStart + c.passed + c.set_by, .boot_ns = kBoot + c.passed};
    const JournalTimeStep step = AdvanceJournalTime(c.before, now, kHour);
    EXPECT_EQ(step.next.pace, c.pace);
    EXPECT_EQ(step.stamp_ns - kStart, c.stamp);
    std::optional<What> note;
    if (step.note) note = step.note->what;
    EXPECT_EQ(note, c.note);
    // Asked again in the same moment it says the same, and nothing is told twice.
    const JournalTimeStep again = AdvanceJournalTime(step.next, now, kHour);
    EXPECT_EQ(again.stamp_ns, step.stamp_ns);
    EXPECT_EQ(again.next.pace, step.next.pace);
    EXPECT_FALSE(again.note.has_value());
  }
}

TEST(JournalTimeTest, ABeginningGoesOnFromTheReignBefore) {
  const ClockReading now = {.wall_ns = kStart, .boot_ns = kBoot};
  const auto begin = [&](int64_t last, std::optional<int64_t> expected) {
    return BeginJournalTime(last, expected, now, kHour);
  };
  // The first of all.
  EXPECT_EQ(begin(0, std::nullopt).stamp_ns, kStart);
  EXPECT_EQ(begin(0, std::nullopt).note, std::nullopt);
  // The time is the expected one.
  EXPECT_EQ(begin(kStart - 3 * kDay, kStart - 1).stamp_ns, kStart);
  EXPECT_EQ(begin(kStart - 3 * kDay, kStart - 1).next.pace, JournalPace::kClock);
  // The clock was set far ahead, or back, between the reigns.
  EXPECT_EQ(begin(kStart - kDay - kSecond, kStart - kDay).stamp_ns, kStart - kDay);
  EXPECT_EQ(begin(kStart - kDay - kSecond, kStart - kDay).next.pace, JournalPace::kFaster);
  EXPECT_EQ(begin(kStart, kStart + kDay).stamp_ns, kStart + kDay);
  EXPECT_EQ(begin(kStart, kStart + kDay).next.pace, JournalPace::kSlower);
  // The expected time is never before the last frame.
  EXPECT_EQ(begin(kStart + kDay, kStart).stamp_ns, kStart + kDay);
  // Nobody knows: the wall clock is believed, but never before the last frame.
  EXPECT_EQ(begin(kStart - 3 * kDay, std::nullopt).stamp_ns, kStart);
  EXPECT_EQ(begin(kStart - 3 * kDay, std::nullopt).note->what, What::kUnknown);
  EXPECT_EQ(begin(kStart - kSecond, std::nullopt).note, std::nullopt);
  EXPECT_EQ(begin(kStart + kDay, std::nullopt).stamp_ns, kStart + kDay);
  EXPECT_EQ(begin(kStart + kDay, std::nullopt).next.pace, JournalPace::kSlower);
}

TEST(JournalTimeTest, WithoutALimitEveryClockThatIsAheadIsFollowed) {
  const ClockReading now = {.wall_ns = kStart + 400 * kDay, .boot_ns = kBoot};
  const auto step = AdvanceJournalTime(At(JournalPace::kClock), now, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(step.stamp_ns, now.wall_ns);
}

TEST(JournalTimeTest, NotesSayByHowMuchAndForHowLong) {
  const ClockNote back = {.what = What::kSetBack, .set_by_ns = -kDay, .journal_less_wall_ns = kDay};
  EXPECT_TRUE(back.is_warning());
  EXPECT_THAT(back.ToString(), HasSubstr("set by -1 d"));
  EXPECT_THAT(back.ToString(), HasSubstr("ahead by 1 d"));
  EXPECT_THAT(back.ToString(), HasSubstr("in 10 d"));
  const ClockNote far = {.what = What::kSetTooFar, .set_by_ns = 0, .journal_less_wall_ns = -kDay};
  EXPECT_TRUE(far.is_warning());
  EXPECT_THAT(far.ToString(), HasSubstr("the clock is ahead of the journal's time by 1 d"));
}

class JournalClockTest : public testing::Test {
 protected:
  JournalClock clock_{{.clock = &machine_, .say = [this](const ClockNote& note) { notes_.push_back(note.what); }}};
  FakeClock machine_{kStart};
  std::vector<What> notes_;
};

TEST_F(JournalClockTest, ASetClockIsNoticedAtTheNextStamp) {
  EXPECT_EQ(clock_.Begin(0, std::nullopt), kStart);
  machine_.SetRealtime(kStart + kDay);
  EXPECT_EQ(clock_.Stamp(), kStart);
  machine_.Advance(kSecond);
  EXPECT_EQ(clock_.Stamp(), kStart + kSecond + kSecond / 10);
  machine_.SetRealtime(kStart - kDay);
  EXPECT_EQ(clock_.Stamp(), kStart + kSecond + kSecond / 10);
  machine_.Advance(kSecond);
  EXPECT_EQ(clock_.Stamp(), kStart + 2 * kSecond);
  EXPECT_THAT(notes_, ElementsAre(What::kSetTooFar, What::kSetBack));
}

// Within the time in which the wall clock alone is read.
TEST_F(JournalClockTest, AClockThatIsSetBackALittleIsNoticedWhenTheClocksAreCompared) {
  clock_.Begin(0, std::nullopt);
  machine_.Advance(5 * kMs);
  machine_.SetRealtime(kStart + kMs);
  EXPECT_EQ(clock_.Stamp(), kStart + kMs);
  EXPECT_EQ(clock_.Look(), kStart + 5 * kMs);
  EXPECT_EQ(clock_.Stamp(), kStart + 5 * kMs);
}

TEST_F(JournalClockTest, WhatWasShownIsNeverAfterWhatIsStamped) {
  clock_.Begin(0, std::nullopt);
  machine_.SetRealtime(kStart + kHour);
  EXPECT_EQ(clock_.Now(), kStart + kHour);  // followed, and nobody has stamped it
  machine_.SetRealtime(kStart);
  EXPECT_EQ(clock_.Stamp(), kStart + kHour);
  EXPECT_EQ(clock_.Now(), kStart + kHour);
}

TEST_F(JournalClockTest, AFollowerGoesOnFromTheLastFrame) {
  EXPECT_EQ(clock_.Now(), kStart);  // no frame yet
  clock_.Follow(kStart + kDay, /*live=*/true);
  machine_.Advance(3 * kSecond);
  EXPECT_EQ(clock_.Now(), kStart + kDay + 3 * kSecond);
  // By what the primary left it knows better.
  EXPECT_EQ(clock_.Now(kStart + kDay + kHour - machine_.BootNanos()), kStart + kDay + kHour);
  EXPECT_EQ(clock_.Now(), kStart + kDay + kHour);
}

TEST_F(JournalClockTest, TheLineCarriesTheTimeToTheNextReign) {
  clock_.Begin(kStart + kDay, std::nullopt);
  const int64_t line = clock_.Line();
  machine_.Advance(kHour);
  machine_.SetRealtime(kStart + 400 * kDay);
  JournalClock next({.clock = &machine_});
  EXPECT_EQ(next.Begin(kStart + kDay, line), kStart + kDay + kHour);
}

TEST_F(JournalClockTest, WithoutALineWhatAFollowerSawLiveTells) {
  clock_.Follow(kStart - kSecond, /*live=*/true);
  machine_.SetRealtime(kStart + kDay);
  EXPECT_EQ(clock_.Begin(kStart - kSecond, std::nullopt), kStart - kSecond);
  EXPECT_THAT(notes_, ElementsAre(What::kSetTooFar));
  // A frame that was replayed may be of any age.
  JournalClock replayed({.clock = &machine_});
  replayed.Follow(kStart - kSecond, /*live=*/false);
  EXPECT_EQ(replayed.Begin(kStart - kSecond, std::nullopt), kStart + kDay);
}

}  // namespace
}  // namespace kekbit
