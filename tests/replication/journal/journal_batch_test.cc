// JournalReader::NextBatch(): the frames that Next() gives, many at once.

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class JournalBatchTest : public testing::Test {
 protected:
  static void AppendMany(JournalWriter& writer, int count) {
    for (int i = 0; i < count; ++i) ASSERT_THAT(Append(writer, absl::StrCat(writer.last().position.seq)), IsOk());
  }
  static std::vector<std::string> TextsOf(absl::Span<const Frame> frames) {
    std::vector<std::string> texts;
    for (const Frame& frame : frames) texts.push_back(TextOf(frame));
    return texts;
  }

  TempDir dir_ = TempDir::InMemory();
  TestJournal journal_{dir_.path()};
};

TEST_F(JournalBatchTest, AreTheFramesOfNextOverSegmentsAndEpochs) {
  for (int epoch = 0; epoch < 4; ++epoch) {
    JournalWriter writer = journal_.Begin();
    AppendMany(writer, 500);
  }
  ASSERT_GT(journal_.Segments().size(), 6u);
  JournalReader reader = journal_.OpenReader();
  JournalReader one_by_one = journal_.OpenReader();
  size_t batches = 0;
  for (auto batch = reader.NextBatch(); !batch.empty(); batch = reader.NextBatch(), ++batches) {
    for (const Frame& frame : batch) {
      const std::optional<Frame> expected = one_by_one.Next();
      ASSERT_TRUE(expected.has_value());
      ASSERT_EQ(frame.position(), expected->position());
      ASSERT_EQ(frame.header.time_ns, expected->header.time_ns);
      ASSERT_EQ(TextOf(frame), TextOf(*expected));
      ASSERT_TRUE(frame.kind() == FrameKind::kCommand || batch.size() == 1);
    }
    ASSERT_EQ(reader.last(), one_by_one.last());
  }
  EXPECT_FALSE(one_by_one.Next().has_value());
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_EQ(reader.segment(), one_by_one.segment());
  EXPECT_EQ(reader.offset(), one_by_one.offset());
  EXPECT_LT(batches, 200u);
}

TEST_F(JournalBatchTest, HaveWhatIsPublishedAndGoOnWithWhatComes) {
  JournalReader reader = journal_.OpenReader();
  EXPECT_THAT(reader.NextBatch(), IsEmpty());  // there is no journal yet
  EXPECT_THAT(reader.status(), IsOk());
  JournalWriter writer = journal_.Begin();
  EXPECT_EQ(reader.NextBatch().size(), 1u);  // the epoch
  EXPECT_THAT(reader.NextBatch(), IsEmpty());
  AppendMany(writer, 3);
  EXPECT_THAT(TextsOf(reader.NextBatch()), ElementsAre("1", "2", "3"));
  EXPECT_THAT(reader.NextBatch(), IsEmpty());
  EXPECT_THAT(reader.status(), IsOk());
  // One by one and by batches, as one likes.
  AppendMany(writer, 3);
  EXPECT_EQ(TextOf(*reader.Next()), "4");
  EXPECT_THAT(TextsOf(reader.NextBatch()), ElementsAre("5", "6"));
  AppendMany(writer, 1);
  EXPECT_EQ(TextOf(*reader.Next()), "7");
}

TEST_F(JournalBatchTest, EndBeforeWhatDoesNotFitWhichTheNextCallTells) {
  uint64_t damaged = 0;
  {
    JournalWriter writer = journal_.Begin();
    AppendMany(writer, 5);
    damaged = kDataOffset + writer.segment_offset() + kLengthBytes + kFrameHeaderBytes;
    AppendMany(writer, 5);
  }
  const std::string path = journal_.layout().segment(1);
  const std::string good = ReadFileBytes(path);
  std::string bad = good;
  bad[damaged] = static_cast<char>(bad[damaged] ^ 1);
  WriteFileBytes(path, bad);
  JournalReader reader = journal_.OpenReader(2);
  EXPECT_THAT(TextsOf(reader.NextBatch()), ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(reader.status(), IsOk());
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT(reader.NextBatch(), IsEmpty());
    EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
    EXPECT_EQ(reader.last().position.seq, 6u);
  }
  WriteFileBytes(path, good);
  ASSERT_THAT(reader.LookAgain(), IsOk());
  EXPECT_THAT(TextsOf(reader.NextBatch()), ElementsAre("6", "7", "8", "9", "10"));
}

}  // namespace
}  // namespace kekbit
