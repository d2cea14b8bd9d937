// An epoch could be granted twice across a power failure: the name of DIR/epoch was synced only by the process that
// made the file, and the names of the directories above it by nobody before the first sync of a command.

#include <memory>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "tests/support/crash_images.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

// What the epochs on each disk that a power failure may leave begin with.
void ExpectGranted(SimulatedDisk& disk, Epoch epoch) {
  disk.CrashPoint("granted");
  SeededRandom random(1);
  CrashImages images(disk, random, {});
  for (auto after = images.Next(); after != nullptr; after = images.Next()) {
    EXPECT_THAT(EpochStore::Read(*after, "/d/j/epoch"), IsOkAndHolds(epoch));
  }
}

TEST(EpochNameLostTest, AGrantedEpochSurvivesInANewDirectory) {
  SimulatedDisk disk;
  ASSERT_THAT(disk.CreateDirectories("/d/j"), IsOk());
  EpochStore store = ValueOrDie(EpochStore::Open(disk, "/d/j/epoch"));
  ASSERT_THAT(store.Grant(0), IsOkAndHolds(1u));
  ExpectGranted(disk, 1);
}

TEST(EpochNameLostTest, AGrantedEpochSurvivesInAFileWhoseMakerDied) {
  SimulatedDisk disk;
  SimulatedProcess* dying = nullptr;
  SimulatedProcess first(disk, 1, [&](const SimulatedProcess::Call& call) {
    if (call.name == "LinkTo" && call.done) dying->Kill();
    return absl::OkStatus();
  });
  dying = &first;
  ASSERT_THAT(disk.CreateDirectories("/d/j"), IsOk());
  EXPECT_FALSE(EpochStore::Open(first, "/d/j/epoch").ok());
  first.Bury();
  EpochStore store = ValueOrDie(EpochStore::Open(disk, "/d/j/epoch"));
  ASSERT_THAT(store.Grant(0), IsOkAndHolds(1u));
  ExpectGranted(disk, 1);
}

}  // namespace
}  // namespace kekbit
