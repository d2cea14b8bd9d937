// Where a replica begins, and that the survey for an operator says the same of every journal.

#include "kekbit/replication/recovery/start.h"

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class StartTest : public testing::Test {
 protected:
  // Writes six segments, and a snapshot in the second and in the fourth.
  void SetUp() override {
    JournalWriter writer = journal_.Begin();
    for (const SegmentNumber segment : {2, 4, 6}) {
      while (writer.segment() < segment) ValueOrDie(Append(writer, std::string(80, 'x')));
      for (int i = 0; i < 10; ++i) ValueOrDie(Append(writer, "in it"));
      if (segment == 6) break;
      links_.push_back(writer.last());
      ASSERT_THAT(Snapshot(writer.last()), IsOk());
    }
  }

  absl::Status Snapshot(const ChainLink& link) {
    SnapshotHeader header = HeaderOf(link.position.seq);
    header.last = link;
    return WriteSnapshot(fs_, layout().snapshots(), header, "a state");
  }
  const JournalLayout& layout() const { return journal_.layout(); }
  std::string PathOf(const ChainLink& link) const {
    return JoinPath(layout().snapshots(), SnapshotName(link.position.seq));
  }
  void Flip(const std::string& path, size_t at) {
    std::string bytes = ReadFileBytes(path);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    WriteFileBytes(path, bytes);
  }

  absl::StatusOr<ReplicaStart> Find(bool loads = true) {
    return FindStart(fs_, layout(), {.content = kTestDataFormat, .loads = loads, .type = HeaderOf(1).type});
  }
  // Expects that a replica begins after `seq`, and that the survey says so.
  void ExpectBegins(Seq seq) {
    KB_ASSERT_OK_AND_ASSIGN(ReplicaStart start, Find());
    EXPECT_EQ(start.snapshot_seq(), seq);
    const std::optional<Frame> frame = start.reader.Next();
    ASSERT_TRUE(frame.has_value()) << start.reader.status();
    EXPECT_EQ(frame->header.seq, seq + 1);
    KB_ASSERT_OK_AND_ASSIGN(const StartSurvey survey, SurveyStart(fs_, layout()));
    EXPECT_THAT(survey.opens(), IsOk());
    EXPECT_EQ(survey.newest_good() == nullptr ? 0 : survey.newest_good()->seq, seq);
  }
  // Expects that no replica begins, for that reason, and that the survey says so.
  void ExpectRefused(absl::StatusCode code, const std::string& why) {
    EXPECT_THAT(Find().status(), StatusIs(code, HasSubstr(why)));
    KB_ASSERT_OK_AND_ASSIGN(const StartSurvey survey, SurveyStart(fs_, layout()));
    EXPECT_THAT(survey.begins, StatusIs(code, HasSubstr(why)));
    EXPECT_THAT(survey.opens(), StatusIs(code));
  }

  FaultyFileSystem fs_;
  TempDir dir_ = TempDir::InMemory();
  TestJournal journal_{dir_.path()};
  std::vector<ChainLink> links_;  // of the snapshots, oldest first
};

TEST_F(StartTest, AReplicaBeginsAfterTheNewestGoodSnapshot) {
  ExpectBegins(links_[1].position.seq);
  Flip(PathOf(links_[1]), 100);
  ExpectBegins(links_[0].position.seq);
  KB_ASSERT_OK_AND_ASSIGN(const ReplicaStart start, Find());
  ASSERT_EQ(start.found.passed_over.size(), 1u);
  EXPECT_THAT(start.found.passed_over[0], StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PathOf(links_[1]))));
  Flip(PathOf(links_[0]), 100);
  ExpectBegins(0);
}

TEST_F(StartTest, AStateThatCantBeLoadedBeginsWithSeqOne) {
  KB_ASSERT_OK_AND_ASSIGN(const ReplicaStart start, Find(/*loads=*/false));
  EXPECT_EQ(start.snapshot_seq(), 0u);
  EXPECT_EQ(start.reader.last().position.seq, 0u);
  std::filesystem::remove(layout().segment(1));
  EXPECT_THAT(Find(/*loads=*/false).status(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("no longer kept")));
  EXPECT_THAT(Find(), IsOk());
}

// The survey used to pass over what a replica refuses.
TEST_F(StartTest, ASnapshotOfANewerVersionIsNotPassedOver) {
  std::string bytes = ReadFileBytes(PathOf(links_[1]));
  auto header = LoadUnaligned<SnapshotFileHeader>(AsBytes(bytes).data());
  header.version = 9;
  header.crc32c = HeaderChecksum(header);
  StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()), header);
  WriteFileBytes(PathOf(links_[1]), bytes);
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "version 9");
}

TEST_F(StartTest, NoPlaceNamesWhatWasLookedAt) {
  Flip(PathOf(links_[1]), 100);
  for (const SegmentNumber segment : {1, 2, 3}) std::filesystem::remove(layout().segment(segment));
  ExpectRefused(absl::StatusCode::kOutOfRange, "no longer kept");
  EXPECT_THAT(Find().status(),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("the newest good snapshot is " + PathOf(links_[0])),
                             HasSubstr("passed over was " + PathOf(links_[1])), HasSubstr("kekbit repair "))));
  Flip(PathOf(links_[0]), 100);
  ExpectRefused(absl::StatusCode::kOutOfRange, "no longer kept");
  EXPECT_THAT(Find().status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("there is no good snapshot to begin with")));
}

TEST_F(StartTest, ASnapshotOfAnotherHistoryIsNoPlace) {
  std::filesystem::remove(PathOf(links_[1]));
  ChainLink other = links_[1];
  ++other.crc32c;
  ASSERT_THAT(Snapshot(other), IsOk());
  ExpectRefused(absl::StatusCode::kDataLoss, "another history");
}

}  // namespace
}  // namespace kekbit
