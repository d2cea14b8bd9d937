#include "kekbit/codecs/utf8.h"

#include <cstdint>

namespace kekbit {
namespace {

// Returns the length of the valid sequence at the beginning of `text`; 0 if there is none. The
// first byte of `text` is 0x80 or more.
size_t SequenceLength(Bytes text) {
  const uint8_t first = text[0];
  // The second byte's range keeps out overlong forms, surrogates and what is too high.
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  size_t length;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length || text[1] < low || text[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((text[i] & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

size_t ValidUtf8Prefix(Bytes text) {
  constexpr uint64_t kHighBits = 0x8080'8080'8080'8080;
  size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8 && (LoadUnaligned<uint64_t>(text.data() + at) & kHighBits) == 0) {
      at += 8;
    } else if (text[at] < 0x80) {
      ++at;
    } else {
      const size_t length = SequenceLength(text.subspan(at));
      if (length == 0) break;
      at += length;
    }
  }
  return at;
}

}  // namespace kekbit
