// A replica that opened a journal after a failed sync, while nobody led, applied frames that only memory had. The next
// primary did not find them on the disk, and truncated them: the first one kept them for ever, and said that all was
// well. What a failed sync left is read once the holder of the lease has written it again; and a follower whose frames
// were truncated stops.

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kekbit/base/logger.h"
#include "kekbit/channel_format.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using TapeReplica = Replica<Tape, TextCodec>;
using ::testing::Gt;

class PoisonedJournalFollowedTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  // A process of its own, in good health.
  std::unique_ptr<TapeReplica> Open(bool may_lead) {
    processes_.push_back(std::make_unique<SimulatedProcess>(
        disk_, processes_.size() + 1, [](const SimulatedProcess::Call&) { return absl::OkStatus(); }));
    ReplicaOptions options;
    options.directory = "/j";
    options.threads = false;
    options.may_lead = may_lead;
    options.segment_bytes = kCapacityMin;
    options.free_bytes_min = 0;
    options.logger = SilentLogger();
    options.file_system = processes_.back().get();
    options.clock = &clock_;
    return ValueOrDie(TapeReplica::Open(std::move(options)));
  }
  void Poll(TapeReplica& replica) {
    clock_.Advance(2'000'000'000);
    replica.Poll().IgnoreError();
  }

  // A reign that ends with a failed sync of what fills more than a segment. `follower` applies all of it before that.
  void FailReign(TapeReplica* follower) {
    const auto first = Open(/*may_lead=*/true);
    Poll(*first);
    ASSERT_EQ(first->role(), Role::kPrimary);
    const auto safe = ValueOrDie(first->Submit("safe"));
    ASSERT_THAT(first->WaitFor(safe.position, Ack::kSynced, absl::InfiniteDuration()), IsOk());
    safe_ = safe.position;
    for (int i = 0; i < 200; ++i) last_ = ValueOrDie(first->Submit(std::string(60, 'x'))).position;
    if (follower != nullptr) {
      Poll(*follower);
      ASSERT_EQ(follower->applied(), last_);
    }
    disk_.FailSync(1, GetParam());
    ASSERT_THAT(first->WaitFor(last_, Ack::kSynced, absl::InfiniteDuration()),
                StatusIs(absl::StatusCode::kAborted, testing::_));
    ASSERT_EQ(first->role(), Role::kStopped);
  }

  SimulatedDisk disk_{SimulatedDiskOptions{.unit_bytes = 512}};
  SimulatedClock clock_;
  std::vector<std::unique_ptr<SimulatedProcess>> processes_;
  Position safe_;
  Position last_;
};

TEST_P(PoisonedJournalFollowedTest, NobodyReadsWhatIsNotSettled) {
  ASSERT_NO_FATAL_FAILURE(FailReign(nullptr));
  const auto observer = Open(/*may_lead=*/false);
  Poll(*observer);
  EXPECT_EQ(observer->applied(), Position());
  EXPECT_THAT(observer->status(), StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("sync")));
  disk_.DropCleanPages();
  const auto next = Open(/*may_lead=*/true);
  Poll(*next);
  ASSERT_EQ(next->role(), Role::kPrimary) << next->status();
  EXPECT_THAT(next->applied().seq, Gt(safe_.seq));
  ASSERT_THAT(next->Submit("one more"), IsOk());
  Poll(*observer);
  Poll(*observer);
  EXPECT_EQ(observer->applied(), next->applied());
  EXPECT_THAT(observer->status(), IsOk());
  const auto commands = [](const Tape& tape) { return tape.commands; };
  EXPECT_EQ(observer->Read(commands), next->Read(commands));
}

TEST_P(PoisonedJournalFollowedTest, AFollowerOfTruncatedFramesStops) {
  const auto follower = Open(/*may_lead=*/false);
  ASSERT_NO_FATAL_FAILURE(FailReign(follower.get()));
  // The follower is stopped meanwhile, as by SIGSTOP.
  disk_.DropCleanPages();
  const auto next = Open(/*may_lead=*/true);
  Poll(*next);
  ASSERT_EQ(next->role(), Role::kPrimary) << next->status();
  const bool truncated = next->applied().seq < last_.seq;
  Poll(*follower);
  Poll(*follower);
  if (truncated) {
    EXPECT_EQ(follower->role(), Role::kStopped) << follower->applied().ToString() << " " << next->applied().ToString();
  } else {
    EXPECT_EQ(follower->applied(), next->applied());
  }
}

INSTANTIATE_TEST_SUITE_P(Images, PoisonedJournalFollowedTest, testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace kekbit
