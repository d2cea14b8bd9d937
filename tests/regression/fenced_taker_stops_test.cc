// A replica that stood still in its takeover, while somebody deleted DIR/lease and another one took over, stopped for
// good when it went on: it found its segment made by the other one. It follows now.

#include <utility>

#include "absl/strings/match.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fiber.h"
#include "tests/support/simulated_machine.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

TEST(FencedTakerStopsTest, ATakerWhoseEpochIsOverFollows) {
  SimulatedMachine machine;
  bool stands = true;
  const auto slow = machine.Open(machine.Options(), [&](const SimulatedProcess::Call& call) {
    const bool makes_segment = call.name == "LinkTo" && absl::StrContains(call.path, "/segments/");
    if (makes_segment && !call.done && std::exchange(stands, false)) Fiber::Yield();
    return absl::OkStatus();
  });
  const auto other = machine.Open(machine.Options());
  Fiber fiber;
  fiber.Start([&] { slow->Poll().IgnoreError(); });
  ASSERT_TRUE(fiber.busy());

  ASSERT_THAT(machine.disk.Unlink("/j/lease"), IsOk());
  machine.Poll(*other);
  ASSERT_EQ(other->role(), Role::kPrimary);
  fiber.Resume();
  EXPECT_EQ(slow->role(), Role::kFollower) << slow->status();

  ASSERT_THAT(other->Submit("command"), IsOk());
  machine.clock.Advance(1'000'000'000);
  EXPECT_THAT(slow->Poll(), IsOk());
  EXPECT_EQ(slow->role(), Role::kFollower);
  EXPECT_EQ(slow->applied(), other->applied());
}

}  // namespace
}  // namespace kekbit
