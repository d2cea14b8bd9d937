#include "kekbit/shm_reader.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class ShmReaderTest : public testing::Test {
 protected:
  void Write(ShmWriter& writer, absl::string_view payload) { ASSERT_THAT(writer.Write(AsBytes(payload)), IsOk()); }
  // Plants a word in the file's data area.
  void Plant(uint64_t offset, uint64_t word) {
    std::string bytes = ReadFileBytes(path_);
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + kDataOffset + offset, word);
    WriteFileBytes(path_, bytes);
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(ShmReaderTest, TryReadGivesEachRecordOnceItIsPublished) {
  ShmWriter writer = MakeWriter(path_);
  ShmReader reader = MakeReader(path_);
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  Write(writer, "a");
  Write(writer, "bc");
  EXPECT_EQ(AsText(*reader.TryRead()), "a");
  EXPECT_EQ(AsText(*reader.TryRead()), "bc");
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_FALSE(reader.exhausted());
  Write(writer, "d");
  EXPECT_EQ(AsText(*reader.TryRead()), "d");
}

TEST_F(ShmReaderTest, APayloadPointsIntoTheMappingAndStays) {
  ShmWriter writer = MakeWriter(path_);
  Write(writer, "first");
  ShmReader reader = MakeReader(path_);
  const Bytes first = *reader.TryRead();
  while (writer.Write(AsBytes("more")).ok()) {
  }
  ReadAll(reader);
  EXPECT_EQ(AsText(first), "first");
}

TEST_F(ShmReaderTest, ReadCallsTheHandlerUpToCountTimesAndSaysHowFarItCame) {
  ShmWriter writer = MakeWriter(path_);
  for (const char* payload : {"a", "b", "c"}) Write(writer, payload);
  ASSERT_THAT(writer.Heartbeat(), IsOk());
  ShmReader reader = MakeReader(path_);
  std::vector<std::string> seen;
  const auto handler = [&](Bytes payload) { seen.emplace_back(AsText(payload)); };
  EXPECT_EQ(reader.Read(handler, 0), 0u);
  EXPECT_EQ(reader.position(), 0u);
  EXPECT_EQ(reader.Read(handler, 2), 8u + 16u + 16u);  // the first heartbeat counts
  EXPECT_THAT(seen, ElementsAre("a", "b"));
  EXPECT_EQ(reader.Read(handler, 10), 16u + 8u);
  EXPECT_THAT(seen, ElementsAre("a", "b", "c"));
  EXPECT_EQ(reader.Read(handler, 10), 0u);
  EXPECT_EQ(reader.position(), writer.write_offset());
}

TEST_F(ShmReaderTest, RangeForGivesWhatIsPublishedNow) {
  ShmWriter writer = MakeWriter(path_);
  ShmReader reader = MakeReader(path_);
  EXPECT_THAT(ReadAll(reader), ElementsAre());
  Write(writer, "a");
  Write(writer, "b");
  EXPECT_THAT(ReadAll(reader), ElementsAre("a", "b"));
  Write(writer, "c");
  EXPECT_THAT(ReadAll(reader), ElementsAre("c"));
  EXPECT_THAT(ReadAll(reader), ElementsAre());
}

TEST_F(ShmReaderTest, AClosedChannelIsExhaustedAndFine) {
  {
    ShmWriter writer = MakeWriter(path_);
    Write(writer, "a");
  }
  ShmReader reader = MakeReader(path_);
  EXPECT_FALSE(reader.exhausted());
  EXPECT_THAT(ReadAll(reader), ElementsAre("a"));
  EXPECT_TRUE(reader.exhausted());
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_TRUE(reader.exhausted());
}

TEST_F(ShmReaderTest, SeesTheCloseThatComesWhileItReads) {
  std::optional<ShmWriter> writer = MakeWriter(path_);
  ShmReader reader = MakeReader(path_);
  Write(*writer, "a");
  EXPECT_THAT(ReadAll(reader), ElementsAre("a"));
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kNone);
  writer.reset();
  EXPECT_THAT(ReadAll(reader), ElementsAre());
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
}

TEST_F(ShmReaderTest, WriterAliveAsksTheLock) {
  std::optional<ShmWriter> writer = MakeWriter(path_);
  ShmReader reader = MakeReader(path_);
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
  EXPECT_THAT(MakeReader(path_).WriterAlive(), IsOkAndHolds(true));
  writer.reset();
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(false));
}

TEST_F(ShmReaderTest, WriterAliveCantBeToldOfAPlainChannel) {
  { ShmWriter writer = MakeWriter(path_); }
  std::string bytes = ReadFileBytes(path_);
  bytes.replace(128, 896, 896, '\0');
  WriteFileBytes(path_, bytes);
  ShmReader reader = MakeReader(path_);
  EXPECT_FALSE(reader.extension().has_value());
  EXPECT_THAT(reader.WriterAlive(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("plain")));
}

TEST_F(ShmReaderTest, AnotherDataFormatIsRefused) {
  WriterOptions options = QuietWriter();
  options.extension.data_format = 3;
  const ShmWriter writer = MakeWriter(path_, kSmallChannel, options);
  EXPECT_THAT(ShmReader::OpenAt(path_, {.data_format = 3}), IsOk());
  EXPECT_THAT(ShmReader::OpenAt(path_), IsOk());
  EXPECT_THAT(ShmReader::OpenAt(path_, {.data_format = 2}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("the data format is 3, not 2")));
  EXPECT_THAT(ShmReader::OpenShared(path_, writer.mapping(), {.data_format = 2}),
              StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(ShmReaderTest, OpenSharedUsesTheWritersMapping) {
  ShmWriter writer = MakeWriter(path_);
  Write(writer, "a");
  KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenShared(path_, writer.mapping()));
  EXPECT_EQ(reader.TryRead()->data(), writer.mapping()->data() + kDataOffset + 16);
}

TEST_F(ShmReaderTest, MovedReaderGoesOn) {
  ShmWriter writer = MakeWriter(path_);
  Write(writer, "a");
  Write(writer, "b");
  ShmReader first = MakeReader(path_);
  EXPECT_EQ(AsText(*first.TryRead()), "a");
  ShmReader second = std::move(first);
  EXPECT_EQ(AsText(*second.TryRead()), "b");
}

// Places: heartbeat at 0, "a" at 8, "bb" at 24, heartbeat at 40, "c" at 48, the end at 64.
class MoveToTest : public ShmReaderTest {
 protected:
  void SetUp() override {
    writer_ = MakeWriter(path_);
    Write(*writer_, "a");
    Write(*writer_, "bb");
    ASSERT_THAT(writer_->Heartbeat(), IsOk());
    Write(*writer_, "c");
    reader_ = MakeReader(path_);
  }

  std::optional<ShmWriter> writer_;
  std::optional<ShmReader> reader_;
};

TEST_F(MoveToTest, GoesToEachRecordAndHeartbeatForwardsAndBack) {
  const std::vector<std::pair<uint64_t, std::string>> places = {{0, "a"}, {8, "a"}, {24, "bb"}, {40, "c"}, {48, "c"}};
  for (const auto& [to, unused] : places) {
    for (const auto& [from, next] : places) {
      ASSERT_THAT(reader_->MoveTo(to), IsOk());
      ASSERT_THAT(reader_->MoveTo(from), IsOk());
      EXPECT_EQ(reader_->position(), from);
      EXPECT_EQ(AsText(*reader_->TryRead()), next);
    }
  }
}

TEST_F(MoveToTest, GoesToTheEndAndWaitsThere) {
  ASSERT_THAT(reader_->MoveTo(64), IsOk());
  EXPECT_EQ(reader_->TryRead(), std::nullopt);
  Write(*writer_, "d");
  EXPECT_EQ(AsText(*reader_->TryRead()), "d");
}

TEST_F(MoveToTest, InsideARecordIsInvalidAndTheReaderStays) {
  ASSERT_THAT(reader_->MoveTo(24), IsOk());
  for (const uint64_t place : {1, 7, 9, 16, 23, 25, 32, 44, 56, 63}) {
    EXPECT_THAT(reader_->MoveTo(place), StatusIs(StatusCode::kInvalidArgument, HasSubstr(absl::StrCat(place))));
    EXPECT_EQ(reader_->position(), 24u);
  }
  EXPECT_EQ(AsText(*reader_->TryRead()), "bb");
}

TEST_F(MoveToTest, BeyondTheEndIsOutOfRangeAndTheReaderStays) {
  ASSERT_THAT(reader_->MoveTo(24), IsOk());
  for (const uint64_t place : {uint64_t{65}, uint64_t{72}, uint64_t{16384}, uint64_t{16392}, ~uint64_t{0}}) {
    EXPECT_THAT(reader_->MoveTo(place), StatusIs(StatusCode::kOutOfRange, HasSubstr("64")));
    EXPECT_EQ(reader_->position(), 24u);
  }
  EXPECT_EQ(AsText(*reader_->TryRead()), "bb");
}

TEST_F(MoveToTest, BackFromTheEndIsNotExhaustedAnyMore) {
  writer_.reset();
  ReadAll(*reader_);
  ASSERT_TRUE(reader_->exhausted());
  EXPECT_THAT(reader_->MoveTo(1), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_TRUE(reader_->exhausted());
  ASSERT_THAT(reader_->MoveTo(8), IsOk());
  EXPECT_FALSE(reader_->exhausted());
  EXPECT_THAT(ReadAll(*reader_), ElementsAre("a", "bb", "c"));
  EXPECT_TRUE(reader_->exhausted());
}

TEST_F(MoveToTest, NeverWalksOverDamage) {
  writer_.reset();
  Plant(24, 1'000'000);
  *reader_ = MakeReader(path_);
  EXPECT_THAT(reader_->MoveTo(24), IsOk());
  EXPECT_THAT(reader_->MoveTo(48), StatusIs(StatusCode::kOutOfRange, HasSubstr("24")));
}

TEST_F(ShmReaderTest, DamageEndsTheReaderWithThePlaceAndTheWord) {
  {
    ShmWriter writer = MakeWriter(path_);
    Write(writer, "a");
    Write(writer, "b");
  }
  for (const uint64_t word :
       {uint64_t{121}, uint64_t{1} << 32, uint64_t{0xFFFF'FFFF'1111'1112}, kClose - 1, kClose / 2}) {
    Plant(24, word);
    ShmReader reader = MakeReader(path_);
    EXPECT_THAT(ReadAll(reader), ElementsAre("a"));
    EXPECT_EQ(reader.channel_end(), ChannelEnd::kDamaged);
    EXPECT_EQ(reader.position(), 24u);
    EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss,
                                          testing::AllOf(HasSubstr(path_), HasSubstr("offset 24"), HasSubstr("120"))));
  }
}

// A file cut at each byte of the record at 8: the record is whole or not shown.
TEST_F(ShmReaderTest, ACutFileEndsWithAnError) {
  {
    ShmWriter writer = MakeWriter(path_);
    Write(writer, "0123456789");
    Write(writer, "b");
  }
  const std::string whole = ReadFileBytes(path_);
  for (size_t data = 0; data <= 40; ++data) {
    WriteFileBytes(path_, whole.substr(0, kDataOffset + data));
    ShmReader reader = MakeReader(path_);
    EXPECT_EQ(ReadAll(reader).size(), data >= 32 ? 1u : 0u) << data;
    EXPECT_EQ(reader.channel_end(), ChannelEnd::kFileEnd) << data;
    EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss, HasSubstr("the file ends")));
  }
}

TEST_F(ShmReaderTest, ToAJournalAZeroIsTheEndForNow) {
  WriterOptions options = QuietWriter();
  options.first_heartbeat = false;
  {
    ShmWriter writer = MakeWriter(path_, kSmallChannel, options);
    Write(writer, "a");
    Write(writer, "b");
  }
  Plant(16, 0);
  ShmReader channel = MakeReader(path_);
  EXPECT_THAT(channel.TryRead(), testing::Optional(testing::SizeIs(1)));
  ShmReader journal = MakeReader(path_, {.heartbeats = false});
  EXPECT_THAT(ReadAll(journal), ElementsAre("a"));
  EXPECT_EQ(journal.position(), 16u);
  EXPECT_FALSE(journal.exhausted());
  EXPECT_THAT(journal.status(), IsOk());
  // Nothing was written there, so nothing comes later.
  EXPECT_THAT(journal.MoveTo(24), StatusIs(StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace kekbit
