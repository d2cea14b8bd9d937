#include "kekbit/replication/journal/segment_sync.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<SegmentNumber> NumbersOf(const std::vector<UnsyncedSegment>& segments) {
  std::vector<SegmentNumber> numbers;
  for (const UnsyncedSegment& segment : segments) numbers.push_back(segment.number);
  return numbers;
}

// A journal of five segments: each of a reign of its own, with frames 1 and 2, 3 and 4, and so on.
class SegmentSyncTest : public testing::Test {
 protected:
  SegmentSyncTest() {
    for (int i = 0; i < 5; ++i) {
      JournalWriter writer = journal_.Begin();
      EXPECT_THAT(Append(writer, "one"), IsOk());
    }
    mark_ = std::make_unique<SyncMark>(ValueOrDie(SyncMark::Open(FileSystem::Posix(), layout_.synced())));
  }

  std::vector<UnsyncedSegment> Find(Seq synced) { return ValueOrDie(FindUnsynced(fs_, layout_, synced)); }
  std::vector<std::string> CallsOf(absl::Span<UnsyncedSegment> segments, uint64_t end = SegmentSync::kWhole) {
    fs_.Heal();
    EXPECT_THAT(SegmentSync(fs_, layout_, *mark_).Sync(segments, end), IsOk());
    return fs_.calls();
  }

  TempDir dir_ = TempDir::InMemory();
  const JournalLayout layout_{dir_.path()};
  TestJournal journal_{dir_.path()};
  FaultyFileSystem fs_;
  std::unique_ptr<SyncMark> mark_;
};

TEST_F(SegmentSyncTest, FindsTheLastThatHoldsASyncedFrameAndAllAfterIt) {
  EXPECT_THAT(NumbersOf(Find(0)), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_FALSE(Find(0).front().named);
  // Frame 4 is the last of segment 2: of segment 3 not even the name need be synced.
  EXPECT_THAT(NumbersOf(Find(4)), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(NumbersOf(Find(5)), ElementsAre(3, 4, 5));
  EXPECT_TRUE(Find(5)[0].named);
  EXPECT_FALSE(Find(5)[1].named);
  EXPECT_THAT(NumbersOf(Find(10)), ElementsAre(5));
  EXPECT_THAT(NumbersOf(ValueOrDie(FindUnsynced(fs_, layout_, 5, 4))), ElementsAre(3, 4));
}

TEST_F(SegmentSyncTest, NamesComeBeforeContentsAndThoseAboveOnce) {
  std::vector<UnsyncedSegment> segments = Find(7);  // 4, whose name is synced, and 5
  fs_.Heal();
  SegmentSync sync(fs_, layout_, *mark_);
  EXPECT_THAT(sync.Sync(absl::MakeSpan(segments), SegmentSync::kWhole), IsOk());
  EXPECT_THAT(fs_.calls(),
              ElementsAre("SyncDirectory", "SyncDirectory", "SyncDirectory", "SyncDirectory", "Open", "File::Info",
                          "Map", "MappedFile::Sync", "Open", "File::Info", "Map", "MappedFile::Sync"));
  // The last one may have grown since.
  fs_.Heal();
  EXPECT_THAT(sync.Sync(absl::MakeSpan(segments), SegmentSync::kWhole), IsOk());
  EXPECT_THAT(fs_.calls(), ElementsAre("Open", "File::Info", "Map", "MappedFile::Sync"));
  segments.push_back({.number = 6});
  ASSERT_THAT(journal_.TryBegin().status(), IsOk());
  fs_.Heal();
  EXPECT_THAT(sync.Sync(absl::MakeSpan(segments), SegmentSync::kWhole), IsOk());
  EXPECT_THAT(fs_.calls(), ElementsAre("SyncDirectory", "Open", "File::Info", "Map", "MappedFile::Sync", "Open",
                                       "File::Info", "Map", "MappedFile::Sync"));
}

TEST_F(SegmentSyncTest, ASegmentThatWasTrimmedMeanwhileIsPassedOver) {
  std::vector<UnsyncedSegment> segments = Find(0);
  ASSERT_THAT(fs_.Unlink(layout_.segment(1)), IsOk());
  EXPECT_THAT(CallsOf(absl::MakeSpan(segments)), testing::Contains("MappedFile::Sync").Times(4));
}

TEST_F(SegmentSyncTest, TheMarkTellsOfASyncUnderWayAndMovesWhenItIsDone) {
  std::vector<UnsyncedSegment> segments = Find(5);
  std::optional<SyncMark::Unfinished> under_way;
  fs_.BeforeCall("MappedFile::Sync", [&] { under_way = mark_->unfinished(); });
  EXPECT_THAT(SegmentSync(fs_, layout_, *mark_).SyncAndMark(absl::MakeSpan(segments), SegmentSync::kWhole, 10), IsOk());
  ASSERT_TRUE(under_way.has_value());
  EXPECT_EQ(under_way->segment, 3u);
  EXPECT_EQ(mark_->synced(), 10u);
  EXPECT_FALSE(mark_->unfinished().has_value());
}

// P10. The poison of one EMFILE ended every replica.
TEST_F(SegmentSyncTest, ACallThatCouldNotBeMadePoisonsNothingAndIsMadeAgain) {
  uint64_t refused = 0;
  for (EachFailure failure(fs_, EachFailure::kNotMade); failure.Next();) {
    std::vector<UnsyncedSegment> segments = Find(0);
    SegmentSync sync(fs_, layout_, *mark_);
    failure.Arm();
    const absl::Status status = sync.SyncAndMark(absl::MakeSpan(segments), SegmentSync::kWhole, 10);
    ASSERT_TRUE(status.ok() || IsTransient(status)) << status;
    refused += !status.ok();
    const size_t calls = fs_.calls().size();
    const std::string which = failure.Disarm();
    ASSERT_EQ(mark_->poisoned(), 0u) << which;
    ASSERT_FALSE(mark_->unfinished().has_value()) << which;
    ASSERT_THAT(sync.SyncAndMark(absl::MakeSpan(segments), SegmentSync::kWhole, 10), IsOk()) << which;
    // What was synced is not synced again, but for the last page of the segment in use.
    if (status.ok()) continue;
    ASSERT_LE(fs_.calls().size() + calls, 24u + 5u) << which;
  }
  EXPECT_GT(refused, 30u);
}

// P3. A standby's sync fails, and the system says OK to the primary's: the standby was told.
TEST_F(SegmentSyncTest, ASyncProvesNothingAfterThatOfAnotherProcessFailed) {
  std::vector<UnsyncedSegment> segments = Find(5);
  mark_->Poison(4);
  const Seq before = mark_->synced();
  EXPECT_THAT(SegmentSync(fs_, layout_, *mark_).SyncAndMark(absl::MakeSpan(segments), SegmentSync::kWhole, 10),
              StatusIs(StatusCode::kAborted, HasSubstr("another process")));
  EXPECT_EQ(mark_->synced(), before);
  EXPECT_TRUE(mark_->unfinished().has_value());
}

TEST_F(SegmentSyncTest, ASyncThatFailedPoisonsItsSegment) {
  std::vector<SegmentNumber> poisoned;
  for (EachFailure failure(fs_, EachFailure::kFailedSyncs); failure.Next();) {
    std::vector<UnsyncedSegment> segments = Find(0);
    ASSERT_THAT(mark_->ClearPoison(), IsOk());
    failure.Arm();
    const absl::Status status =
        SegmentSync(fs_, layout_, *mark_).SyncAndMark(absl::MakeSpan(segments), SegmentSync::kWhole, 10);
    const std::string which = failure.Disarm();
    if (!failure.failed()) continue;
    ASSERT_THAT(status, StatusIs(StatusCode::kAborted, HasSubstr("a sync failed"))) << which;
    ASSERT_TRUE(mark_->unfinished().has_value());
    poisoned.push_back(mark_->poisoned());
  }
  EXPECT_THAT(poisoned, ElementsAre(1, 1, 1, 1, 1, 2, 3, 4, 5));
}

TEST_F(SegmentSyncTest, OneDescriptorAndOneMappingAreEnough) {
  std::vector<UnsyncedSegment> segments = Find(0);
  fs_.LimitFiles(1);
  fs_.LimitMappings(1);
  CallsOf(absl::MakeSpan(segments));
  EXPECT_THAT(segments, Each(testing::Field(&UnsyncedSegment::mapping, testing::IsNull())));
}

}  // namespace
}  // namespace kekbit
