// P7, for a channel: a reader never skips silently. Where no record is but should be, the reader
// stays and says so, and gives nothing that comes later.

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/record_handlers.h"
#include "kekbit/shm_reader.h"
#include "tests/support/checked_payload.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

constexpr uint64_t kRecords = 50;
constexpr size_t kLongest = 100;

class NeverSkipsTest : public testing::Test {
 protected:
  void SetUp() override {
    ShmWriter writer = MakeWriter(path_);
    for (uint64_t number = 0; number < kRecords; ++number) {
      places_.push_back(writer.write_offset());
      ASSERT_THAT(writer.Write(CheckedPayload(number, kLongest)), IsOk());
    }
    good_ = ReadFileBytes(path_);
  }
  // The file with another word in the place of the length of record `number`.
  void PlantLength(uint64_t number, uint64_t word) {
    std::string bytes = good_;
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + kDataOffset + places_[number], word);
    WriteFileBytes(path_, bytes);
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
  std::vector<uint64_t> places_;
  std::string good_;
};

TEST_F(NeverSkipsTest, DamageEndsEveryWayOfReading) {
  for (uint64_t bad = 0; bad < kRecords; ++bad) {
    for (const uint64_t word : {uint64_t{121}, uint64_t{1} << 40, kWatermark + 1, kClose - 1}) {
      PlantLength(bad, word);
      ShmReader reader = MakeReader(path_);
      uint64_t number = 0;
      while (const auto payload = reader.TryRead()) ASSERT_TRUE(IsCheckedPayload(*payload, number++, kLongest));
      EXPECT_EQ(number, bad);
      EXPECT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss));
      EXPECT_EQ(reader.position(), places_[bad]);
      // Whatever is tried then.
      EXPECT_EQ(reader.Read([](Bytes) { FAIL(); }, 100), 0u);
      for (const Bytes payload : reader) ADD_FAILURE() << payload.size() << " bytes behind the damage";
      for (uint64_t behind = bad + 1; behind < kRecords; ++behind) {
        EXPECT_THAT(reader.MoveTo(places_[behind]), StatusIs(StatusCode::kOutOfRange));
      }
      EXPECT_EQ(reader.position(), places_[bad]);
    }
  }
}

// An end in the middle is an end: the reader believes the marker, and nothing after.
TEST_F(NeverSkipsTest, AMarkerInTheMiddleIsTheEnd) {
  for (uint64_t bad = 0; bad < kRecords; ++bad) {
    for (const uint64_t marker : {kWatermark, kClose}) {
      PlantLength(bad, marker);
      ShmReader reader = MakeReader(path_);
      EXPECT_EQ(ReadAll(reader).size(), bad);
      EXPECT_EQ(reader.exhausted(), marker == kClose);
      if (bad + 1 < kRecords) {
        EXPECT_THAT(reader.MoveTo(places_[bad + 1]), StatusIs(StatusCode::kOutOfRange));
      }
    }
  }
}

// A channel alone can't tell a length that is wrong and fits; a chain of checksum and sequence
// does.
TEST(NeverSkipsWithSequenceTest, AWrongLengthThatFitsIsFoundByTheSequence) {
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("channel");
  std::vector<uint64_t> places;
  {
    HandledWriter writer(MakeWriter(path), Crc32cHandler(), SequenceHandler());
    for (uint64_t number = 0; number < 20; ++number) {
      places.push_back(writer.writer().write_offset());
      ASSERT_THAT(writer.Write(CheckedPayload(number, 40)), IsOk());
    }
  }
  const std::string good = ReadFileBytes(path);
  for (uint64_t bad = 0; bad + 1 < 20; ++bad) {
    for (uint64_t length = 0; length <= 120; ++length) {
      std::string bytes = good;
      auto* const word = reinterpret_cast<uint8_t*>(bytes.data()) + kDataOffset + places[bad];
      if (LoadUnaligned<uint64_t>(word) == length) continue;
      StoreUnaligned(word, length);
      WriteFileBytes(path, bytes);
      HandledReader reader(MakeReader(path), Crc32cHandler(), SequenceHandler());
      uint64_t read = 0;
      while (reader.TryRead()) ++read;
      ASSERT_EQ(read, bad) << "length " << length;
      ASSERT_THAT(reader.status(), StatusIs(StatusCode::kDataLoss)) << "record " << bad << " length " << length;
    }
  }
}

}  // namespace
}  // namespace kekbit
