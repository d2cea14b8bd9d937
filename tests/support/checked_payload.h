// Checked payloads say themselves which record they are of and whether they are whole: {number,
// bytes made from the number}.
//
// A reader that sees such a payload knows without any other knowledge whether it is torn, foreign
// or stale.

#ifndef KEKBIT_TESTS_SUPPORT_CHECKED_PAYLOAD_H_
#define KEKBIT_TESTS_SUPPORT_CHECKED_PAYLOAD_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kekbit/base/bytes.h"

namespace kekbit {

// A bijection of 64 bits that looks random (the finalizer of splitmix64).
constexpr uint64_t Mix(uint64_t x) {
  x += 0x9E37'79B9'7F4A'7C15;
  x = (x ^ (x >> 30)) * 0xBF58'476D'1CE4'E5B9;
  x = (x ^ (x >> 27)) * 0x94D0'49BB'1331'11EB;
  return x ^ (x >> 31);
}

// Length of the payload of record `number`: from 8 to `longest` bytes. `longest` >= 8.
constexpr size_t CheckedPayloadSize(uint64_t number, size_t longest) { return 8 + Mix(number) % (longest - 7); }

inline void FillCheckedPayload(uint64_t number, MutableBytes to) {
  for (size_t i = 0; i < to.size(); i += 8) {
    const uint64_t word = i == 0 ? number : Mix(number ^ i << 32);
    std::memcpy(to.data() + i, &word, std::min<size_t>(8, to.size() - i));
  }
}

inline std::vector<uint8_t> CheckedPayload(uint64_t number, size_t longest) {
  std::vector<uint8_t> payload(CheckedPayloadSize(number, longest));
  FillCheckedPayload(number, absl::MakeSpan(payload));
  return payload;
}

// Returns true if `payload` is that of record `number`, to the last byte.
inline bool IsCheckedPayload(Bytes payload, uint64_t number, size_t longest) {
  if (payload.size() != CheckedPayloadSize(number, longest)) return false;
  for (size_t i = 0; i < payload.size(); i += 8) {
    const uint64_t word = i == 0 ? number : Mix(number ^ i << 32);
    if (std::memcmp(payload.data() + i, &word, std::min<size_t>(8, payload.size() - i)) != 0) return false;
  }
  return true;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_CHECKED_PAYLOAD_H_
