// The journal as JournalWriter and JournalReader make and read it. P7: a reader never skips
// silently; if its place is gone it gets OutOfRange with the first seq still kept.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/shm_writer.h"
#include "tests/support/checked_payload.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The longest command in a segment of kCapacityMin: a record of 120 bytes less the frame's header.
constexpr size_t kLongest = 80;

std::string Command(uint64_t number) {
  const std::vector<uint8_t> bytes = CheckedPayload(number, kLongest);
  return std::string(AsText(bytes));
}

class JournalTest : public testing::Test {
 protected:
  // Appends the commands [from, to).
  static void AppendCommands(JournalWriter& writer, uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; ++i) ASSERT_THAT(Append(writer, Command(i)), IsOk()) << i;
  }
  static std::vector<std::string> Commands(uint64_t from, uint64_t to) {
    std::vector<std::string> commands;
    for (uint64_t i = from; i < to; ++i) commands.push_back(Command(i));
    return commands;
  }

  TempDir dir_ = TempDir::InMemory();
  FaultyFileSystem fs_;
  TestJournal journal_{dir_.path(), fs_};
};

TEST_F(JournalTest, ThereMayBeNoneYet) {
  JournalReader reader = journal_.OpenReader();
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_TRUE(reader.at_segment_end());
  EXPECT_EQ(reader.segment(), 0u);
  // The same reader finds the journal once it is made.
  JournalWriter writer = journal_.Begin();
  ASSERT_THAT(Append(writer, "first"), IsOk());
  EXPECT_THAT(ReadTexts(reader), ElementsAre("first"));
  EXPECT_FALSE(reader.at_segment_end());
  EXPECT_EQ(reader.segment(), 1u);
}

TEST_F(JournalTest, AFrameIsReadAsSoonAsItIsPublished) {
  JournalWriter writer = journal_.Begin(100);
  JournalReader reader = journal_.OpenReader();
  const std::optional<Frame> start = reader.Next();
  ASSERT_TRUE(start.has_value());
  EXPECT_EQ(start->kind(), FrameKind::kEpochStart);
  EXPECT_EQ(start->position(), (Position{.epoch = 1, .seq = 1}));
  for (Seq seq = 2; seq < 600; ++seq) {
    KB_ASSERT_OK_AND_ASSIGN(const Position position, Append(writer, Command(seq), static_cast<int64_t>(100 + seq)));
    ASSERT_EQ(position, (Position{.epoch = 1, .seq = seq}));
    const std::optional<Frame> frame = reader.Next();
    ASSERT_TRUE(frame.has_value()) << reader.status();
    ASSERT_EQ(frame->position(), position);
    ASSERT_EQ(frame->header.time_ns, static_cast<int64_t>(100 + seq));
    ASSERT_EQ(TextOf(*frame), Command(seq));
    ASSERT_EQ(reader.last(), writer.last());
    ASSERT_FALSE(reader.Next().has_value());
  }
  EXPECT_GT(journal_.Segments().size(), 2u);
}

TEST_F(JournalTest, ReadsOverManySegmentsAndEpochs) {
  uint64_t next = 0;
  for (Epoch epoch = 1; epoch <= 5; ++epoch) {
    JournalWriter writer = journal_.Begin();
    EXPECT_EQ(writer.epoch(), epoch);
    AppendCommands(writer, next, next + 400);
    next += 400;
  }
  EXPECT_GT(journal_.Segments().size(), 8u);
  EXPECT_EQ(journal_.Texts(), Commands(0, next));
  // Each epoch's first frame names what it follows.
  JournalReader reader = journal_.OpenReader();
  ChainLink before;
  while (const std::optional<Frame> frame = reader.Next()) {
    if (frame->kind() == FrameKind::kEpochStart) {
      const auto start = LoadUnaligned<EpochStart>(frame->payload.data());
      EXPECT_EQ(frame->payload.size(), sizeof start);
      EXPECT_EQ(start.follows_epoch, before.position.epoch);
      EXPECT_EQ(start.follows_seq, before.position.seq);
      EXPECT_EQ(start.follows_crc32c, before.crc32c);
    }
    before = reader.last();
  }
  EXPECT_EQ(before.position, (Position{.epoch = 5, .seq = 5 * 401}));
}

TEST_F(JournalTest, TimeDoesNotGoBack) {
  std::vector<int64_t> times;
  for (const int64_t epoch_start : {1000, 400}) {
    JournalWriter writer = journal_.Begin(epoch_start);
    for (const int64_t time : {1100, 200, 1300}) ASSERT_THAT(Append(writer, "x", time), IsOk());
  }
  JournalReader reader = journal_.OpenReader();
  while (const std::optional<Frame> frame = reader.Next()) times.push_back(frame->header.time_ns);
  EXPECT_THAT(times, ElementsAre(1000, 1100, 1100, 1300, 1300, 1300, 1300, 1300));
}

TEST_F(JournalTest, TakesACommandOfTheLongestLengthAnywhere) {
  JournalWriter writer = journal_.Begin();
  EXPECT_EQ(writer.command_bytes_max(), kLongest);
  std::vector<std::string> commands;
  // A mix of lengths, so that segments end in many ways.
  for (size_t i = 0; i < 1000; ++i) {
    commands.push_back(std::string(i % 3 == 0 ? kLongest : i % (kLongest + 1), static_cast<char>('a' + i % 26)));
    ASSERT_THAT(Append(writer, commands.back()), IsOk()) << i;
  }
  EXPECT_EQ(journal_.Texts(), commands);
}

TEST_F(JournalTest, ATooLongCommandIsRefusedAndNothingElseIs) {
  JournalWriter writer = journal_.Begin();
  std::vector<std::string> commands;
  for (size_t i = 0; i < 400; ++i) {
    const Position before = writer.last().position;
    ASSERT_THAT(Append(writer, std::string(kLongest + 1 + i, 'x')),
                StatusIs(absl::StatusCode::kResourceExhausted, AllOf(HasSubstr(dir_.path()), HasSubstr("80 bytes"))));
    ASSERT_EQ(writer.last().position, before);
    commands.push_back(Command(i));
    ASSERT_THAT(Append(writer, commands.back()), IsOk());
  }
  EXPECT_EQ(journal_.Texts(), commands);
}

TEST_F(JournalTest, AnErrorOfTheEncoderPublishesNothing) {
  JournalWriter writer = journal_.Begin();
  const auto fails = [](MutableBytes) -> absl::StatusOr<size_t> { return absl::InvalidArgumentError("no such thing"); };
  EXPECT_THAT(writer.Append(fails, 1), StatusIs(absl::StatusCode::kInvalidArgument, "no such thing"));
  ASSERT_THAT(Append(writer, "next"), IsOk());
  EXPECT_THAT(journal_.Texts(), ElementsAre("next"));
}

TEST_F(JournalTest, ABatchIsPublishedAsOne) {
  JournalWriter writer = journal_.Begin();
  AppendCommands(writer, 0, 3);
  const auto encode = [this](size_t i, MutableBytes to) -> absl::StatusOr<size_t> {
    // In the middle of the batch readers see nothing of it.
    EXPECT_THAT(journal_.Texts(), testing::ElementsAreArray(Commands(0, 3)));
    const std::string command = Command(3 + i);
    std::memcpy(to.data(), command.data(), command.size());
    return command.size();
  };
  EXPECT_THAT(writer.AppendBatch(5, encode, 1), IsOkAndHolds(Position{.epoch = 1, .seq = 5}));
  EXPECT_EQ(writer.last().position.seq, 9u);
  EXPECT_THAT(journal_.Texts(), testing::ElementsAreArray(Commands(0, 8)));
}

TEST_F(JournalTest, ABatchLiesInOneSegmentOrIsRefusedWhole) {
  JournalWriter writer = journal_.Begin();
  const auto encode = [](size_t i, MutableBytes to) -> absl::StatusOr<size_t> {
    const std::string command = Command(i);
    if (to.size() < command.size()) return absl::ResourceExhaustedError("no room");
    std::memcpy(to.data(), command.data(), command.size());
    return command.size();
  };
  // A segment holds some 120 of them: the second batch begins the next one, the third fits into
  // none.
  ASSERT_THAT(writer.AppendBatch(100, encode, 1), IsOk());
  ASSERT_THAT(writer.AppendBatch(100, encode, 1), IsOk());
  EXPECT_THAT(journal_.Segments(), ElementsAre(1, 2));
  const Position last = writer.last().position;
  EXPECT_THAT(writer.AppendBatch(1'000, encode, 1),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000 commands")));
  EXPECT_EQ(writer.last().position, last);
  ASSERT_THAT(writer.AppendBatch(100, encode, 1), IsOk());
  EXPECT_EQ(journal_.Texts().size(), 300u);
}

// A client that sends such batches again and again must not fill the disk with empty segments.
TEST_F(JournalTest, BatchesThatAreRefusedTakeNoSegmentsForEver) {
  JournalWriter writer = journal_.Begin();
  const auto encode_of = [](size_t longest) {
    return [longest](size_t i, MutableBytes to) -> absl::StatusOr<size_t> {
      const size_t size = i == 3 ? longest : 10;
      if (to.size() < size) return absl::ResourceExhaustedError("no room");
      std::memset(to.data(), 1, size);
      return size;
    };
  };
  const auto too_many = encode_of(10);
  const auto too_long = encode_of(writer.command_bytes_max() + 1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(writer.AppendBatch(5, too_long, 1), StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(journal_.Segments(), ElementsAre(1));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(writer.AppendBatch(1'000, too_many, 1), StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(journal_.Segments(), ElementsAre(1, 2));
  ASSERT_THAT(writer.AppendBatch(5, encode_of(10), 1), IsOk());
}

TEST_F(JournalTest, AnErrorInABatchPublishesNothingOfIt) {
  JournalWriter writer = journal_.Begin();
  const auto encode = [](size_t i, MutableBytes) -> absl::StatusOr<size_t> {
    if (i == 2) return absl::InvalidArgumentError("planted");
    return 1;
  };
  EXPECT_THAT(writer.AppendBatch(5, encode, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("planted")));
  AppendCommands(writer, 0, 3);
  EXPECT_THAT(journal_.Texts(), testing::ElementsAreArray(Commands(0, 3)));
}

TEST_F(JournalTest, OpensAtAnySeqWithoutReadingWhatIsBefore) {
  {
    JournalWriter writer = journal_.Begin();
    AppendCommands(writer, 2, 1000);  // command i has seq i
  }
  const std::vector<SegmentNumber> segments = journal_.Segments();
  ASSERT_GT(segments.size(), 3u);
  for (Seq from = 2; from <= 1000; from += 37) {
    EXPECT_EQ(journal_.Texts(from), Commands(from, 1000)) << from;
  }
  EXPECT_THAT(journal_.Texts(1000), IsEmpty());
  // The reader looks at none of the segments that it doesn't need: without them it comes to the
  // same result.
  for (size_t i = 0; i + 1 < segments.size(); ++i) {
    ASSERT_THAT(fs_.Unlink(journal_.layout().segment(segments[i])), IsOk());
  }
  EXPECT_EQ(journal_.Texts(990), Commands(990, 1000));
}

TEST_F(JournalTest, ASeqThatIsNotThereYetIsOutOfRange) {
  const auto open = [this](Seq from) { return ReadJournal(fs_, journal_.layout(), kTestDataFormat, from).status(); };
  EXPECT_THAT(open(0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(open(1), IsOk());
  EXPECT_THAT(open(2), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("not reached yet, the last one is 0")));
  JournalWriter writer = journal_.Begin();
  ASSERT_THAT(Append(writer, "x"), IsOk());
  EXPECT_THAT(open(3), IsOk());
  EXPECT_THAT(open(4), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("not reached yet, the last one is 2")));
}

TEST_F(JournalTest, P7AMissingBeginningIsOutOfRangeWithTheFirstSeqKept) {
  {
    JournalWriter writer = journal_.Begin();
    AppendCommands(writer, 2, 1000);
  }
  ASSERT_THAT(fs_.Unlink(journal_.layout().segment(1)), IsOk());
  // The first frame kept is the one from which on it can be read, and no earlier one.
  Seq first = 1;
  while (!ReadJournal(fs_, journal_.layout(), kTestDataFormat, first).ok()) ASSERT_LT(++first, 1000u);
  ASSERT_GT(first, 100u);
  EXPECT_EQ(journal_.Texts(first), Commands(first, 1000));
  for (const Seq from : {Seq{1}, first - 1}) {
    EXPECT_THAT(ReadJournal(fs_, journal_.layout(), kTestDataFormat, from).status(),
                StatusIs(absl::StatusCode::kOutOfRange,
                         AllOf(HasSubstr(dir_.path()), HasSubstr(absl::StrCat("the first one is ", first)))));
  }
}

TEST_F(JournalTest, P7AMissingMiddleEndsTheReaderWithTheFirstSeqBehindIt) {
  {
    JournalWriter writer = journal_.Begin();
    AppendCommands(writer, 2, 1000);
  }
  // One reader comes there later, one had the segment before open, and a third asks for what is
  // gone.
  JournalReader early = journal_.OpenReader();
  ASSERT_TRUE(early.Next().has_value());
  ASSERT_THAT(fs_.Unlink(journal_.layout().segment(2)), IsOk());
  ASSERT_THAT(fs_.Unlink(journal_.layout().segment(3)), IsOk());
  Seq behind = 999;
  while (ReadJournal(fs_, journal_.layout(), kTestDataFormat, behind - 1).ok()) ASSERT_GT(--behind, 2u);
  const auto refuses = StatusIs(absl::StatusCode::kOutOfRange,
                                AllOf(HasSubstr(dir_.path()), HasSubstr(absl::StrCat("begins with seq ", behind))));
  for (JournalReader* reader : {&early}) {
    const std::vector<std::string> texts = ReadTexts(*reader);
    EXPECT_THAT(reader->status(), refuses);
    EXPECT_EQ(texts, Commands(2, 2 + texts.size()));
    EXPECT_LT(texts.size(), behind);
    // That stays so.
    EXPECT_FALSE(reader->Next().has_value());
    EXPECT_THAT(reader->status(), refuses);
  }
  JournalReader late = journal_.OpenReader();
  ReadTexts(late);
  EXPECT_THAT(late.status(), refuses);
  EXPECT_THAT(ReadJournal(fs_, journal_.layout(), kTestDataFormat, behind - 1).status(), refuses);
}

TEST_F(JournalTest, AnotherDataFormatIsRefused) {
  JournalWriter writer = journal_.Begin();
  EXPECT_THAT(ReadJournal(fs_, journal_.layout(), kTestDataFormat + 1).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("data format")));
  EXPECT_THAT(ReadJournal(fs_, journal_.layout(), std::nullopt), IsOk());
  // Also if it comes later.
  TempDir other = TempDir::InMemory();
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(fs_, JournalLayout(other.path()), kTestDataFormat + 1));
  TestJournal later(other.path());
  JournalWriter later_writer = later.Begin();
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("data format")));
}

TEST_F(JournalTest, ASegmentOfAnotherJournalIsRefused) {
  TempDir other_dir = TempDir::InMemory();
  TestJournal other(other_dir.path());
  {
    JournalWriter writer = journal_.Begin();
    AppendCommands(writer, 2, 400);
    JournalWriter other_writer = other.Begin();
    AppendCommands(other_writer, 1000, 1400);
  }
  // Same names, same sizes, same positions as far as they go; but the chain tells.
  std::filesystem::copy_file(other.layout().segment(2), journal_.layout().segment(2),
                             std::filesystem::copy_options::overwrite_existing);
  JournalReader reader = journal_.OpenReader();
  const std::vector<std::string> texts = ReadTexts(reader);
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss,
                                        AllOf(HasSubstr(journal_.layout().segment(2)), HasSubstr("follows"))));
  EXPECT_EQ(texts, Commands(2, 2 + texts.size()));
}

TEST_F(JournalTest, AFencedWriterIsToldTheNewerEpochForEver) {
  JournalWriter writer = journal_.Begin();
  ASSERT_THAT(Append(writer, "mine"), IsOk());
  ASSERT_THAT(journal_.epochs().Grant(0), IsOkAndHolds(2u));
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Append(writer, "late"),
                StatusIs(absl::StatusCode::kAborted, AllOf(HasSubstr("epoch 1 is over"), HasSubstr("in epoch 2"))));
  }
  EXPECT_THAT(journal_.Texts(), ElementsAre("mine"));
}

TEST_F(JournalTest, WhatADeadWriterPreparedButDidNotUseIsPassed) {
  // A takeover died right after it had made its segment, twice; the next lived.
  {
    JournalWriter writer = journal_.Begin();
    AppendCommands(writer, 2, 20);
  }
  JournalReader reader = journal_.OpenReader();
  ReadTexts(reader);
  for (const SegmentNumber number : {SegmentNumber{2}, SegmentNumber{3}}) {
    KB_ASSERT_OK_AND_ASSIGN(const Header header, Header::Make({.channel_id = number, .capacity = kCapacityMin}));
    WriterOptions options;
    options.extension = SegmentExtension(kTestDataFormat, reader.last());
    options.first_heartbeat = false;
    KB_ASSERT_OK_AND_ASSIGN(ShmWriter empty, ShmWriter::Create(journal_.layout().segments(), header, options));
  }
  JournalWriter writer = journal_.Begin();
  AppendCommands(writer, 20, 30);
  EXPECT_EQ(ReadTexts(reader), Commands(20, 30));
  EXPECT_EQ(reader.segment(), 4u);
  EXPECT_EQ(journal_.Texts(), Commands(2, 30));
}

TEST_F(JournalTest, WithoutRoomForTheNextSegmentTheOldOneStillTakesWhatFits) {
  JournalWriter writer = journal_.Begin();
  fs_.FailCalls("Allocate", absl::ResourceExhaustedError("planted"));
  std::vector<std::string> commands;
  const std::string longest(kLongest, 'x');
  absl::Status full;
  while ((full = Append(writer, longest).status()).ok()) commands.push_back(longest);
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  EXPECT_THAT(Append(writer, longest), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  // 16384 bytes: the EpochStart's record of 72, then records of 128; 56 are left over for a command
  // of 8.
  EXPECT_EQ(commands.size(), 127u);
  commands.push_back("smaller!");
  EXPECT_THAT(Append(writer, commands.back()), IsOk());
  EXPECT_THAT(Append(writer, ""), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  EXPECT_EQ(journal_.Segments().size(), 1u);
  EXPECT_EQ(journal_.Texts(), commands);
  // Room again.
  fs_.Heal();
  commands.push_back(longest);
  EXPECT_THAT(Append(writer, longest), IsOk());
  EXPECT_EQ(journal_.Texts(), commands);
}

TEST_F(JournalTest, ARollThatFailsAtAnyCallLosesNothing) {
  JournalWriter writer = journal_.Begin();
  std::vector<std::string> commands;
  const std::string longest(kLongest, 'x');
  uint64_t failures = 0;
  for (uint64_t n = 1;; ++n) {
    // Up to where only a roll helps.
    fs_.FailCalls("Allocate", absl::ResourceExhaustedError("full"));
    while (Append(writer, longest).ok()) commands.push_back(longest);
    fs_.FailCall(n, absl::UnavailableError("planted"));
    const absl::Status appended = Append(writer, longest).status();
    const std::string call = fs_.failed_call();
    fs_.Heal();
    if (appended.ok()) commands.push_back(longest);
    ASSERT_EQ(journal_.Texts(), commands) << "call " << n << ", " << call;
    if (call.empty()) break;
    if (!appended.ok()) {
      ++failures;
      ASSERT_THAT(Append(writer, longest), IsOk()) << call;
      commands.push_back(longest);
    }
  }
  EXPECT_GE(failures, 5u);
  EXPECT_EQ(journal_.Texts(), commands);
}

}  // namespace
}  // namespace kekbit
