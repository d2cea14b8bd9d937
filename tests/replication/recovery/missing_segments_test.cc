// P8: a journal whose segments were deleted while nothing ran is refused. It used to open as an
// empty one.

#include "kekbit/replication/recovery/missing_segments.h"

#include <filesystem>
#include <optional>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/journal_view.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/replica.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

class MissingSegmentsTest : public ReplicaTest {
 protected:
  // A journal of three segments, whose primary was closed.
  void Write(Ack ack = Ack::kPublished) {
    const auto primary = Open(Polled());
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    while (layout_.ListSegments(fs_)->size() < 3) ASSERT_THAT(primary->Execute(std::string(400, 'x'), ack), IsOk());
  }
  void Delete(SegmentNumber number) { ASSERT_THAT(fs_.Unlink(layout_.segment(number)), IsOk()); }
  void DeleteAll() { std::filesystem::remove_all(layout_.segments()); }
  // Makes the journal look as after a restart of the machine.
  void Restart() {
    std::string bytes = ReadFileBytes(layout_.synced());
    bytes[24] = static_cast<char>(bytes[24] + 1);
    WriteFileBytes(layout_.synced(), bytes);
  }
  void ExpectRefused(const std::string& what) {
    const auto refused =
        StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(what), HasSubstr("kekbit repair " + dir_.path())));
    EXPECT_THAT(TapeReplica::Open(Polled()).status(), refused);
    ReplicaOptions reads = Polled();
    reads.may_lead = false;
    EXPECT_THAT(TapeReplica::Open(reads).status(), refused);
    KB_ASSERT_OK_AND_ASSIGN(const JournalFacts facts, JournalView(fs_, dir_.path()).Look());
    EXPECT_THAT(facts.unreadable, Contains(HasSubstr(what)));
  }
  void ExpectLeads(SegmentNumber next) {
    const auto replica = Open(Polled());
    ASSERT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
    EXPECT_EQ(layout_.ListSegments(fs_)->back(), next);
  }

  const JournalLayout layout_{dir_.path()};
};

TEST_F(MissingSegmentsTest, AJournalWithoutAnySegmentIsRefused) {
  Write();
  DeleteAll();
  ExpectRefused("segment 3 was made since the machine started");
}

TEST_F(MissingSegmentsTest, AJournalWithoutItsNewestSegmentIsRefused) {
  Write();
  Delete(3);
  ExpectRefused("segment 3 was made since the machine started");
  // A replica that has read the rest by then takes it for damage, too.
  KB_ASSERT_OK_AND_ASSIGN(SyncMark mark, SyncMark::Open(fs_, layout_.synced()));
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(fs_, layout_, std::nullopt));
  while (reader.Next()) {
  }
  const Seq end = reader.last().position.seq;
  EXPECT_THAT(RecoverTail(fs_, layout_, reader, mark, {}).status(),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("is gone"), HasSubstr("kekbit repair"))));
  // An operator may go on without.
  EXPECT_THAT(RecoverTail(fs_, layout_, reader, mark, {.lose_from = end + 1}).status(), IsOk());
  ExpectLeads(3);
}

TEST_F(MissingSegmentsTest, WhatWasSyncedIsMissedAfterARestart) {
  Write(Ack::kSynced);
  Restart();
  DeleteAll();
  ExpectRefused("was synced, and there is no segment");
}

// The power failure may have taken the segments.
TEST_F(MissingSegmentsTest, WhatWasNeverSyncedIsNotMissedAfterARestart) {
  Write();
  ASSERT_EQ(SyncMark::OpenForReading(fs_, layout_.synced())->synced(), 0u);
  Restart();
  DeleteAll();
  ExpectLeads(1);
}

// The word of what was made is older than the restart: it must not count when the machine's new
// start is noted.
TEST_F(MissingSegmentsTest, ATakeoverThatDiesBeforeItsSegmentIsMadeIsTriedAgain) {
  Write();
  Restart();
  DeleteAll();
  for (int i = 0; i < 2; ++i) {
    const auto replica = Open(Polled());
    fs_.FailCalls("LinkTo", absl::ResourceExhaustedError("planted"));
    EXPECT_THAT(PollUntil(Role::kPrimary, *replica, 3), StatusIs(absl::StatusCode::kResourceExhausted));
    fs_.Heal();
  }
  ExpectLeads(1);
}

TEST_F(MissingSegmentsTest, TheFirstPrimaryMayDieBeforeItsSegmentIsMade) {
  {
    const auto replica = Open(Polled());
    fs_.FailCalls("LinkTo", absl::ResourceExhaustedError("planted"));
    EXPECT_THAT(PollUntil(Role::kPrimary, *replica, 3), StatusIs(absl::StatusCode::kResourceExhausted));
    fs_.Heal();
  }
  EXPECT_EQ(*EpochStore::Read(fs_, layout_.epoch()), 1u);
  ExpectLeads(1);
}

// Files of an older version say nothing of it.
TEST_F(MissingSegmentsTest, WithoutTheWordNothingIsMissed) {
  Write();
  std::string bytes = ReadFileBytes(layout_.synced());
  bytes.replace(32, 8, 8, '\0');
  WriteFileBytes(layout_.synced(), bytes);
  DeleteAll();
  ExpectLeads(1);
}

}  // namespace
}  // namespace kekbit
