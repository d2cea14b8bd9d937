// A replica that stood still in its takeover, while somebody deleted DIR/lease and another one took over, stopped for
// good when it went on: it found its segment made by the other one. It follows now.

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kekbit/base/logger.h"
#include "kekbit/channel_format.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fiber.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using TapeReplica = Replica<Tape, TextCodec>;

TEST(FencedTakerStopsTest, ATakerWhoseEpochIsOverFollows) {
  SimulatedDisk disk;
  SimulatedClock clock;
  const auto open = [&](FileSystem& fs) {
    ReplicaOptions options;
    options.directory = "/j";
    options.threads = false;
    options.segment_bytes = kCapacityMin;
    options.free_bytes_min = 0;
    options.logger = SilentLogger();
    options.file_system = &fs;
    options.clock = &clock;
    return ValueOrDie(TapeReplica::Open(std::move(options)));
  };
  bool stands = true;
  SimulatedProcess slow_process(disk, 1, [&](const SimulatedProcess::Call& call) {
    const bool makes_segment = call.name == "LinkTo" && absl::StrContains(call.path, "/segments/");
    if (makes_segment && !call.done && std::exchange(stands, false)) Fiber::Yield();
    return absl::OkStatus();
  });
  SimulatedProcess other_process(disk, 2, [](const SimulatedProcess::Call&) { return absl::OkStatus(); });
  const auto slow = open(slow_process);
  const auto other = open(other_process);
  Fiber fiber;
  fiber.Start([&] { slow->Poll().IgnoreError(); });
  ASSERT_TRUE(fiber.busy());

  ASSERT_THAT(disk.Unlink("/j/lease"), IsOk());
  clock.Advance(1'000'000'000);
  other->Poll().IgnoreError();
  ASSERT_EQ(other->role(), Role::kPrimary);
  fiber.Resume();
  EXPECT_EQ(slow->role(), Role::kFollower) << slow->status();

  ASSERT_THAT(other->Submit("command"), IsOk());
  clock.Advance(1'000'000'000);
  EXPECT_THAT(slow->Poll(), IsOk());
  EXPECT_EQ(slow->role(), Role::kFollower);
  EXPECT_EQ(slow->applied(), other->applied());
}

}  // namespace
}  // namespace kekbit
