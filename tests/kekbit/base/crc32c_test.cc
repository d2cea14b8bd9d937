#include "kekbit/base/crc32c.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/checked_payload.h"

namespace kekbit {
namespace {

using Checksum = uint32_t (*)(uint32_t, Bytes);

// Bit by bit, as the definition has it.
uint32_t Crc32cByDefinition(uint32_t crc, Bytes bytes) {
  crc = ~crc;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82F6'3B78 : crc >> 1;
  }
  return ~crc;
}

std::vector<uint8_t> RandomBytes(size_t size) {
  std::vector<uint8_t> bytes(size);
  FillCheckedPayload(301, absl::MakeSpan(bytes));
  return bytes;
}

class Crc32cTest : public testing::TestWithParam<Checksum> {};

INSTANTIATE_TEST_SUITE_P(Each, Crc32cTest, testing::Values(&Crc32c, &internal::Crc32cPortable),
                         [](const auto& param) { return param.index == 0 ? "Instruction" : "Portable"; });

// The vectors of RFC 3720, appendix B.4, and the check value of the catalogues.
TEST_P(Crc32cTest, KnownVectors) {
  const Checksum crc = GetParam();
  std::vector<uint8_t> ascending(32);
  std::iota(ascending.begin(), ascending.end(), uint8_t{0});
  const std::vector<uint8_t> descending(ascending.rbegin(), ascending.rend());
  EXPECT_EQ(crc(0, std::vector<uint8_t>(32, 0x00)), 0x8A91'36AAu);
  EXPECT_EQ(crc(0, std::vector<uint8_t>(32, 0xFF)), 0x62A8'AB43u);
  EXPECT_EQ(crc(0, ascending), 0x46DD'794Eu);
  EXPECT_EQ(crc(0, descending), 0x113F'DB5Cu);
  EXPECT_EQ(crc(0, AsBytes("123456789")), 0xE306'9283u);
  EXPECT_EQ(crc(0, {}), 0u);
}

// 3 * 64 and 3 * 1024 bytes are where the instruction's streams begin to be used.
TEST_P(Crc32cTest, EachLengthAtEachAlignment) {
  const std::vector<uint8_t> bytes = RandomBytes(9000);
  std::vector<size_t> sizes(700);
  std::iota(sizes.begin(), sizes.end(), size_t{0});
  for (const size_t near : {3072, 3072 + 192, 6144, 8900}) {
    for (size_t size = near - 9; size <= near + 9; ++size) sizes.push_back(size);
  }
  for (const size_t size : sizes) {
    for (size_t from = 0; from < 8; ++from) {
      const Bytes part = Bytes(bytes).subspan(from, size);
      ASSERT_EQ(GetParam()(0, part), Crc32cByDefinition(0, part)) << size << " bytes at " << from;
    }
  }
}

TEST_P(Crc32cTest, InTwoPiecesAsInOne) {
  const std::vector<uint8_t> bytes = RandomBytes(4000);
  const uint32_t whole = Crc32cByDefinition(0, bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 7) {
    const uint32_t front = GetParam()(0, Bytes(bytes).subspan(0, cut));
    ASSERT_EQ(GetParam()(front, Bytes(bytes).subspan(cut)), whole) << cut;
  }
}

}  // namespace
}  // namespace kekbit
