#include "kekbit/replication/recovery/tail_scan.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

constexpr ChainLink kBefore = {.position = {.epoch = 3, .seq = 40}, .crc32c = 0x1234'5678, .time_ns = 0};
constexpr uint64_t kPayloadMax = 500;
constexpr uint64_t kFrom = 64;

// Four frames, 41 to 44, of which 43 and 44 say that all up to 41 was synced.
class TailScanTest : public testing::Test {
 protected:
  TailScanTest() : data_(2048) {
    ChainLink link = kBefore;
    uint64_t at = kFrom;
    for (Seq seq = 41; seq <= 44; ++seq) {
      FrameHeader header;
      header.kind = static_cast<uint8_t>(FrameKind::kCommand);
      header.epoch = 3;
      header.seq = seq;
      header.unsynced = UnsyncedBefore(seq, seq < 43 ? 7 : 41);
      const std::string text(20 + seq % 5, 'x');
      const size_t length = kFrameHeaderBytes + text.size();
      std::memcpy(data_.data() + at + kLengthBytes + kFrameHeaderBytes, text.data(), text.size());
      SealFrame(header, link, MutableBytes(data_.data() + at + kLengthBytes, length));
      StoreUnaligned(data_.data() + at, uint64_t{length});
      places_.push_back(at);
      at += RecordBytes(length);
    }
    StoreUnaligned(data_.data() + at, kWatermark);
    end_ = at;
  }

  TailScan Scan() const { return ScanTail(data_, kFrom, kBefore, kPayloadMax, counts_); }
  uint8_t& At(Seq seq, uint64_t offset) { return data_[places_[seq - 41] + offset]; }

  std::vector<uint8_t> data_;
  std::vector<uint64_t> places_;
  uint64_t end_ = 0;
  bool counts_ = true;
};

TEST_F(TailScanTest, FindsWhatIsWhole) {
  const TailScan scan = Scan();
  EXPECT_EQ(scan.frames, 4u);
  EXPECT_EQ(scan.last_seq, 44u);
  EXPECT_EQ(scan.synced, 41u);
  EXPECT_EQ(scan.synced_offset, places_[2]);
  EXPECT_EQ(scan.end, end_ + kLengthBytes);
}

TEST_F(TailScanTest, FramesOfTheFirstVersionSayNothingOfSyncs) {
  counts_ = false;
  EXPECT_EQ(Scan().frames, 4u);
  EXPECT_EQ(Scan().synced, 0u);
}

TEST_F(TailScanTest, FindsTheFramesBehindADamagedOneByEachOfItsParts) {
  for (uint64_t offset = 0; offset < places_[1] - places_[0]; ++offset) {
    At(41, offset) ^= 0xFF;
    const TailScan scan = Scan();
    EXPECT_GE(scan.frames, 3u) << offset;
    EXPECT_EQ(scan.synced, 41u) << offset;
    At(41, offset) ^= 0xFF;
  }
}

// The only frame left after a damaged one has no third frame that would vouch for it.
TEST_F(TailScanTest, FindsTheOnlyFrameBehindADamagedOne) {
  std::fill(data_.begin() + static_cast<std::ptrdiff_t>(places_[2]), data_.end(), uint8_t{0});
  for (uint64_t offset = 0; offset < places_[1] - places_[0]; ++offset) {
    At(41, offset) ^= 0x01;
    EXPECT_EQ(Scan().last_seq, 42u) << offset;
    At(41, offset) ^= 0x01;
  }
  // Its length lost altogether.
  StoreUnaligned(data_.data() + kFrom, uint64_t{0});
  EXPECT_EQ(Scan().frames, 1u);
  StoreUnaligned(data_.data() + kFrom, kWatermark);
  EXPECT_EQ(Scan().frames, 1u);
}

TEST_F(TailScanTest, AFrameThatIsDamagedItselfIsNoEvidence) {
  for (uint64_t offset = 8; offset < end_ - places_[3]; ++offset) {
    if (offset >= kLengthBytes + kFrameHeaderBytes + 20 + 43 % 5) break;  // padding
    At(41, 20) ^= 1;
    At(43, offset) ^= 1;
    At(44, offset) ^= 1;
    EXPECT_LE(Scan().synced, 7u) << offset;
    At(41, 20) ^= 1;
    At(43, offset) ^= 1;
    At(44, offset) ^= 1;
  }
}

TEST_F(TailScanTest, FramesOfAnotherHistoryAreNoEvidence) {
  // Such frames are of an older epoch, or not later than what was read: left over from before.
  const ChainLink later_epoch = {.position = {.epoch = 4, .seq = 40}, .crc32c = 1, .time_ns = 0};
  EXPECT_EQ(ScanTail(data_, kFrom, later_epoch, kPayloadMax, true).frames, 0u);
  const ChainLink later_seq = {.position = {.epoch = 3, .seq = 44}, .crc32c = 1, .time_ns = 0};
  EXPECT_EQ(ScanTail(data_, kFrom, later_seq, kPayloadMax, true).frames, 0u);
}

TEST_F(TailScanTest, AnyEndOfTheDataAndAnyBytesGiveAnAnswer) {
  for (size_t size = kFrom; size <= data_.size(); size += 1) {
    const TailScan scan = ScanTail(Bytes(data_).first(size), kFrom, kBefore, kPayloadMax, true);
    EXPECT_LE(scan.end, size);
  }
  uint64_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes = data_;
    for (int i = 0; i < 8; ++i) {
      state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
      bytes[(state >> 33) % bytes.size()] = static_cast<uint8_t>(state >> 25);
    }
    EXPECT_LE(ScanTail(bytes, kFrom, kBefore, kPayloadMax, true).frames, 4u);
  }
}

}  // namespace
}  // namespace kekbit
