// A replica that opened a journal after a failed sync, while nobody led, applied frames that only memory had. The next
// primary did not find them on the disk, and truncated them: the first one kept them for ever, and said that all was
// well. What a failed sync left is read once the holder of the lease has written it again; and a follower whose frames
// were truncated stops.

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fiber.h"
#include "tests/support/simulated_machine.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using TapeReplica = SimulatedMachine::TapeReplica;
using ::testing::Gt;

class PoisonedJournalFollowedTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  std::unique_ptr<TapeReplica> Open(bool may_lead) {
    ReplicaOptions options = machine_.Options();
    options.may_lead = may_lead;
    return machine_.Open(std::move(options));
  }
  void Poll(TapeReplica& replica) { machine_.Poll(replica); }

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
    machine_.disk.FailSync(1, GetParam());
    ASSERT_THAT(first->WaitFor(last_, Ack::kSynced, absl::InfiniteDuration()),
                StatusIs(absl::StatusCode::kAborted, testing::_));
    ASSERT_EQ(first->role(), Role::kStopped);
  }

  SimulatedMachine machine_{{.unit_bytes = 512}};
  Position safe_;
  Position last_;
};

TEST_P(PoisonedJournalFollowedTest, NobodyReadsWhatIsNotSettled) {
  ASSERT_NO_FATAL_FAILURE(FailReign(nullptr));
  const auto observer = Open(/*may_lead=*/false);
  Poll(*observer);
  EXPECT_EQ(observer->applied(), Position());
  EXPECT_THAT(observer->status(), StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("sync")));
  machine_.disk.DropCleanPages();
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
  machine_.disk.DropCleanPages();
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

// It read up to a hole that the holder of the lease was about to cut, and stopped.
TEST_P(PoisonedJournalFollowedTest, NobodyReadsWhatIsSettledAndNotRecovered) {
  ASSERT_NO_FATAL_FAILURE(FailReign(nullptr));
  machine_.disk.DropCleanPages();
  // It stands still between the two.
  const auto next = machine_.Open(machine_.Options(), [](const SimulatedProcess::Call& call) {
    if (call.name == "Sync" && call.path == "/j/epoch" && !call.done) Fiber::Yield();
    return absl::OkStatus();
  });
  Fiber fiber;
  fiber.Start([&] { Poll(*next); });
  ASSERT_TRUE(fiber.busy());
  const auto observer = Open(/*may_lead=*/false);
  for (int i = 0; i < 3; ++i) Poll(*observer);
  EXPECT_EQ(observer->applied(), Position());
  fiber.Resume();
  ASSERT_EQ(next->role(), Role::kPrimary) << next->status();
  for (int i = 0; i < 2; ++i) Poll(*observer);
  EXPECT_EQ(observer->role(), Role::kFollower) << observer->status();
  EXPECT_EQ(observer->applied(), next->applied());
}

// A reign whose primary dies with the error of a sync in its hands: no poison tells of it.
class DeadInAFailedSyncTest : public PoisonedJournalFollowedTest {
 protected:
  void DieInASync() {
    const auto first = machine_.Open(machine_.Options(), [this](const SimulatedProcess::Call& call) {
      if (call.failed && call.is_sync()) machine_.process().Kill();
      return absl::OkStatus();
    });
    SimulatedProcess& process = machine_.process();
    Poll(*first);
    ASSERT_EQ(first->role(), Role::kPrimary);
    safe_ = ValueOrDie(first->Submit("safe")).position;
    ASSERT_THAT(first->WaitFor(safe_, Ack::kSynced, absl::InfiniteDuration()), IsOk());
    for (int i = 0; i < 200; ++i) last_ = ValueOrDie(first->Submit(std::string(60, 'x'))).position;
    machine_.disk.FailSync(2, GetParam());  // after that of the names
    EXPECT_FALSE(first->WaitFor(last_, Ack::kSynced, absl::InfiniteDuration()).ok());
    ASSERT_TRUE(process.dead());
    buried_ = &process;
  }
  // Once all that it had open is gone.
  void Bury() { buried_->Bury(); }

  // Frames that somebody finds who reads the journal from its beginning.
  uint64_t KeptFrames() {
    auto reader = ReadJournal(machine_.disk, JournalLayout("/j"));
    uint64_t frames = 0;
    while (reader.ok() && reader->Next()) ++frames;
    return frames;
  }

  // Whoever opens the journal leads, and has what was synced; and so has who opens it after that.
  void ExpectLeads() {
    for (int i = 0; i < 2; ++i) {
      const auto next = Open(/*may_lead=*/true);
      Poll(*next);
      ASSERT_EQ(next->role(), Role::kPrimary) << next->status();
      ASSERT_GE(next->applied().seq, safe_.seq);
      ASSERT_THAT(next->Submit("one more"), IsOk());
    }
  }

  SimulatedProcess* buried_ = nullptr;
};

// What the system had dropped was taken for damage, and nobody could open the journal.
TEST_P(DeadInAFailedSyncTest, WhatIsDroppedBeforeItIsReadIsATornTail) {
  ASSERT_NO_FATAL_FAILURE(DieInASync());
  Bury();
  machine_.disk.DropCleanPages();
  ExpectLeads();
}

// It led with a hole in its journal.
TEST_P(DeadInAFailedSyncTest, WhoHasReadWhatIsDroppedDoesNotLead) {
  ASSERT_NO_FATAL_FAILURE(DieInASync());
  Bury();
  {
    const auto reader = Open(/*may_lead=*/true);
    ASSERT_EQ(reader->applied(), last_);
    const uint64_t kept = KeptFrames();
    machine_.disk.DropCleanPages();
    const bool lost = KeptFrames() < kept;
    Poll(*reader);
    EXPECT_EQ(reader->role(), lost ? Role::kStopped : Role::kPrimary) << reader->status();
    if (lost) {
      EXPECT_THAT(reader->status(), StatusIs(absl::StatusCode::kAborted, testing::HasSubstr("dropped")));
    }
  }
  ExpectLeads();
}

INSTANTIATE_TEST_SUITE_P(Images, PoisonedJournalFollowedTest, testing::Range<uint64_t>(1, 21));
INSTANTIATE_TEST_SUITE_P(Images, DeadInAFailedSyncTest, testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace kekbit
