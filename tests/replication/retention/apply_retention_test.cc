// Retention on a disk. P9: the journal is trimmed only up to the older of two verified snapshots.
// P11: a dead registered reader blocks no writer. It holds the journal up to the cap, then it loses
// its place and, P7, is told.

#include "kekbit/replication/retention/apply_retention.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/registered_reader.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Seq kLast = 2000;

class ApplyRetentionTest : public testing::Test {
 protected:
  // Frames 1 to kLast, in at least six segments.
  void SetUp() override {
    JournalWriter writer = journal_.Begin();
    AppendUpTo(writer, kLast);
    segments_ = ValueOrDie(ListKeptSegments(fs_, layout()));
    ASSERT_GE(segments_.size(), 6u);
    for (const KeptSegment& segment : segments_) files_.push_back(ReadFileBytes(layout().segment(segment.number)));
  }

  // Restores the journal as it was before anything was trimmed.
  void Restore() {
    for (size_t i = 0; i < files_.size(); ++i) WriteFileBytes(layout().segment(segments_[i].number), files_[i]);
  }

  const JournalLayout& layout() const { return journal_.layout(); }

  static void AppendUpTo(JournalWriter& writer, Seq last) {
    while (writer.last().position.seq < last) {
      ASSERT_THAT(Append(writer, absl::StrCat("command ", writer.last().position.seq + 1)), IsOk());
    }
  }

  // Begins the next epoch after kLast, whatever was trimmed.
  JournalWriter BeginBehindLast() {
    JournalReader reader = journal_.OpenReader(kLast);
    while (reader.Next()) {
    }
    return ValueOrDie(JournalWriter::Begin(
        {.layout = layout(), .data_format = kTestDataFormat, .segment_bytes = kCapacityMin}, journal_.epochs(),
        ValueOrDie(journal_.epochs().Grant(1)), reader.last(), segments_.back().number + 1, 1));
  }

  absl::StatusOr<RetentionReport> Apply(Seq older_snapshot, uint64_t cap_bytes = 0) {
    return ApplyRetention(fs_, layout(), {.older_snapshot = older_snapshot, .synced = kLast, .cap_bytes = cap_bytes});
  }

  // Checks that the journal reads from the first frame kept to the end, and that the first frame is
  // at most `most`.
  void ExpectSound(Seq most, Seq last = kLast) {
    const std::vector<KeptSegment> kept = ValueOrDie(ListKeptSegments(FileSystem::Posix(), layout()));
    ASSERT_FALSE(kept.empty());
    const Seq first = kept.front().follows.seq + 1;
    EXPECT_LE(first, most);
    JournalReader reader = journal_.OpenReader(first);
    Seq next = first;
    while (const std::optional<Frame> frame = reader.Next()) ASSERT_EQ(frame->header.seq, next++);
    EXPECT_THAT(reader.status(), IsOk());
    EXPECT_EQ(next, last + 1);
  }

  // The last frame before the segment with this index.
  Seq Before(size_t index) const { return segments_[index].follows.seq; }
  Position PositionBefore(size_t index) const { return segments_[index].follows; }

  TempDir dir_;
  FaultyFileSystem fs_;
  TestJournal journal_{dir_.path()};
  std::vector<KeptSegment> segments_;
  std::vector<std::string> files_;
};

TEST_F(ApplyRetentionTest, P9CutsBehindTheOlderSnapshotOnly) {
  KB_ASSERT_OK_AND_ASSIGN(RetentionReport report, Apply(0));
  EXPECT_EQ(report.segments_cut, 0u);
  EXPECT_EQ(report.first_kept, 1u);
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(2) - 1));
  EXPECT_EQ(report.segments_cut, 1u);
  EXPECT_EQ(report.first_kept, Before(1) + 1);
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(2)));
  EXPECT_EQ(report.segments_cut, 1u);
  EXPECT_EQ(report.bytes_cut, segments_[1].bytes);
  EXPECT_EQ(report.bytes_kept, (segments_.size() - 2) * segments_[1].bytes);
  ExpectSound(Before(2) + 1);
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(2)));
  EXPECT_EQ(report.segments_cut, 0u);
}

TEST_F(ApplyRetentionTest, AJournalThatIsCutGoesOnAndIsCutAgain) {
  ASSERT_THAT(Apply(kLast), IsOk());
  EXPECT_EQ(journal_.Segments().size(), 1u);
  JournalWriter writer = BeginBehindLast();
  AppendUpTo(writer, 2 * kLast);
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report,
                          ApplyRetention(fs_, layout(), {.older_snapshot = kLast, .synced = 2 * kLast}));
  EXPECT_EQ(report.segments_cut, 1u);
  EXPECT_EQ(report.first_kept, kLast + 1);
  ExpectSound(kLast + 1, 2 * kLast);
}

TEST_F(ApplyRetentionTest, NothingThereIsNothingDone) {
  TempDir empty;
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report,
                          ApplyRetention(fs_, JournalLayout(empty.path()), {.older_snapshot = 9, .synced = 9}));
  EXPECT_EQ(report.segments_cut, 0u);
  EXPECT_EQ(empty.Listing(), "");
}

TEST_F(ApplyRetentionTest, P11ADeadReaderHoldsTheJournalUpToTheCapThenLosesItsPlace) {
  SharedWords words(1);
  ChildProcess owner([&] {
    auto reader = RegisteredReader::Open(fs_, layout(), "dead", kTestDataFormat);
    std::optional<Frame> frame;
    while (reader.ok() && (frame = reader->Next()) && frame->header.seq <= Before(1)) {
      if (!reader->Done(frame->position()).ok()) return 1;
    }
    words.Set(0, 1);
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  owner.Kill();
  // The reader keeps nobody from writing, and what it has not read is there.
  const uint64_t all = segments_.size() * segments_[0].bytes;
  KB_ASSERT_OK_AND_ASSIGN(RetentionReport report, Apply(kLast));
  EXPECT_EQ(report.segments_cut, 1u);
  {
    JournalWriter writer = BeginBehindLast();
    AppendUpTo(writer, 2 * kLast);
  }
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(kLast, 10 * all));
  EXPECT_EQ(report.segments_cut, 0u);
  EXPECT_THAT(report.lost, IsEmpty());
  // Register a reader that keeps up, and one whose lag exceeds the cap.
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor quick, ReaderCursor::Register(fs_, layout(), "quick", Position{2, kLast + 9}));
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor slow, ReaderCursor::Register(fs_, layout(), "slow", PositionBefore(3)));
  const uint64_t kept = ValueOrDie(ListKeptSegments(fs_, layout())).size() * segments_[0].bytes;
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(kLast, kept - 1));
  EXPECT_EQ(report.segments_cut, 2u);  // the one too many, and one that nobody wants then
  EXPECT_EQ(report.first_kept, Before(3) + 1);
  EXPECT_THAT(report.lost, ElementsAre("dead"));
  EXPECT_THAT(quick.status(), IsOk());
  EXPECT_THAT(slow.status(), IsOk());
  ExpectSound(Before(3) + 1, 2 * kLast);
  // The reader, told when it comes back, starts over from a snapshot.
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader again, RegisteredReader::Open(fs_, layout(), "dead", kTestDataFormat));
  EXPECT_FALSE(again.Next().has_value());
  EXPECT_THAT(again.status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(absl::StrCat("the first one is ", Before(3) + 1))));
  ASSERT_THAT(again.Reset(PositionBefore(5)), IsOk());
  const std::optional<Frame> frame = again.Next();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->header.seq, Before(5) + 1);
}

TEST_F(ApplyRetentionTest, ItIsReportedWhichReaderHoldsTheJournalHowMuchAndSinceWhen) {
  { KB_ASSERT_OK_AND_ASSIGN(ReaderCursor dead, ReaderCursor::Register(fs_, layout(), "dead", PositionBefore(2))); }
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor quick, ReaderCursor::Register(fs_, layout(), "quick", PositionBefore(5)));
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report, Apply(Before(5)));
  ASSERT_EQ(report.holds.size(), 1u);
  EXPECT_EQ(report.holds[0].name, "dead");
  EXPECT_FALSE(report.holds[0].owned);
  EXPECT_EQ(report.holds[0].bytes, 3 * segments_[2].bytes);
  JournalReader reader = journal_.OpenReader(Before(2) + 1);
  EXPECT_EQ(report.holds[0].since_ns, reader.Next()->header.time_ns);
  EXPECT_EQ(WaitingSince(fs_, layout(), kLast + 7), 0);
}

TEST_F(ApplyRetentionTest, AReaderThatLostItsPlaceIsToldOnceAndHoldsNothing) {
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, ReaderCursor::Register(fs_, layout(), "r"));
  KB_ASSERT_OK_AND_ASSIGN(RetentionReport report, Apply(Before(2), 1));
  EXPECT_THAT(report.lost, ElementsAre("r"));
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(3)));
  EXPECT_EQ(report.segments_cut, 1u);
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_THAT(cursor.Advance({1, 1}), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(ApplyRetentionTest, P7ReadersAreToldBeforeAnythingOfTheirsGoes) {
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, ReaderCursor::Register(fs_, layout(), "r"));
  fs_.FailCalls("Unlink", absl::UnknownError("planted"));
  EXPECT_THAT(Apply(Before(2), 1), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_THAT(cursor.status(), StatusIs(absl::StatusCode::kOutOfRange));
  ExpectSound(1);
  // If the reader can't be told, nothing goes.
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor other, ReaderCursor::Register(FileSystem::Posix(), layout(), "other"));
  fs_.FailCalls("MappedFile::Sync", absl::DataLossError("planted"));
  EXPECT_THAT(Apply(Before(2), 1), StatusIs(absl::StatusCode::kDataLoss));
  ExpectSound(1);
}

TEST_F(ApplyRetentionTest, P7AReaderThatRegistersWhileItIsCutIsTold) {
  std::optional<ReaderCursor> late;
  std::optional<ReaderCursor> ahead;
  fs_.BeforeCall("Unlink", [&] {
    late = ValueOrDie(ReaderCursor::Register(fs_, layout(), "late"));
    ahead = ValueOrDie(ReaderCursor::Register(fs_, layout(), "ahead", PositionBefore(2)));
  });
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report, Apply(Before(2)));
  EXPECT_THAT(report.lost, ElementsAre("late"));
  EXPECT_THAT(late->status(), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(ahead->status(), IsOk());
}

TEST_F(ApplyRetentionTest, ASegmentThatAnotherProcessCutMeanwhileIsFine) {
  fs_.BeforeCall("Unlink", [&] { ASSERT_THAT(fs_.Unlink(layout().segment(1)), IsOk()); });
  KB_ASSERT_OK_AND_ASSIGN(RetentionReport report, Apply(Before(2)));
  EXPECT_EQ(report.segments_cut, 1u);
  ExpectSound(Before(2) + 1);
  // The segment goes between the look at its name and the look at the file.
  fs_.BeforeCall("ReadAt", [&] {
    fs_.BeforeCall("Open", [&] { ASSERT_THAT(fs_.Unlink(layout().segment(4)), IsOk()); });
    ASSERT_THAT(fs_.Unlink(layout().segment(3)), IsOk());
  });
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(4)));
  EXPECT_EQ(report.segments_cut, 0u);
  ExpectSound(Before(4) + 1);
}

TEST_F(ApplyRetentionTest, APositionThatIsNotOnStableStorageLetsNothingGo) {
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, ReaderCursor::Register(fs_, layout(), "r"));
  ASSERT_THAT(cursor.Advance(PositionBefore(2)), IsOk());
  fs_.FailCalls("File::Sync", absl::DataLossError("planted"));
  EXPECT_THAT(Apply(kLast), StatusIs(absl::StatusCode::kDataLoss));
  ExpectSound(1);
  fs_.Heal();
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report, Apply(kLast));
  EXPECT_EQ(report.first_kept, Before(2) + 1);
}

TEST_F(ApplyRetentionTest, ACursorThatCantBeReadHoldsAllUpToTheCapAndIsReported) {
  ASSERT_THAT(ReaderCursor::Register(fs_, layout(), "r", Position{1, kLast}), IsOk());
  WriteFileBytes(JoinPath(layout().readers(), "r"), std::string(128, 'x'));
  KB_ASSERT_OK_AND_ASSIGN(RetentionReport report, Apply(kLast));
  EXPECT_EQ(report.segments_cut, 0u);
  EXPECT_THAT(report.unreadable, ElementsAre(AllOf(HasSubstr("r: "), HasSubstr("no reader's cursor"))));
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(kLast, segments_[0].bytes * segments_.size() - 1));
  EXPECT_EQ(report.segments_cut, 1u);
  EXPECT_THAT(report.lost, IsEmpty());  // nobody knows
  EXPECT_EQ(report.unreadable.size(), 1u);
  ASSERT_THAT(ReaderCursor::Remove(fs_, layout(), "r"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(report, Apply(Before(3)));
  EXPECT_EQ(report.segments_cut, 2u);
  EXPECT_THAT(report.unreadable, IsEmpty());
}

TEST_F(ApplyRetentionTest, EachUnlinkIsOnStableStorageBeforeTheNext) {
  fs_.Heal();
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report, Apply(kLast));
  ASSERT_GE(report.segments_cut, 5u);
  std::string order;
  for (const std::string& call : fs_.calls()) {
    if (call == "Unlink") order += 'u';
    if (call == "SyncDirectory") order += 's';
  }
  // The first for an unlink that somebody else did not come to sync.
  std::string expected = "s";
  for (uint64_t i = 0; i < report.segments_cut; ++i) expected += "us";
  EXPECT_EQ(order, expected);
}

TEST_F(ApplyRetentionTest, WhicheverCallFailsTheJournalHasNoHoleAndTheNextTryDoesIt) {
  const Seq snapshot = Before(3);
  uint64_t n = 1;
  for (bool failed = true; failed; ++n) {
    // One dead reader is in the way, another is not.
    Restore();
    ASSERT_THAT(ReaderCursor::Register(FileSystem::Posix(), layout(), "dead"), IsOk());
    ASSERT_THAT(ReaderCursor::Register(FileSystem::Posix(), layout(), "quick", Position{1, kLast}), IsOk());
    fs_.FailCall(n, absl::UnknownError("planted"));
    const auto report = Apply(snapshot, 1);
    failed = fs_.failed();
    const std::string call = absl::StrCat(n, " ", fs_.failed_call());
    EXPECT_THAT(report, StatusIs(failed ? absl::StatusCode::kUnknown : absl::StatusCode::kOk)) << call;
    ASSERT_NO_FATAL_FAILURE(ExpectSound(snapshot + 1)) << call;
    // Nobody's place is gone who was not told.
    const Seq first = ValueOrDie(BeforeFirstKept(FileSystem::Posix(), layout())).seq + 1;
    for (const CursorView& cursor : ValueOrDie(ListCursors(FileSystem::Posix(), layout()))) {
      EXPECT_TRUE(cursor.lost() || cursor.done.seq + 1 >= first) << cursor.name << " " << call;
    }
    fs_.Heal();
    KB_ASSERT_OK_AND_ASSIGN(const RetentionReport again, Apply(snapshot, 1));
    EXPECT_EQ(again.first_kept, snapshot + 1) << call;
    ASSERT_NO_FATAL_FAILURE(ExpectSound(snapshot + 1)) << call;
    for (const CursorView& cursor : ValueOrDie(ListCursors(fs_, layout()))) {
      EXPECT_EQ(cursor.lost(), cursor.name == "dead") << call;
      ASSERT_THAT(ReaderCursor::Remove(fs_, layout(), cursor.name), IsOk());
    }
  }
  EXPECT_GT(n, 40u);
}

TEST_F(ApplyRetentionTest, SeveralProcessesMayCutAtOnce) {
  SharedWords words(1);
  std::vector<ChildProcess> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&] {
      words.AwaitAtLeast(0, 1);
      for (Seq snapshot = 1; snapshot <= kLast; snapshot += 7) {
        const auto report = Apply(snapshot);
        if (!report.ok() && !absl::IsUnavailable(report.status())) return 1;
      }
      return 0;
    });
  }
  words.Set(0, 1);
  for (ChildProcess& other : others) EXPECT_EQ(other.Wait(), 0);
  ExpectSound(kLast);
  KB_ASSERT_OK_AND_ASSIGN(const RetentionReport report, Apply(kLast));
  EXPECT_LE(report.segments_cut, 1u);
}

TEST_F(ApplyRetentionTest, ADamagedJournalIsNotCut) {
  const std::string path = layout().segment(3);
  const std::string bytes = ReadFileBytes(path);
  ASSERT_THAT(fs_.Unlink(path), IsOk());
  EXPECT_THAT(Apply(kLast), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("segment 3 is missing")));
  WriteFileBytes(path, ReadFileBytes(layout().segment(2)));
  EXPECT_THAT(Apply(kLast), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("this is segment 2, not 3")));
  WriteFileBytes(path, "x");
  EXPECT_THAT(Apply(kLast), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  // This segment says that it follows earlier frames than its predecessor does.
  std::string wrong = bytes;
  Extension extension = **Extension::Decode(AsBytes(wrong));
  extension.hints[2] = 1;
  extension.EncodeTo(MutableBytes(reinterpret_cast<uint8_t*>(wrong.data()), wrong.size()));
  WriteFileBytes(path, wrong);
  EXPECT_THAT(Apply(kLast), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path), HasSubstr("follows"))));
  EXPECT_EQ(journal_.Segments().size(), segments_.size());
}

}  // namespace
}  // namespace kekbit
