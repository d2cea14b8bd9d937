#include "kekbit/header.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

using HeaderBytes = std::array<uint8_t, kHeaderBytes>;

HeaderBytes Encode(const Header& header) {
  HeaderBytes bytes;
  bytes.fill(0xEE);
  header.EncodeTo(absl::MakeSpan(bytes));
  return bytes;
}

// A good header with `value` at `offset`.
template <typename T>
absl::StatusOr<Header> DecodeWith(size_t offset, T value) {
  HeaderBytes bytes = Encode(MakeHeader());
  StoreUnaligned(bytes.data() + offset, value);
  return Header::Decode(bytes);
}

TEST(HeaderTest, EncodesEachFieldInItsPlaceAndZerosBehind) {
  const Header header = MakeHeader({.writer_id = 0x1122'3344'5566'7788,
                                    .channel_id = 0x99AA'BBCC'DDEE'FF00,
                                    .capacity = 65536,
                                    .max_msg_len = 100,
                                    .timeout = 77,
                                    .tick_unit = TickUnit::kMillis,
                                    .creation_time = 0x0102'0304'0506'0708});
  const HeaderBytes bytes = Encode(header);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[0]), 0x2A54'4942'4B45'4B2A);
  EXPECT_EQ(AsText(Bytes(bytes.data(), 8)), "*KEKBIT*");
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[8]), 1ull << 48);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[16]), 0x1122'3344'5566'7788u);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[24]), 0x99AA'BBCC'DDEE'FF00u);
  EXPECT_EQ(LoadUnaligned<uint32_t>(&bytes[32]), 65536u);
  EXPECT_EQ(LoadUnaligned<uint32_t>(&bytes[36]), 112u);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[40]), 77u);
  EXPECT_EQ(LoadUnaligned<uint64_t>(&bytes[48]), 0x0102'0304'0506'0708u);
  EXPECT_EQ(bytes[56], 3);
  EXPECT_TRUE(std::all_of(bytes.begin() + 57, bytes.end(), [](uint8_t b) { return b == 0; }));
  EXPECT_THAT(Header::Decode(bytes), IsOkAndHolds(header));
}

TEST(HeaderTest, MaxMsgLenIsTheHintAndAWordUpToAPartOfTheCapacity) {
  struct Case {
    uint32_t capacity, hint, expected;
  };
  for (const Case c : std::vector<Case>{
           {16384, 100, 112},  // 108, rounded up
           {16384, 104, 112},  // 112
           {16384, 105, 120},  // 113, rounded up
           {16384, 112, 120},  // 120: just the part allowed
           {16384, 113, 120},  // more is cut
           {16384, 0, 8},      // there is always room for a word
           {16384, 0xFFFF'FFFF, 120},
           {1 << 20, 0xFFFF'FFFF, 8184},
           {kCapacityMax, 0xFFFF'FFFF, 33'554'424},  // (2^32 - 8) / 128 - 8 = 33554423
           {kCapacityMax, 64, 72},
       }) {
    const Header header = MakeHeader({.capacity = c.capacity, .max_msg_len = c.hint});
    EXPECT_EQ(header.max_msg_len(), c.expected) << "capacity " << c.capacity << ", hint " << c.hint;
    EXPECT_THAT(Header::Decode(Encode(header)), IsOkAndHolds(header));
  }
}

TEST(HeaderTest, CapacityIsRaisedToTheMinimumAndRoundedUp) {
  EXPECT_EQ(MakeHeader({.capacity = 0}).capacity(), 16384u);
  EXPECT_EQ(MakeHeader({.capacity = 16384}).capacity(), 16384u);
  EXPECT_EQ(MakeHeader({.capacity = 16385}).capacity(), 16392u);
  EXPECT_EQ(MakeHeader({.capacity = 0xFFFF'FFF1}).capacity(), 0xFFFF'FFF8u);
  EXPECT_EQ(MakeHeader({.capacity = 0xFFFF'FFF8}).capacity(), 0xFFFF'FFF8u);
}

TEST(HeaderTest, CapacityAboveTheMaximumIsRefused) {
  for (const uint32_t capacity : {0xFFFF'FFF9u, 0xFFFF'FFFFu}) {
    EXPECT_THAT(Header::Make({.capacity = capacity}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("4294967288")));
  }
}

TEST(HeaderTest, CreationTimeIsTheClocksInTicks) {
  const FakeClock clock(1'795'223'173'036'453'500);
  const auto created = [&](TickUnit unit) { return Header::Make({.tick_unit = unit}, clock)->creation_time(); };
  EXPECT_EQ(created(TickUnit::kNanos), 1'795'223'173'036'453'500u);
  EXPECT_EQ(created(TickUnit::kMicros), 1'795'223'173'036'453u);
  EXPECT_EQ(created(TickUnit::kMillis), 1'795'223'173'036u);
  EXPECT_EQ(created(TickUnit::kSecs), 1'795'223'173u);
  EXPECT_EQ(Header::Make({.creation_time = 5}, clock)->creation_time(), 5u);
}

TEST(HeaderTest, ShortFilesAreNoChannels) {
  const HeaderBytes bytes = Encode(MakeHeader());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(Header::Decode(Bytes(bytes.data(), size)),
                StatusIs(StatusCode::kDataLoss, HasSubstr(std::to_string(size))));
  }
}

TEST(HeaderTest, EachBitOfTheSignatureCounts) {
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_THAT(DecodeWith(0, kSignature ^ 1ull << bit), StatusIs(StatusCode::kDataLoss, HasSubstr("signature")));
  }
}

TEST(HeaderTest, VersionsThatThisCodeCantReadAreRefused) {
  const auto word = [](uint16_t major, uint16_t minor, uint32_t patch) {
    return Version{major, minor, patch}.ToWord();
  };
  EXPECT_THAT(DecodeWith(8, word(1, 0, 0)), IsOk());
  EXPECT_THAT(DecodeWith(8, word(1, 0, 4'000'000'000)), IsOk());
  for (const uint64_t other : {word(0, 9, 9), word(1, 1, 0), word(2, 0, 0), word(0xFFFF, 0, 0)}) {
    EXPECT_THAT(DecodeWith(8, other),
                StatusIs(StatusCode::kFailedPrecondition,
                         HasSubstr(Version::FromWord(other).ToString() + ", this code reads 1.0.0")));
  }
}

// The power-loss simulator found a journal, of which only the signature was on the disk, refused as
// another version.
TEST(HeaderTest, NoVersionIsDamageAndNotAnotherVersion) {
  EXPECT_THAT(DecodeWith(8, uint64_t{0}), StatusIs(StatusCode::kDataLoss, HasSubstr("not written whole")));
}

TEST(HeaderTest, CapacitiesThatCantBeAreRefused) {
  for (const uint32_t capacity : {0u, 8u, 16376u, 16385u, 16388u, 0xFFFF'FFFFu, 0xFFFF'FFF9u}) {
    EXPECT_THAT(DecodeWith(32, capacity), StatusIs(StatusCode::kDataLoss, HasSubstr(std::to_string(capacity))));
  }
  EXPECT_THAT(DecodeWith(32, uint32_t{16392}), IsOk());
  EXPECT_THAT(DecodeWith(32, uint32_t{0xFFFF'FFF8}), IsOk());
}

TEST(HeaderTest, LongestPayloadsThatCantBeAreRefused) {
  for (const uint32_t length : {0u, 129u, 16384u, 0x8000'0000u, 0xFFFF'FFFFu}) {
    EXPECT_THAT(DecodeWith(36, length), StatusIs(StatusCode::kDataLoss, HasSubstr(std::to_string(length))));
  }
  for (const uint32_t length : {1u, 119u, 128u}) EXPECT_THAT(DecodeWith(36, length), IsOk());
}

TEST(HeaderTest, OnlyTheFourTickUnitsAreKnown) {
  for (int id = 0; id < 256; ++id) {
    const bool known = id == 0 || id == 3 || id == 6 || id == 9;
    EXPECT_THAT(DecodeWith(56, static_cast<uint8_t>(id)), StatusIs(known ? StatusCode::kOk : StatusCode::kDataLoss));
    EXPECT_EQ(TickUnitFromId(static_cast<uint8_t>(id)).has_value(), known);
  }
}

TEST(HeaderTest, AnyIdsAndTimesAreFine) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const Header header = MakeHeader({.writer_id = kMax, .channel_id = kMax, .timeout = kMax, .creation_time = kMax});
  EXPECT_THAT(Header::Decode(Encode(header)), IsOkAndHolds(header));
}

TEST(HeaderTest, ToStringSaysAll) {
  EXPECT_EQ(
      MakeHeader({.writer_id = 1, .channel_id = 2, .max_msg_len = 8, .timeout = 3, .creation_time = 4}).ToString(),
      "version 1.0.0, writer 1, channel 2, capacity 67108864, longest payload 16, timeout 3 ns, created 4 ns");
}

TEST(TickUnitTest, NanosPerTickAndName) {
  EXPECT_EQ(NanosPerTick(TickUnit::kSecs), 1'000'000'000u);
  EXPECT_EQ(NanosPerTick(TickUnit::kMillis), 1'000'000u);
  EXPECT_EQ(NanosPerTick(TickUnit::kMicros), 1'000u);
  EXPECT_EQ(NanosPerTick(TickUnit::kNanos), 1u);
  EXPECT_EQ(TickUnitName(TickUnit::kSecs), "s");
  EXPECT_EQ(TickUnitName(TickUnit::kMillis), "ms");
  EXPECT_EQ(TickUnitName(TickUnit::kMicros), "us");
  EXPECT_EQ(TickUnitName(TickUnit::kNanos), "ns");
}

TEST(VersionTest, WordHoldsMajorMinorPatch) {
  const Version version{0x1234, 0x5678, 0x9ABC'DEF0};
  EXPECT_EQ(version.ToWord(), 0x1234'5678'9ABC'DEF0u);
  EXPECT_EQ(Version::FromWord(0x1234'5678'9ABC'DEF0), version);
  EXPECT_EQ((Version{1, 2, 3}.ToString()), "1.2.3");
}

TEST(VersionTest, OrdersByMajorThenMinorThenPatch) {
  EXPECT_LT((Version{1, 9, 9}), (Version{2, 0, 0}));
  EXPECT_LT((Version{1, 1, 9}), (Version{1, 2, 0}));
  EXPECT_LT((Version{1, 1, 1}), (Version{1, 1, 2}));
}

TEST(VersionTest, ReadsTheSameMajorAndNoNewerMinor) {
  const Version code{1, 2, 3};
  EXPECT_TRUE(code.CanRead({1, 2, 9}));
  EXPECT_TRUE(code.CanRead({1, 0, 0}));
  EXPECT_FALSE(code.CanRead({1, 3, 0}));
  EXPECT_FALSE(code.CanRead({0, 2, 3}));
  EXPECT_FALSE(code.CanRead({2, 0, 0}));
}

}  // namespace
}  // namespace kekbit
