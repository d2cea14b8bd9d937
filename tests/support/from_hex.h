// FromHex: the bytes that hexadecimal digits stand for. (Abseil's HexStringToBytes() is not the same in each release.)

#ifndef KEKBIT_TESTS_SUPPORT_FROM_HEX_H_
#define KEKBIT_TESTS_SUPPORT_FROM_HEX_H_

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace kekbit {

// Two digits a byte; anything else is 0.
inline std::string FromHex(absl::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    uint8_t byte = 0;
    std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FROM_HEX_H_
