// After a power failure that took the name of a segment of which nothing was synced, and left that of the next one,
// nobody could open the journal: the gap was taken for a trimmed one. It is a torn tail.

#include <algorithm>
#include <memory>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/replica.h"
#include "tests/support/crash_images.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_machine.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

constexpr char kSegments[] = "/j/segments/0000_0000";

TEST(SegmentNameLostTest, AGapInWhatWasNotSyncedIsATornTail) {
  SimulatedMachine machine;
  const auto primary = machine.Open(machine.Options());
  machine.Poll(*primary);
  ASSERT_EQ(primary->role(), Role::kPrimary);
  const auto synced = ValueOrDie(primary->Submit("synced"));
  ASSERT_THAT(primary->WaitFor(synced.position, Ack::kSynced, absl::InfiniteDuration()), IsOk());
  while (machine.disk.List(kSegments).value().size() < 4) ASSERT_THAT(primary->Submit(std::string(60, 'x')), IsOk());

  machine.disk.CrashPoint("");
  SeededRandom random(1);
  CrashImages images(machine.disk, random, {});
  int gaps = 0;
  for (int i = 0; i < 200; ++i) {
    const std::unique_ptr<SimulatedDisk> image = images.Draw(nullptr);
    ReplicaOptions options = machine.Options();
    options.file_system = image.get();
    const std::vector<std::string> names = image->List(kSegments).value();
    const auto has = [&](char number) {
      return std::any_of(names.begin(), names.end(),
                         [&](const std::string& name) { return name == std::string("0000_000") + number + ".kekbit"; });
    };
    gaps += !has('2') && (has('3') || has('4'));
    const auto replica = SimulatedMachine::TapeReplica::Open(options);
    ASSERT_THAT(replica, IsOk()) << testing::PrintToString(names);
    machine.Poll(**replica);
    ASSERT_EQ((*replica)->role(), Role::kPrimary) << (*replica)->status() << testing::PrintToString(names);
    ASSERT_GE((*replica)->applied().seq, synced.position.seq);
  }
  EXPECT_GT(gaps, 5);
}

}  // namespace
}  // namespace kekbit
