// A follower that looked at a torn tail before the holder of the lease had cut it stopped for good: on a busy machine
// that had just started, each replica might have. It gives the holder some time now.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fiber.h"
#include "tests/support/simulated_machine.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

class TornTailSeenEarlyTest : public ::testing::Test {
 protected:
  // As a power failure may leave it: the first frame of a segment is missing, a later segment is there.
  void SetUp() override {
    {
      const auto primary = machine_.Open(machine_.Options());
      machine_.Poll(*primary);
      while (!machine_.disk.Info(Segment(3)).ok()) ASSERT_THAT(primary->Submit(std::string(60, 'x')), IsOk());
    }
    ValueOrDie(SyncMark::Open(machine_.disk, "/j/synced")).SetBoot(0);
    const std::unique_ptr<File> file = ValueOrDie(machine_.disk.Open(Segment(2), Access::kReadWrite));
    const std::vector<uint8_t> zeros(kLengthBytes);
    ASSERT_THAT(file->WriteAt(kDataOffset, Bytes(zeros)), IsOk());
    // It has the lease, and stands still before it looks at the end.
    holder_ = machine_.Open(machine_.Options(), [](const SimulatedProcess::Call& call) {
      if (call.name == "Sync" && call.path == "/j/epoch" && !call.done) Fiber::Yield();
      return absl::OkStatus();
    });
    fiber_.Start([this] { machine_.Poll(*holder_); });
    ASSERT_TRUE(fiber_.busy());
    ReplicaOptions observes = machine_.Options();
    observes.may_lead = false;
    observer_ = machine_.Open(observes);
    machine_.Poll(*observer_);
    ASSERT_EQ(observer_->role(), Role::kFollower) << observer_->status();
  }

  static std::string Segment(int number) {
    return "/j/segments/0000_0000/0000_000" + std::to_string(number) + ".kekbit";
  }

  SimulatedMachine machine_;
  std::unique_ptr<SimulatedMachine::TapeReplica> holder_;
  std::unique_ptr<SimulatedMachine::TapeReplica> observer_;
  Fiber fiber_;
};

TEST_F(TornTailSeenEarlyTest, AFollowerWaitsUntilItIsCut) {
  fiber_.Resume();
  ASSERT_EQ(holder_->role(), Role::kPrimary) << holder_->status();
  ASSERT_THAT(holder_->Submit("one more"), IsOk());
  for (int i = 0; i < 2; ++i) machine_.Poll(*observer_);
  EXPECT_EQ(observer_->role(), Role::kFollower) << observer_->status();
  EXPECT_EQ(observer_->applied(), holder_->applied());
}

TEST_F(TornTailSeenEarlyTest, AFollowerDoesNotWaitForEver) {
  for (int i = 0; i < 2; ++i) machine_.Poll(*observer_);
  EXPECT_EQ(observer_->role(), Role::kStopped);
  EXPECT_THAT(observer_->status(), StatusIs(absl::StatusCode::kDataLoss, testing::HasSubstr("there is no frame")));
  fiber_.Resume();
  EXPECT_EQ(holder_->role(), Role::kPrimary) << holder_->status();
}

}  // namespace
}  // namespace kekbit
