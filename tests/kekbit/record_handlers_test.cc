#include "kekbit/record_handlers.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class RecordHandlersTest : public testing::Test {
 protected:
  template <typename... Handlers>
  HandledWriter<Handlers...> Writer(Handlers... handlers) {
    return HandledWriter(MakeWriter(path_), handlers...);
  }
  template <typename... Handlers>
  HandledReader<Handlers...> Reader(Handlers... handlers) {
    return HandledReader(MakeReader(path_), handlers...);
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(RecordHandlersTest, EachHandlersBytesAreWhereTheChainPutsThem) {
  const FakeClock clock(1234);
  auto writer = Writer(Crc32cHandler(), SequenceHandler(6), TimestampHandler(TickUnit::kNanos, clock));
  EXPECT_THAT(writer.Write(AsBytes("hello")), IsOkAndHolds(8u + 32u));
  ShmReader plain = MakeReader(path_);
  const Bytes record = *plain.TryRead();
  ASSERT_EQ(record.size(), 8u + 8u + 5u + 4u);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&record[0]), 7u);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&record[8]), 1234u);
  EXPECT_EQ(AsText(record.subspan(16, 5)), "hello");
  EXPECT_EQ(LoadUnaligned<uint32_t>(&record[21]), Crc32c(0, record.subspan(0, 21)));
}

TEST_F(RecordHandlersTest, TheReaderGivesPayloadAndValues) {
  FakeClock clock(5'000'000);
  auto writer = Writer(SequenceHandler(), Crc32cHandler(), TimestampHandler(TickUnit::kMillis, clock));
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  clock.Advance(2'000'000);
  ASSERT_THAT(writer.Write({}), IsOk());
  auto reader = Reader(SequenceHandler(), Crc32cHandler(), TimestampHandler(TickUnit::kMillis, clock));
  const auto first = reader.TryRead();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(AsText(first->payload), "a");
  EXPECT_EQ(first->Get<SequenceHandler>(), 1u);
  EXPECT_EQ(first->Get<TimestampHandler>(), 5u);
  const auto second = reader.TryRead();
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->payload.empty());
  EXPECT_EQ(second->Get<SequenceHandler>(), 2u);
  EXPECT_EQ(second->Get<TimestampHandler>(), 7u);
  EXPECT_FALSE(reader.TryRead().has_value());
  EXPECT_THAT(reader.status(), IsOk());
}

TEST_F(RecordHandlersTest, TheHandlersBytesCountAsPayload) {
  auto writer = Writer(SequenceHandler());
  EXPECT_THAT(writer.Write(AsBytes(std::string(113, 'x'))), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.Write(AsBytes(std::string(112, 'x'))), IsOk());
  auto reader = Reader(SequenceHandler());
  // The write that failed took no number.
  EXPECT_TRUE(reader.TryRead().has_value());
}

TEST_F(RecordHandlersTest, AGapInTheSequenceEndsTheReader) {
  auto writer = Writer(SequenceHandler());
  for (const char* payload : {"a", "b", "c"}) ASSERT_THAT(writer.Write(AsBytes(payload)), IsOk());
  auto reader = Reader(SequenceHandler(1));
  EXPECT_FALSE(reader.TryRead().has_value());
  EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss, HasSubstr("sequence number 1 follows 1")));
  EXPECT_FALSE(reader.TryRead().has_value());

  ShmReader moved = MakeReader(path_);
  ASSERT_TRUE(moved.TryRead().has_value());
  HandledReader later(std::move(moved), SequenceHandler(0));
  EXPECT_FALSE(later.TryRead().has_value());
  EXPECT_THAT(later.status(), StatusIs(StatusCode::kDataLoss, HasSubstr("offset 32: sequence number 2 follows 0")));
}

TEST_F(RecordHandlersTest, EachFlippedBitOfARecordIsFoundByItsChecksum) {
  { ASSERT_THAT(Writer(Crc32cHandler()).Write(AsBytes("some payload")), IsOk()); }
  const std::string good = ReadFileBytes(path_);
  const size_t begin = kDataOffset + 8 + 8;  // after heartbeat and length
  for (size_t bit = 0; bit < (12 + 4) * 8; ++bit) {
    std::string bad = good;
    bad[begin + bit / 8] = static_cast<char>(bad[begin + bit / 8] ^ 1 << bit % 8);
    WriteFileBytes(path_, bad);
    auto reader = Reader(Crc32cHandler());
    EXPECT_FALSE(reader.TryRead().has_value());
    EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss, HasSubstr("checksum")));
  }
}

TEST_F(RecordHandlersTest, ARecordTooShortForTheHandlersIsDamage) {
  ShmWriter writer = MakeWriter(path_);
  ASSERT_THAT(writer.Write(AsBytes("0123456789a")), IsOk());
  auto reader = Reader(SequenceHandler(), Crc32cHandler());
  EXPECT_FALSE(reader.TryRead().has_value());
  EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss));
}

TEST_F(RecordHandlersTest, WithoutHandlersItIsAPlainWriter) {
  HandledWriter<> writer(MakeWriter(path_));
  EXPECT_THAT(writer.Write(AsBytes("a")), IsOkAndHolds(16u));
  EXPECT_THAT(writer.Write({}), StatusIs(StatusCode::kInvalidArgument));
  HandledReader<> reader(MakeReader(path_));
  EXPECT_EQ(AsText(reader.TryRead()->payload), "a");
}

// Written by the Rust library's chain of Sequence and Timestamp.
TEST_F(RecordHandlersTest, ReadsTheRustLibrarysChain) {
  HandledReader reader(MakeReader("tests/testdata/rust_kekbit_channels/head_0.3.5/0000_0000/0000_03ec.kekbit"),
                       SequenceHandler(0), TimestampHandler());
  std::vector<std::string> words;
  uint64_t last = 1'795'223'173'037'000'000;  // the creation of the channel, in ns
  while (const auto record = reader.TryRead()) {
    words.emplace_back(AsText(record->payload));
    EXPECT_EQ(record->Get<SequenceHandler>(), words.size());
    EXPECT_GT(record->Get<TimestampHandler>(), last);
    last = record->Get<TimestampHandler>();
  }
  EXPECT_EQ(last, 0x18e9'e9f6'e170'7ee8u);
  EXPECT_THAT(words, ElementsAre("There", "are", "10", "kinds", "of", "people:", "those", "who", "know", "binary",
                                 "and", "those", "who", "don't"));
  EXPECT_TRUE(reader.reader().exhausted());
  EXPECT_THAT(reader.status(), IsOk());
}

}  // namespace
}  // namespace kekbit
