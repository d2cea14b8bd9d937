// Any bytes in a file give records or an error: never a crash, a hang, or a read outside the file.
// Each file here is read to its end in all possible ways. AddressSanitizer and the page after the
// mapping see what goes too far.

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/record_handlers.h"
#include "kekbit/shm_reader.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

// Adds up, so that every byte of a payload is looked at.
uint64_t Sum(Bytes payload) {
  uint64_t sum = 0;
  for (const uint8_t byte : payload) sum += byte;
  return sum;
}

class HostileBytesTest : public testing::Test {
 protected:
  // A small channel: 3 records between heartbeats.
  std::string GoodFile() {
    {
      ShmWriter writer = MakeWriter(path_);
      for (const char* payload : {"first", "the second one", "third"}) {
        EXPECT_THAT(writer.Write(AsBytes(payload)), IsOk());
        EXPECT_THAT(writer.Heartbeat(), IsOk());
      }
    }
    return ReadFileBytes(path_);
  }

  // Reads the file in every way; checks what holds for any bytes. Returns how many records there
  // were.
  uint64_t ReadEverything(absl::string_view bytes) {
    WriteFileBytes(path_, bytes);
    absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path_);
    if (!reader.ok()) return 0;
    uint64_t records = 0;
    uint64_t sum = 0;
    std::vector<uint64_t> places = {0};
    while (const std::optional<Bytes> payload = reader->TryRead()) {
      EXPECT_GT(payload->size(), 0u);
      EXPECT_LE(payload->size(), reader->header().max_msg_len());
      sum += Sum(*payload);
      ++records;
      places.push_back(reader->position());
    }
    EXPECT_EQ(reader->position() % 8, 0u);
    EXPECT_LE(reader->position(), reader->header().capacity());
    EXPECT_EQ(reader->status().ok(),
              reader->channel_end() != ChannelEnd::kDamaged && reader->channel_end() != ChannelEnd::kFileEnd);
    // Asking again changes nothing.
    const ChannelEnd end = reader->channel_end();
    EXPECT_EQ(reader->TryRead(), std::nullopt);
    EXPECT_EQ(reader->channel_end(), end);
    // A reader can go again where it was once; it must survive others, at a stride.
    if (places.size() > 20) places.resize(20);
    for (const uint64_t place : places) EXPECT_THAT(reader->MoveTo(place), IsOk());
    for (uint64_t place = 0; place < 3000; place += 501) reader->MoveTo(place).IgnoreError();
    EXPECT_THAT(reader->MoveTo(0), IsOk());
    uint64_t again = 0;
    reader->Read([&](Bytes payload) { again += Sum(payload); }, records + 10);
    EXPECT_EQ(again, sum);

    HandledReader handled(MakeReader(path_), SequenceHandler(), Crc32cHandler(), TimestampHandler());
    while (handled.TryRead().has_value()) {
    }
    ShmReader journal = MakeReader(path_, {.heartbeats = false});
    EXPECT_LE(ReadAll(journal).size(), records);
    journal.WriterAlive().IgnoreError();
    return records;
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(HostileBytesTest, EachByteFlipped) {
  const std::string good = GoodFile();
  EXPECT_EQ(ReadEverything(good), 3u);
  uint64_t other = 0;
  // Change bytes up to the CLOSE and some after it; of the rest, which nobody reads, some.
  for (size_t i = 0; i < good.size(); i += i < kDataOffset + 200 ? 1 : 997) {
    for (const int flip : {0x01, 0x80, 0xFF, 0x10}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      if (ReadEverything(bad) != 3) ++other;
    }
  }
  // Each of the lengths and of the fields that count was hit.
  EXPECT_GT(other, 50u);
}

// Each word of the data, by each value near a bound.
TEST_F(HostileBytesTest, LengthsAroundEveryBound) {
  const std::string good = GoodFile();
  std::vector<uint64_t> values;
  for (const uint64_t bound :
       {uint64_t{0}, uint64_t{120}, uint64_t{128}, uint64_t{kCapacityMin}, uint64_t{kCapacityMin} + 32,
        uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63, kWatermark, kClose}) {
    for (uint64_t delta = 0; delta <= 9; ++delta) {
      values.push_back(bound + delta);
      values.push_back(bound - delta);
    }
  }
  for (uint64_t offset = 0; offset <= 96; offset += 8) {
    for (const uint64_t value : values) {
      std::string bad = good;
      StoreUnaligned(reinterpret_cast<uint8_t*>(bad.data()) + kDataOffset + offset, value);
      EXPECT_LE(ReadEverything(bad), 12u);
    }
  }
}

// A record at the end of the area, of each length, is shown if and only if it fits into area and
// file.
TEST_F(HostileBytesTest, ARecordThatReachesBeyondTheArea) {
  const std::string good = GoodFile();
  for (const uint64_t left : {8, 16, 24, 64, 120, 128}) {
    for (uint64_t length = 1; length <= 121; ++length) {
      std::string bad = good;
      auto* const data = reinterpret_cast<uint8_t*>(bad.data()) + kDataOffset;
      std::fill(data, data + kCapacityMin - left, uint8_t{0});  // heartbeats
      StoreUnaligned(data + kCapacityMin - left, length);
      StoreUnaligned(data + kCapacityMin, kWatermark);
      EXPECT_EQ(ReadEverything(bad) >= 1, length <= 120 && RecordBytes(length) <= left) << left << " " << length;
    }
  }
}

TEST_F(HostileBytesTest, GarbageInTheDataArea) {
  const std::string good = GoodFile();
  std::mt19937_64 random(301);
  uint64_t records = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    auto* const data = reinterpret_cast<uint8_t*>(bad.data()) + kDataOffset;
    // Plain garbage has no lengths that fit: so most words are small.
    for (uint64_t i = 0; i + 8 <= kCapacityMin + kFooterBytes; i += 8) {
      const uint64_t word = random();
      StoreUnaligned(data + i, round % 4 == 0 ? word : word % (round % 4 == 1 ? 140 : 121));
    }
    // At any length.
    if (round % 2 == 1) bad.resize(random() % bad.size());
    records += ReadEverything(bad);
  }
  EXPECT_GT(records, 1000u);
}

TEST_F(HostileBytesTest, GarbageInTheHeader) {
  const std::string good = GoodFile();
  std::mt19937_64 random(302);
  uint64_t opened = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bad = good;
    // Sizes that nearly fit are what might be believed.
    auto* const header = reinterpret_cast<uint8_t*>(bad.data());
    const auto capacity = static_cast<uint32_t>(random() >> (32 + random() % 20));
    StoreUnaligned(header + 32, capacity / 8 * 8);
    StoreUnaligned(header + 36, static_cast<uint32_t>(1 + random() % (capacity / 64 + 1)));
    opened += ReadEverything(bad) > 0 ? 1 : 0;
  }
  EXPECT_GT(opened, 100u);
}

}  // namespace
}  // namespace kekbit
