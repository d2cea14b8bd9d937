#include "kekbit/base/crc32c.h"

#include <array>
#include <cstddef>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

namespace kekbit {
namespace {

constexpr uint32_t kPolynomial = 0x82F6'3B78;  // bits reversed: the lowest bit is the highest power

// Returns the product of polynomials over GF(2) modulo the checksum's polynomial, bits reversed.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x8000'0000; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b & 1) ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// Returns x to the power of `n`.
constexpr uint32_t PowerOfX(uint64_t n) {
  uint32_t power = 0x8000'0000;   // 1
  uint32_t square = 0x4000'0000;  // x
  for (; n != 0; n >>= 1) {
    if (n & 1) power = Multiply(power, square);
    square = Multiply(square, square);
  }
  return power;
}

constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t t = 1; t < 8; ++t) tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFF];
  }
  return tables;
}
constexpr auto kTables = MakeTables();

#if defined(__x86_64__)

#define KB_TARGET_CRC __attribute__((target("sse4.2,pclmul")))

// The instruction takes 3 cycles, and another can begin in each: three streams at once make full
// use of that. A stream's checksum is multiplied by the power of x that the bytes after the stream
// stand for; then the checksums are joined. The instruction multiplies by x^32 itself when it folds
// the 64-bit product, and the reversed product lies one bit too low: hence the - 33.
template <size_t kStreamBytes>
struct Streams {
  static constexpr uint32_t kShiftOne = PowerOfX(8 * kStreamBytes - 33);
  static constexpr uint32_t kShiftTwo = PowerOfX(16 * kStreamBytes - 33);

  KB_TARGET_CRC static uint64_t Shift(uint64_t crc, uint32_t power) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<int64_t>(crc)),
                                                 _mm_cvtsi64_si128(static_cast<int64_t>(uint64_t{power})), 0);
    return _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product)));
  }

  // Takes as many triples of streams as fit from the front of [*data, *data + *size).
  KB_TARGET_CRC static uint64_t Run(uint64_t crc, const uint8_t** data, size_t* size) {
    while (*size >= 3 * kStreamBytes) {
      const uint8_t* p = *data;
      uint64_t second = 0;
      uint64_t third = 0;
      for (size_t i = 0; i < kStreamBytes; i += 8) {
        crc = _mm_crc32_u64(crc, LoadUnaligned<uint64_t>(p + i));
        second = _mm_crc32_u64(second, LoadUnaligned<uint64_t>(p + kStreamBytes + i));
        third = _mm_crc32_u64(third, LoadUnaligned<uint64_t>(p + 2 * kStreamBytes + i));
      }
      crc = Shift(crc, kShiftTwo) ^ Shift(second, kShiftOne) ^ third;
      *data += 3 * kStreamBytes;
      *size -= 3 * kStreamBytes;
    }
    return crc;
  }
};

KB_TARGET_CRC uint32_t Crc32cInstruction(uint32_t seed, Bytes bytes) {
  const uint8_t* data = bytes.data();
  size_t size = bytes.size();
  uint64_t crc = ~seed;
  // Load words as they were stored: a processor is slow to load a word of which it has just stored
  // the two halves.
  if ((reinterpret_cast<uintptr_t>(data) & 7) == 4 && size >= 12) {
    crc = _mm_crc32_u32(static_cast<uint32_t>(crc), LoadUnaligned<uint32_t>(data));
    data += 4;
    size -= 4;
  }
  if (size >= 3 * 1024) crc = Streams<1024>::Run(crc, &data, &size);
  if (size >= 3 * 64) crc = Streams<64>::Run(crc, &data, &size);
  for (; size >= 8; data += 8, size -= 8) crc = _mm_crc32_u64(crc, LoadUnaligned<uint64_t>(data));
  if (size == 0) return ~static_cast<uint32_t>(crc);
  if (bytes.size() >= 8) {
    // Take the last bytes as the end of a word whose front is zeros: these don't change a checksum
    // that is zero so far. There are no branches: records are of any length.
    const size_t shift = 64 - 8 * size;
    const uint64_t last = LoadUnaligned<uint64_t>(data + size - 8) >> shift;
    return ~static_cast<uint32_t>(_mm_crc32_u64(0, (last ^ crc) << shift) ^ crc >> (8 * size));
  }
  auto rest = static_cast<uint32_t>(crc);
  if (size & 4) {
    rest = _mm_crc32_u32(rest, LoadUnaligned<uint32_t>(data));
    data += 4;
  }
  if (size & 2) {
    rest = _mm_crc32_u16(rest, LoadUnaligned<uint16_t>(data));
    data += 2;
  }
  if (size & 1) rest = _mm_crc32_u8(rest, *data);
  return ~rest;
}

const bool kHasInstruction = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");

#endif

}  // namespace

namespace internal {

uint32_t Crc32cPortable(uint32_t crc, Bytes bytes) {
  const uint8_t* data = bytes.data();
  size_t size = bytes.size();
  crc = ~crc;
  for (; size >= 8; data += 8, size -= 8) {
    const uint64_t word = LoadUnaligned<uint64_t>(data) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xFF];
  }
  for (; size > 0; ++data, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 0xFF];
  return ~crc;
}

}  // namespace internal

uint32_t Crc32c(uint32_t crc, Bytes bytes) {
#if defined(__x86_64__)
  if (kHasInstruction) return Crc32cInstruction(crc, bytes);
#endif
  return internal::Crc32cPortable(crc, bytes);
}

}  // namespace kekbit
