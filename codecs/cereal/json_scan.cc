#include "kekbit/codecs/cereal/json_scan.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kekbit {
namespace {

constexpr char kEscapedZero[] = "u0000";
constexpr size_t kEscapedZeroBytes = sizeof kEscapedZero - 1;

// Moves *at, which stands after a string's opening quote, to after its closing quote or to the end.
const char* SkipString(Bytes text, size_t* at) {
  for (; *at < text.size(); ++*at) {
    const uint8_t c = text[*at];
    if (c == 0) return "a zero byte";
    if (c == '"') {
      ++*at;
      return nullptr;
    }
    if (c != '\\') continue;
    ++*at;
    if (text.size() - *at >= kEscapedZeroBytes &&
        std::memcmp(text.data() + *at, kEscapedZero, kEscapedZeroBytes) == 0) {
      return "a string with a zero character";
    }
  }
  return nullptr;
}

}  // namespace

const char* ScanJson(Bytes text) {
  int depth = 0;
  for (size_t at = 0; at < text.size();) {
    switch (text[at++]) {
      case 0:
        return "a zero byte";
      case '"':
        if (const char* wrong = SkipString(text, &at)) return wrong;
        break;
      case '{':
      case '[':
        if (++depth > kJsonDepthMax) return "objects are nested too deep";
        break;
      case '}':
      case ']':
        --depth;
        break;
      case ',':
        if (depth == 1) return "more than one value";
        break;
      default:
        break;
    }
  }
  return nullptr;
}

}  // namespace kekbit
