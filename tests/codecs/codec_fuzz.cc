// Decodes arbitrary bytes by each codec; what decodes must encode again, and decode to the same
// bytes once more.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_json_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/codecs/text_codec.h"
#include "tests/codecs/test_values.h"

namespace kekbit {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

template <typename Codec, typename T>
void Decode(Bytes bytes) {
  T value{};
  if (!Codec::Decode(bytes, &value).ok()) return;
  std::vector<uint8_t> first(64 * bytes.size() + 4096);
  const absl::StatusOr<size_t> size = Codec::Encode(value, MutableBytes(first));
  if (!size.ok()) {
    // Only for values of elements without bytes, or whose JSON would have to say more than its
    // reader needs.
    Require(absl::IsInvalidArgument(size.status()));
    return;
  }
  T again{};
  Require(Codec::Decode(Bytes(first).first(*size), &again).ok());
}

}  // namespace
}  // namespace kekbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const kekbit::Bytes bytes(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      kekbit::Decode<kekbit::CerealBinaryCodec, kekbit::Nested>(bytes);
      break;
    case 1:
      kekbit::Decode<kekbit::CerealPortableCodec, kekbit::Nested>(bytes);
      break;
    case 2:
      kekbit::Decode<kekbit::CerealJsonCodec, kekbit::Nested>(bytes);
      break;
    case 3:
      kekbit::Decode<kekbit::CerealBinaryCodec, kekbit::Tree>(bytes);
      break;
    case 4:
      kekbit::Decode<kekbit::CerealBinaryCodec, kekbit::Chain>(bytes);
      break;
    case 5:
      kekbit::Decode<kekbit::CerealJsonCodec, kekbit::Tree>(bytes);
      break;
    case 6:
      kekbit::Decode<kekbit::RawCodec, std::vector<uint8_t>>(bytes);
      break;
    default:
      kekbit::Decode<kekbit::StrictTextCodec, std::string>(bytes);
      break;
  }
  return 0;
}
