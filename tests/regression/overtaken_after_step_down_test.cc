// A replica that stood still after it had stepped down, until the next primary had trimmed the journal up to a snapshot
// of its own, stopped for good: the place where it wanted to read on was gone. It starts over from that snapshot now.

#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/replica.h"
#include "tests/support/simulated_machine.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"

namespace kekbit {
namespace {

TEST(OvertakenAfterStepDownTest, StartsOverFromASnapshot) {
  SimulatedMachine machine;
  ReplicaOptions options = machine.Options();
  options.snapshots.on_primary = true;
  const auto first = machine.Open(options);
  machine.Poll(*first);
  const auto second = machine.Open(options);
  ASSERT_THAT(first->Submit("of the first reign"), IsOk());
  machine.Poll(*second);
  ASSERT_THAT(first->StepDown(Successor::kStandby), IsOk());

  // `first` stands still.
  for (int i = 0; i < 2; ++i) machine.Poll(*second);
  ASSERT_EQ(second->role(), Role::kPrimary) << second->status();
  for (int snapshot = 0; snapshot < 3; ++snapshot) {
    for (int i = 0; i < 300; ++i) ASSERT_THAT(second->Submit(std::string(60, 'x')), IsOk());
    ASSERT_THAT(second->TakeSnapshot(), IsOk());
  }
  ASSERT_FALSE(machine.disk.Info("/j/segments/0000_0000/0000_0002.kekbit").ok()) << "it is not trimmed";

  machine.Poll(*first);
  EXPECT_EQ(first->role(), Role::kFollower) << first->status();
  EXPECT_EQ(first->applied(), second->applied());
  const auto commands = [](const Tape& tape) { return tape.commands; };
  EXPECT_EQ(first->Read(commands), second->Read(commands));
}

}  // namespace
}  // namespace kekbit
