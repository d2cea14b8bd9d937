#include "kekbit/shm_writer.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/checked_payload.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class ShmWriterTest : public testing::Test {
 protected:
  ShmWriter Make(const WriterOptions& options = QuietWriter()) { return MakeWriter(path_, kSmallChannel, options); }
  // The word that stands in the data area at `offset`.
  uint64_t WordAt(uint64_t offset) {
    return LoadUnaligned<uint64_t>(
        reinterpret_cast<const uint8_t*>(ReadFileBytes(path_).data() + kDataOffset + offset));
  }
  std::vector<std::string> Published() {
    ShmReader reader = MakeReader(path_);
    return ReadAll(reader);
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(ShmWriterTest, BeginsWithAHeartbeatUnlessToldOtherwise) {
  EXPECT_EQ(Make().write_offset(), 8u);
  EXPECT_EQ(WordAt(0), kHeartbeat);
  path_ = dir_.File("journal.kekbit");
  WriterOptions options = QuietWriter();
  options.first_heartbeat = false;
  EXPECT_EQ(Make(options).write_offset(), 0u);
  EXPECT_EQ(WordAt(0), kClose);
}

TEST_F(ShmWriterTest, CreatePutsTheChannelInItsPlaceBelowTheRoot) {
  KB_ASSERT_OK_AND_ASSIGN(const ShmWriter writer, ShmWriter::Create(dir_.path(), MakeHeader(), QuietWriter()));
  EXPECT_EQ(writer.path(), ChannelPath(dir_.path(), 42));
  EXPECT_THAT(ShmReader::Open(dir_.path(), 42), IsOk());
  EXPECT_THAT(ShmReader::Open(dir_.path(), 43), StatusIs(StatusCode::kNotFound));
}

TEST_F(ShmWriterTest, WriteTakesLengthPayloadAndPadding) {
  ShmWriter writer = Make();
  uint64_t offset = writer.write_offset();
  for (size_t length = 1; length <= 24; ++length) {
    const uint64_t expected = (8 + length + 7) / 8 * 8;
    EXPECT_THAT(writer.Write(AsBytes(std::string(length, 'a'))), IsOkAndHolds(expected));
    EXPECT_EQ(WordAt(offset), length);
    offset += expected;
    EXPECT_EQ(writer.write_offset(), offset);
    EXPECT_EQ(writer.available(), 16384 - offset);
    EXPECT_EQ(WordAt(offset), kWatermark);
  }
}

TEST_F(ShmWriterTest, AnEmptyPayloadIsRefused) {
  ShmWriter writer = Make();
  EXPECT_THAT(writer.Write({}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(writer.Claim(0), StatusIs(StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_EQ(writer.write_offset(), 8u);
  EXPECT_THAT(Published(), ElementsAre());
}

TEST_F(ShmWriterTest, TheLongestPayloadIsMaxMsgLen) {
  ShmWriter writer = Make();
  const std::string longest(writer.header().max_msg_len(), 'l');
  EXPECT_EQ(longest.size(), 120u);
  EXPECT_THAT(writer.Write(AsBytes(longest + "x")),
              StatusIs(StatusCode::kInvalidArgument, testing::AllOf(HasSubstr("121"), HasSubstr("120"))));
  EXPECT_THAT(writer.Claim(121), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.Claim(~uint64_t{0}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.Claim(~uint64_t{0} - 7), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.Write(AsBytes(longest)), IsOkAndHolds(128u));
  EXPECT_THAT(Published(), ElementsAre(longest));
}

TEST_F(ShmWriterTest, AClaimIsInTheMappingAndUnseenUntilPublished) {
  ShmWriter writer = Make();
  KB_ASSERT_OK_AND_ASSIGN(const MutableBytes claim, writer.Claim(100));
  EXPECT_EQ(claim.size(), 100u);
  EXPECT_EQ(claim.data(), writer.mapping()->data() + kDataOffset + 16);
  std::memcpy(claim.data(), "claimed", 7);
  EXPECT_THAT(Published(), ElementsAre());
  EXPECT_EQ(writer.Publish(7), 16u);
  EXPECT_THAT(Published(), ElementsAre("claimed"));
}

TEST_F(ShmWriterTest, AnAbortedClaimLeavesNoTrace) {
  ShmWriter writer = Make();
  KB_ASSERT_OK_AND_ASSIGN(const MutableBytes claim, writer.Claim(100));
  std::memset(claim.data(), 'x', claim.size());
  writer.Abort();
  EXPECT_THAT(Published(), ElementsAre());
  EXPECT_EQ(writer.write_offset(), 8u);
  ASSERT_THAT(writer.Write(AsBytes("next")), IsOk());
  EXPECT_THAT(Published(), ElementsAre("next"));
}

TEST_F(ShmWriterTest, HeldRecordsAreSeenTogether) {
  ShmWriter writer = Make();
  ASSERT_THAT(writer.Write(AsBytes("before")), IsOk());
  const uint64_t offset = writer.write_offset();
  for (const absl::string_view text : {"one", "two", "three"}) {
    KB_ASSERT_OK_AND_ASSIGN(const MutableBytes claim, writer.Claim(10));
    std::memcpy(claim.data(), text.data(), text.size());
    writer.Hold(text.size());
    EXPECT_THAT(Published(), ElementsAre("before"));
    EXPECT_EQ(WordAt(offset), kWatermark);
  }
  writer.Release();
  EXPECT_THAT(Published(), ElementsAre("before", "one", "two", "three"));
}

TEST_F(ShmWriterTest, HeldRecordsThatAreDroppedLeaveNoTrace) {
  {
    ShmWriter writer = Make();
    const uint64_t offset = writer.write_offset();
    for (int i = 0; i < 3; ++i) {
      ASSERT_THAT(writer.Claim(10), IsOk());
      writer.Hold(10);
    }
    writer.DropHeld();
    EXPECT_EQ(writer.write_offset(), offset);
    ASSERT_THAT(writer.Write(AsBytes("after")), IsOk());
    EXPECT_THAT(Published(), ElementsAre("after"));
    ASSERT_THAT(writer.Claim(10), IsOk());
    writer.Hold(10);
  }
  EXPECT_THAT(Published(), ElementsAre("after"));  // the destructor closed in front of what was held
}

TEST_F(ShmWriterTest, ClaimMostGivesTheLongestAllowedThenWhatIsLeft) {
  ShmWriter writer = Make();
  for (;;) {
    const uint64_t left = writer.available();
    const absl::StatusOr<MutableBytes> claim = writer.ClaimMost();
    if (left < 16) {
      EXPECT_THAT(claim, StatusIs(StatusCode::kResourceExhausted));
      break;
    }
    ASSERT_THAT(claim, IsOk());
    EXPECT_EQ(claim->size(), std::min<uint64_t>(120, left - 8));
    writer.Publish(claim->size());
  }
  EXPECT_EQ(writer.available(), 0u);
}

TEST_F(ShmWriterTest, HeartbeatsTakeAWordAndAreNotShown) {
  ShmWriter writer = Make();
  EXPECT_THAT(writer.Heartbeat(), IsOkAndHolds(8u));
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  EXPECT_THAT(writer.Heartbeat(), IsOkAndHolds(8u));
  EXPECT_THAT(writer.Heartbeat(), IsOkAndHolds(8u));
  ASSERT_THAT(writer.Write(AsBytes("b")), IsOk());
  EXPECT_THAT(Published(), ElementsAre("a", "b"));
}

TEST_F(ShmWriterTest, IsFullExactlyAtItsEnd) {
  ShmWriter writer = Make();
  const std::string longest(120, 'l');
  while (writer.available() >= 128) ASSERT_THAT(writer.Write(AsBytes(longest)), IsOkAndHolds(128u));
  ASSERT_EQ(writer.available(), 120u);
  EXPECT_THAT(writer.Write(AsBytes(longest)), StatusIs(StatusCode::kResourceExhausted, HasSubstr("120 are left")));
  EXPECT_THAT(writer.Write(AsBytes(std::string(113, 'x'))), StatusIs(StatusCode::kResourceExhausted));
  // A shorter one still fits: to the last byte.
  EXPECT_THAT(writer.Write(AsBytes(std::string(112, 'x'))), IsOkAndHolds(120u));
  EXPECT_EQ(writer.available(), 0u);
  EXPECT_THAT(writer.Write(AsBytes("x")), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(writer.Heartbeat(), StatusIs(StatusCode::kResourceExhausted, HasSubstr("0 are left")));
  EXPECT_EQ(writer.write_offset(), 16384u);
  EXPECT_EQ(WordAt(16384), kWatermark);
}

TEST_F(ShmWriterTest, ClosesWhenDestroyed) {
  {
    ShmWriter writer = Make({.touch_ahead_bytes = 0});
    ASSERT_THAT(writer.Write(AsBytes("last")), IsOk());
    EXPECT_EQ(dir_.Listing(), "channel.kekbit channel.wake");
    EXPECT_EQ(WordAt(24), kWatermark);
    EXPECT_THAT(MakeReader(path_).WriterAlive(), IsOkAndHolds(true));
  }
  EXPECT_EQ(dir_.Listing(), "channel.kekbit");
  EXPECT_EQ(WordAt(24), kClose);
  EXPECT_THAT(MakeReader(path_).WriterAlive(), IsOkAndHolds(false));
}

TEST_F(ShmWriterTest, AClaimThatIsOpenAtTheEndIsLost) {
  {
    ShmWriter writer = Make();
    ASSERT_THAT(writer.Claim(50), IsOk());
  }
  EXPECT_EQ(WordAt(8), kClose);
  EXPECT_THAT(Published(), ElementsAre());
}

TEST_F(ShmWriterTest, AClosedChannelIsNeverWrittenAgain) {
  Make();
  EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(), QuietWriter()), StatusIs(StatusCode::kAlreadyExists));
}

TEST_F(ShmWriterTest, MovesWithItsChannel) {
  ShmWriter first = Make();
  ASSERT_THAT(first.Write(AsBytes("a")), IsOk());
  ShmWriter second = std::move(first);
  ASSERT_THAT(second.Write(AsBytes("b")), IsOk());
  ShmWriter other = MakeWriter(dir_.File("other.kekbit"));
  other = std::move(second);
  // The channel that was written before is closed, the one moved in is not.
  EXPECT_EQ(MakeReader(dir_.File("other.kekbit")).TryRead(), std::nullopt);
  ShmReader closed = MakeReader(dir_.File("other.kekbit"));
  EXPECT_EQ(closed.TryRead(), std::nullopt);
  EXPECT_EQ(closed.channel_end(), ChannelEnd::kClosed);
  ASSERT_THAT(other.Write(AsBytes("c")), IsOk());
  EXPECT_THAT(Published(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(WordAt(other.write_offset()), kWatermark);
}

TEST_F(ShmWriterTest, FlushSyncsTheNameOnceAndPassesErrorsOn) {
  FaultyFileSystem fs;
  WriterOptions options = QuietWriter();
  options.file_system = &fs;
  ShmWriter writer = Make(options);
  fs.Heal();
  EXPECT_THAT(writer.Flush(), IsOk());
  EXPECT_THAT(fs.calls(), ElementsAre("MappedFile::Sync", "SyncDirectory"));
  fs.Heal();
  EXPECT_THAT(writer.Flush(), IsOk());
  EXPECT_THAT(fs.calls(), ElementsAre("MappedFile::Sync"));
  fs.FailCall(1, absl::DataLossError("planted"));
  EXPECT_THAT(writer.Flush(), StatusIs(StatusCode::kDataLoss, HasSubstr("planted")));
}

TEST_F(ShmWriterTest, TheHotPathNeverEntersTheFileSystem) {
  FaultyFileSystem fs;
  WriterOptions options = QuietWriter();
  options.file_system = &fs;
  ShmWriter writer = Make(options);
  fs.Heal();
  while (writer.Write(AsBytes("some payload")).ok()) {
  }
  EXPECT_THAT(fs.calls(), ElementsAre());
}

TEST_F(ShmWriterTest, SaysItsDataFormatAndHints) {
  WriterOptions options = QuietWriter();
  options.extension = {.data_format = 1ull << 40, .hints = {4, 3, 2, 1}};
  const ShmWriter writer = Make(options);
  EXPECT_EQ(writer.data_format(), 1ull << 40);
  EXPECT_EQ(MakeReader(path_).extension(), options.extension);
}

TEST_F(ShmWriterTest, AnOwnWakePathIsNotDeleted) {
  WriterOptions options = {.wake_path = dir_.File("shared.wake"), .touch_ahead_bytes = 0};
  { const ShmWriter writer = Make(options); }
  EXPECT_EQ(dir_.Listing(), "channel.kekbit shared.wake");
}

// The distance is small, so that the writer runs through all cases: before, at and beyond what is
// touched.
TEST_F(ShmWriterTest, TouchingAheadChangesNothing) {
  for (const uint64_t ahead : {1ull, 4096ull, 65536ull, 1ull << 40}) {
    const std::string path = dir_.File(absl::StrCat(ahead));
    ShmWriter writer = MakeWriter(path, {.capacity = 1 << 20, .max_msg_len = 8000}, {.touch_ahead_bytes = ahead});
    uint64_t written = 0;
    while (writer.Write(CheckedPayload(written, 4000)).ok()) ++written;
    EXPECT_LT(writer.available(), 4008u);
    ShmReader reader = MakeReader(path);
    uint64_t read = 0;
    for (const Bytes payload : reader) ASSERT_TRUE(IsCheckedPayload(payload, read++, 4000));
    EXPECT_EQ(read, written);
  }
}

class ShmWriterDeathTest : public ShmWriterTest {
 protected:
  // Not in a forked child, where every call is an error.
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(ShmWriterDeathTest, OneClaimAtATime) {
  ShmWriter writer = Make();
  ASSERT_THAT(writer.Claim(10), IsOk());
  EXPECT_DEATH(writer.Claim(10).IgnoreError(), "broken contract");
  EXPECT_DEATH(writer.Write(AsBytes("x")).IgnoreError(), "broken contract");
  EXPECT_DEATH(writer.Heartbeat().IgnoreError(), "broken contract");
}

TEST_F(ShmWriterDeathTest, PublishWantsAClaimAndAPartOfIt) {
  ShmWriter writer = Make();
  EXPECT_DEATH(writer.Publish(1), "broken contract");
  EXPECT_DEATH(writer.Abort(), "broken contract");
  ASSERT_THAT(writer.Claim(10), IsOk());
  EXPECT_DEATH(writer.Publish(0), "broken contract");
  EXPECT_DEATH(writer.Publish(11), "broken contract");
  writer.Abort();
  EXPECT_DEATH(writer.Publish(10), "broken contract");
}

}  // namespace
}  // namespace kekbit
