// The checker of histories finds each kind of history that can't be true, and nothing in those that can.

#include "tests/scenarios/history.h"

#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

AppliedCommand At(Epoch epoch, Seq seq, uint64_t id, int64_t time_ns = 10) {
  return {.position = {.epoch = epoch, .seq = seq}, .id = id, .time_ns = time_ns};
}

class HistoryTest : public testing::Test {
 protected:
  // Sends a command and has it acknowledged; returns it as a state shows it.
  AppliedCommand Take(Epoch epoch, Seq seq) {
    const uint64_t id = history_.Invoke();
    history_.Acknowledged(id, {.epoch = epoch, .seq = seq});
    return At(epoch, seq, id);
  }
  void Saw(History::Observer observer, const std::vector<AppliedCommand>& state) {
    history_.Saw(observer, state, state.empty() ? Position{} : state.back().position);
  }
  void ExpectFound(const std::string& invariant) {
    EXPECT_THAT(history_.violations(), ElementsAre(StartsWith(invariant)));
  }

  History history_;
};

TEST_F(HistoryTest, NothingIsFoundWhereAllIsWell) {
  const AppliedCommand a = Take(1, 2);
  const AppliedCommand b = Take(1, 3);
  Saw(1, {a, b});
  Saw(2, {a});
  Saw(2, {a, b});
  history_.Granted(2);
  history_.Leads(2, 2);
  const AppliedCommand c = Take(2, 5);
  history_.Synced(c.position);
  history_.PowerFailed();
  Saw(3, {a, b, c});
  history_.Leads(3, 3);
  history_.Read(a, "reader");
  EXPECT_THAT(history_.violations(), IsEmpty());
}

TEST_F(HistoryTest, I1_AnAcknowledgedCommandIsMissingAfterADeath) {
  const AppliedCommand a = Take(1, 2);
  Take(1, 3);
  Saw(2, {a});
  history_.Leads(2, 2);
  ExpectFound("I1");
}

TEST_F(HistoryTest, I1_ACommandThatWasSeenIsMissing) {
  const AppliedCommand a = At(1, 2, history_.Invoke());
  history_.Unknown(a.id);
  Saw(1, {a});
  Saw(2, {});
  history_.Leads(2, 2);
  ExpectFound("I1");
}

TEST_F(HistoryTest, I1_ASyncedCommandIsMissingAfterAPowerFailure) {
  const AppliedCommand a = Take(1, 2);
  history_.Synced(a.position);
  history_.PowerFailed();
  Saw(2, {});
  history_.Leads(2, 2);
  ExpectFound("I1");
}

TEST_F(HistoryTest, I1_WhatWasFoundAfterAPowerFailureIsMissingAfterTheNext) {
  const AppliedCommand a = Take(1, 2);
  history_.PowerFailed();
  Saw(2, {a});
  history_.Leads(2, 2);
  history_.PowerFailed();
  Saw(3, {});
  history_.Leads(3, 3);
  ExpectFound("I1");
}

TEST_F(HistoryTest, WhatWasNotSyncedMayBeMissingAfterAPowerFailure) {
  Take(1, 2);
  history_.PowerFailed();
  Saw(2, {});
  history_.Leads(2, 2);
  EXPECT_THAT(history_.violations(), IsEmpty());
}

TEST_F(HistoryTest, I1_AStateGoesBack) {
  const AppliedCommand a = Take(1, 2);
  Saw(1, {a});
  Saw(1, {});
  EXPECT_THAT(history_.violations(), ElementsAre(StartsWith("I1")));
}

TEST_F(HistoryTest, I2_AStateHasACommandTwice) {
  const AppliedCommand a = Take(1, 2);
  Saw(1, {a, At(1, 3, a.id)});
  ExpectFound("I2");
}

TEST_F(HistoryTest, I2_AStateHasACommandThatNobodySent) {
  Saw(1, {At(1, 2, 77)});
  ExpectFound("I2");
}

TEST_F(HistoryTest, I2_AStateSaysThatItIsFurtherThanItIs) {
  const AppliedCommand a = Take(1, 2);
  const AppliedCommand b = Take(1, 3);
  history_.Saw(1, {a}, b.position);
  ExpectFound("I2");
}

TEST_F(HistoryTest, I2_AStateHasHalfABatch) {
  const uint64_t first = history_.Invoke(2);
  history_.Acknowledged(first, {.epoch = 1, .seq = 2});
  history_.Acknowledged(first + 1, {.epoch = 1, .seq = 3});
  Saw(1, {At(1, 2, first)});
  ExpectFound("I2");
}

TEST_F(HistoryTest, I2_AResultIsThatOfAnotherState) {
  const uint64_t id = history_.Invoke();
  history_.Acknowledged(id, {.epoch = 1, .seq = 2}, 2);
  ExpectFound("I2");
}

TEST_F(HistoryTest, I3_TwoStatesDiffer) {
  const AppliedCommand a = Take(1, 2);
  const AppliedCommand b = At(1, 2, history_.Invoke());
  Saw(1, {a});
  Saw(2, {b});
  ExpectFound("I3");
}

TEST_F(HistoryTest, I5_TwoStatesHaveOneCommandAtTwoTimes) {
  const AppliedCommand a = Take(1, 2);
  Saw(1, {a});
  Saw(2, {At(1, 2, a.id, 11)});
  ExpectFound("I3");
}

TEST_F(HistoryTest, I3_AReaderIsGivenSomethingElse) {
  const AppliedCommand a = Take(1, 2);
  history_.Read(At(2, 2, a.id), "reader");
  ExpectFound("I3");
}

TEST_F(HistoryTest, I4_WhatWasLostComesBack) {
  const AppliedCommand a = Take(1, 2);
  history_.PowerFailed();
  Saw(2, {});
  history_.Leads(2, 2);
  Saw(3, {a});
  ExpectFound("I4");
}

TEST_F(HistoryTest, I4_WhoHasWhatIsLostMayNotGoOn) {
  const AppliedCommand a = Take(1, 2);
  Saw(1, {a});
  history_.SyncFailed();
  Saw(2, {});
  history_.Leads(2, 2);
  Saw(1, {a});
  EXPECT_THAT(history_.violations(), IsEmpty());  // it has not looked yet
  const AppliedCommand b = Take(2, 4);
  Saw(1, {a, b});
  ExpectFound("I4");
}

TEST_F(HistoryTest, I6_AnEpochThatIsOverAcknowledges) {
  const AppliedCommand a = Take(1, 2);
  Saw(1, {a});
  history_.Granted(2);
  Take(1, 3);
  ExpectFound("I6");
}

TEST_F(HistoryTest, ACommandThatWasOnItsWayWhenTheEpochEndedMayBeAcknowledged) {
  const uint64_t id = history_.Invoke();
  history_.Granted(2);
  history_.Acknowledged(id, {.epoch = 1, .seq = 2});
  EXPECT_THAT(history_.violations(), IsEmpty());
}

TEST_F(HistoryTest, I6_AnEpochIsLedTwice) {
  Saw(1, {});
  history_.Leads(1, 4);
  history_.PowerFailed();
  Saw(2, {});
  history_.Leads(2, 4);
  ExpectFound("I6");
}

TEST_F(HistoryTest, I10_ARefusedCommandIsThere) {
  const uint64_t id = history_.Invoke();
  history_.Refused(id);
  Saw(1, {At(1, 2, id)});
  ExpectFound("I10");
}

TEST_F(HistoryTest, I10_AnUnknownCommandMayBeThereOrNot) {
  const uint64_t first = history_.Invoke();
  history_.Unknown(first);
  const uint64_t second = history_.Invoke();
  history_.Unknown(second);
  Saw(1, {At(1, 2, second)});
  history_.Leads(1, 2);
  EXPECT_THAT(history_.violations(), IsEmpty());
  EXPECT_EQ(history_.unknown(), 2u);
}

TEST_F(HistoryTest, P15_TimeGoesBack) {
  const AppliedCommand a = Take(1, 2);
  const AppliedCommand b = Take(1, 3);
  Saw(1, {a, At(1, 3, b.id, 9)});
  ExpectFound("P15");
}

}  // namespace
}  // namespace kekbit
