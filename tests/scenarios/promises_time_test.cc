// P15: the journal's time never goes back and never stands still; durations by it are right to 10
// %, whatever the clock is set to.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/replica_fixture.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr int64_t kHourNs = 3600 * kSecondNs;
constexpr int64_t kDayNs = 24 * kHourNs;

class PromiseP15Test : public ReplicaTest {
 protected:
  ReplicaOptions Logged() {
    ReplicaOptions options = Polled();
    options.logger = [this](LogSeverity severity, absl::string_view text) {
      if (severity >= LogSeverity::kWarning) warnings_.emplace_back(text);
    };
    return options;
  }
  std::unique_ptr<TapeReplica> OpenLeader() {
    auto replica = Open(Logged());
    EXPECT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
    return replica;
  }
  void SetClock(int64_t by) { clock_.SetRealtime(clock_.RealtimeNanos() + by); }
  // The time that a command gets now.
  static int64_t Stamp(TapeReplica& replica) {
    EXPECT_THAT(replica.Execute("x"), IsOk());
    return replica.Read([](const Tape& tape) { return tape.times.back(); });
  }
  // Lets an hour go by, with a command each minute; expects that the journal says so, to a tenth.
  void ExpectAnHour(TapeReplica& replica) {
    const int64_t begin = Stamp(replica);
    int64_t last = begin;
    for (int i = 0; i < 60; ++i) {
      clock_.Advance(60 * kSecondNs);
      if (i % 7 == 0) replica.Poll().IgnoreError();
      const int64_t now = Stamp(replica);
      EXPECT_GE(now - last, 54 * kSecondNs);
      EXPECT_LE(now - last, 66 * kSecondNs);
      last = now;
    }
  }

  std::vector<std::string> warnings_;
};

TEST_F(PromiseP15Test, TimeDoesNotStandStillAfterAClockThatWasAhead) {
  const auto primary = OpenLeader();
  const int64_t before = Stamp(*primary);
  // Set wrong by what is followed, and right again.
  SetClock(kHourNs - kSecondNs);
  EXPECT_EQ(Stamp(*primary), before + kHourNs - kSecondNs);
  SetClock(-(kHourNs - kSecondNs));
  ExpectAnHour(*primary);
  EXPECT_THAT(warnings_, Contains(AllOf(HasSubstr("set by -1 h"), HasSubstr("ahead by 1 h"))));
  // The wall clock has caught up after ten times the difference.
  for (int i = 0; i < 9; ++i) ExpectAnHour(*primary);
  EXPECT_EQ(Stamp(*primary), clock_.RealtimeNanos());
}

TEST_F(PromiseP15Test, AClockThatIsSetBackByADay) {
  const auto primary = OpenLeader();
  Stamp(*primary);
  SetClock(-kDayNs);
  ExpectAnHour(*primary);
  EXPECT_THAT(warnings_, Contains(HasSubstr("ahead by 1 d")));
}

// A command stamped by such a clock would have frozen the journal's time for a day.
TEST_F(PromiseP15Test, AClockThatIsSetAheadByADayIsNotFollowedAtOnce) {
  const auto primary = OpenLeader();
  const int64_t before = Stamp(*primary);
  SetClock(kDayNs);
  EXPECT_EQ(Stamp(*primary), before);
  ExpectAnHour(*primary);
  EXPECT_THAT(warnings_, Contains(AllOf(HasSubstr("set by 1 d"), HasSubstr("faster by a tenth"))));
  // When the clock is set right again, nothing is left to make up for except the tenth.
  SetClock(-kDayNs);
  EXPECT_EQ(Stamp(*primary), clock_.RealtimeNanos() + kHourNs / 10);
  ExpectAnHour(*primary);
  EXPECT_EQ(Stamp(*primary), clock_.RealtimeNanos());
}

TEST_F(PromiseP15Test, AnIdlePrimaryNoticesToo) {
  const auto primary = OpenLeader();
  Stamp(*primary);
  clock_.Advance(kHourNs);
  SetClock(-kHourNs / 2);
  EXPECT_THAT(primary->Poll(), IsOk());
  EXPECT_THAT(warnings_, Contains(HasSubstr("30 min")));
}

TEST_F(PromiseP15Test, ATakeoverGoesOnWhereTheReignBeforeWas) {
  for (const int64_t set_by : {kDayNs, -kDayNs, int64_t{0}}) {
    auto primary = OpenLeader();
    const auto standby = Open(Logged());
    const int64_t before = Stamp(*primary);
    // Days without a command, by which nobody knows the time.
    for (int i = 0; i < 5; ++i) {
      clock_.Advance(kDayNs / 2);
      EXPECT_THAT(primary->Poll(), IsOk());
    }
    SetClock(set_by);
    primary.reset();
    ASSERT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
    const int64_t passed = Stamp(*standby) - before;
    EXPECT_GE(passed, 9 * kDayNs / 4) << set_by;
    EXPECT_LE(passed, 11 * kDayNs / 4) << set_by;
    ExpectAnHour(*standby);
    SetClock(-set_by);
  }
}

TEST_F(PromiseP15Test, ARestartGoesOnWhereTheReignBeforeWas) {
  int64_t before = 0;
  {
    const auto primary = OpenLeader();
    before = Stamp(*primary);
    EXPECT_THAT(primary->Poll(), IsOk());
  }
  clock_.Advance(kHourNs);
  SetClock(30 * kDayNs);
  const auto primary = OpenLeader();
  const int64_t passed = Stamp(*primary) - before;
  EXPECT_GE(passed, 9 * kHourNs / 10);
  EXPECT_LE(passed, 11 * kHourNs / 10);
  EXPECT_THAT(warnings_, Contains(HasSubstr("ahead of the journal's time by 30 d")));
}

TEST_F(PromiseP15Test, AMachineThatWasOffForDaysFollowsItsClock) {
  int64_t before = 0;
  {
    const auto primary = OpenLeader();
    before = Stamp(*primary);
  }
  // Started anew: nobody has a boot clock that goes back to then.
  ASSERT_THAT(fs_.Unlink(dir_.File("synced")), IsOk());
  clock_.Advance(3 * kDayNs);
  const auto primary = OpenLeader();
  EXPECT_GE(Stamp(*primary) - before, 3 * kDayNs);
}

TEST_F(PromiseP15Test, TheFramesOfABatchKeepToIt) {
  const auto primary = OpenLeader();
  const int64_t before = Stamp(*primary);
  SetClock(kDayNs);
  clock_.Advance(kSecondNs);
  ASSERT_THAT(primary->SubmitBatch({"one", "two"}), IsOk());
  const std::vector<int64_t> times = primary->Read([](const Tape& tape) { return tape.times; });
  ASSERT_EQ(times.size(), 3u);
  EXPECT_EQ(times[1], before + kSecondNs);
  EXPECT_EQ(times[2], before + kSecondNs);
}

TEST_F(PromiseP15Test, WhoeverReadsTheStateGetsTheJournalsTimeToo) {
  const auto primary = OpenLeader();
  const auto follower = Open(Logged());
  const int64_t before = Stamp(*primary);
  EXPECT_THAT(follower->Poll(), IsOk());
  SetClock(-kDayNs);
  clock_.Advance(10 * kSecondNs);
  EXPECT_THAT(primary->Poll(), IsOk());
  const absl::Time now = primary->Now();
  EXPECT_EQ(absl::ToUnixNanos(now), Stamp(*primary));
  EXPECT_EQ(primary->Read([](const Tape&, Position, absl::Time time) { return time; }), now);
  EXPECT_GE(absl::ToUnixNanos(follower->Now()) - before, 9 * kSecondNs);
  EXPECT_LE(absl::ToUnixNanos(follower->Now()) - before, 11 * kSecondNs);
}

TEST_F(PromiseP15Test, ALimitBelowZeroIsRefused) {
  ReplicaOptions options = Polled();
  options.clock_set_ahead_max = -absl::Nanoseconds(1);
  EXPECT_THAT(TapeReplica::Open(options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("clock_set_ahead_max")));
}

}  // namespace
}  // namespace kekbit
