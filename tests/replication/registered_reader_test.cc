// A reader and its cursor, joined: at least once, nothing skipped, and OutOfRange where that can't
// be.

#include "kekbit/replication/registered_reader.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/retention/apply_retention.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RegisteredReaderTest : public testing::Test {
 protected:
  // Frames up to `last`, in an epoch of their own.
  void WriteUpTo(Seq last) {
    JournalWriter writer = journal_.Begin();
    while (writer.last().position.seq < last) ASSERT_THAT(Append(writer, "x"), IsOk());
  }

  absl::StatusOr<RegisteredReader> Open(std::optional<Position> start = std::nullopt) {
    return RegisteredReader::Open(fs_, journal_.layout(), "r", kTestDataFormat, start);
  }

  // The seqs of all frames that it gives, done with each.
  static std::vector<Seq> ReadAll(RegisteredReader& reader) {
    std::vector<Seq> seqs;
    while (const std::optional<Frame> frame = reader.Next()) {
      seqs.push_back(frame->header.seq);
      EXPECT_THAT(reader.Done(frame->position()), IsOk());
    }
    return seqs;
  }
  static std::vector<Seq> Seqs(Seq first, Seq last) {
    std::vector<Seq> seqs;
    for (Seq seq = first; seq <= last; ++seq) seqs.push_back(seq);
    return seqs;
  }

  TempDir dir_;
  FaultyFileSystem fs_;
  TestJournal journal_{dir_.path()};
};

TEST_F(RegisteredReaderTest, GoesOnWhereItWasAcrossSegmentsAndEpochs) {
  WriteUpTo(300);
  {
    KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open());
    EXPECT_EQ(ReadAll(reader), Seqs(1, 300));
    WriteUpTo(700);
    EXPECT_EQ(ReadAll(reader), Seqs(301, 700));
  }
  WriteUpTo(900);
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open());
  EXPECT_FALSE(reader.cursor().is_new());
  EXPECT_EQ(ReadAll(reader), Seqs(701, 900));
  EXPECT_THAT(reader.status(), IsOk());
}

TEST_F(RegisteredReaderTest, WhatWasNotDoneComesAgain) {
  WriteUpTo(20);
  {
    KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open());
    for (int i = 0; i < 10; ++i) {
      const std::optional<Frame> frame = reader.Next();
      ASSERT_TRUE(frame.has_value());
      if (i >= 5) continue;
      ASSERT_THAT(reader.Done(frame->position()), IsOk());
    }
  }
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open());
  EXPECT_EQ(ReadAll(reader), Seqs(6, 20));
}

TEST_F(RegisteredReaderTest, P7AFrameThatIsNoPartOfTheJournalAnyMoreIsOutOfRange) {
  WriteUpTo(20);
  {
    // Read before a power loss that took it, and another one has its seq now.
    KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open(Position{9, 15}));
    EXPECT_FALSE(reader.Next().has_value());
    EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kOutOfRange,
                                          AllOf(HasSubstr("{epoch 9, seq 15}"), HasSubstr("{epoch 1, seq 15}"),
                                                HasSubstr("the first one kept is 1"))));
    ASSERT_THAT(reader.Reset({1, 21}), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("not reached yet")));
    ASSERT_THAT(reader.Reset({1, 12}), IsOk());
    EXPECT_EQ(ReadAll(reader), Seqs(13, 20));
  }
  // Where the epoch is not known, the seq has to do.
  ASSERT_THAT(ReaderCursor::Remove(fs_, journal_.layout(), "r"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open(Position{0, 15}));
  EXPECT_EQ(ReadAll(reader), Seqs(16, 20));
}

TEST_F(RegisteredReaderTest, P7AReaderThatIsOvertakenByTheCapGetsNoFrameTooManyAndIsTold) {
  WriteUpTo(1000);
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, Open());
  std::optional<Frame> frame = reader.Next();
  ASSERT_TRUE(frame.has_value());
  KB_ASSERT_OK_AND_ASSIGN(
      const RetentionReport report,
      ApplyRetention(fs_, journal_.layout(), {.older_snapshot = 900, .synced = 1000, .cap_bytes = 1}));
  ASSERT_GE(report.segments_cut, 3u);
  EXPECT_THAT(reader.Done(frame->position()),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(absl::StrCat("is ", report.first_kept))));
  // The segment it has open is good to its end.
  Seq seq = 1;
  while ((frame = reader.Next())) ASSERT_EQ(frame->header.seq, ++seq);
  EXPECT_LT(seq, report.first_kept - 1);
  EXPECT_THAT(reader.status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(absl::StrCat("begins with seq ", report.first_kept))));
  ASSERT_THAT(reader.Reset({1, 900}), IsOk());
  EXPECT_EQ(ReadAll(reader), Seqs(901, 1000));
}

TEST_F(RegisteredReaderTest, WhatMayPassIsTriedAgain) {
  WriteUpTo(20);
  for (uint64_t n = 1;; ++n) {
    ASSERT_THAT(ReaderCursor::Register(FileSystem::Posix(), journal_.layout(), "r"), IsOk());
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    absl::StatusOr<RegisteredReader> reader = Open();
    const bool failed = fs_.failed();
    fs_.Heal();
    if (reader.ok()) {
      EXPECT_EQ(ReadAll(*reader), Seqs(1, 20));
      EXPECT_THAT(reader->status(), IsOk());
      ASSERT_THAT(reader->cursor().Reset({0, 0}), IsOk());
    } else {
      EXPECT_THAT(reader, StatusIs(absl::StatusCode::kResourceExhausted));
    }
    if (!failed) break;
  }
}

}  // namespace
}  // namespace kekbit
