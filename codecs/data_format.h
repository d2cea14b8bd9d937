// Ids of the data formats of payloads, as a channel's extension block names them (see
// kekbit/extension.h).
//
//   id       format                    codec
//   2        raw bytes                 RawCodec              raw_codec.h
//   3        plain text                TextCodec, StrictTextCodec   text_codec.h
//   16       cereal's binary archive   CerealBinaryCodec     cereal_binary_codec.h
//   17       cereal's portable binary  CerealPortableCodec   cereal_portable_codec.h
//   18       cereal's JSON archive     CerealJsonCodec       cereal_json_codec.h
//   2^32 ..  whatever the application says
//
// 2 and 3 are those of the Rust library. All others below 2^32 belong to kekbit. An id is never
// given another meaning.

#ifndef KEKBIT_CODECS_DATA_FORMAT_H_
#define KEKBIT_CODECS_DATA_FORMAT_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"  // kRawDataFormat

namespace kekbit {

inline constexpr uint64_t kTextDataFormat = 3;
inline constexpr uint64_t kCerealBinaryDataFormat = 16;
inline constexpr uint64_t kCerealPortableDataFormat = 17;
inline constexpr uint64_t kCerealJsonDataFormat = 18;

inline constexpr uint64_t kApplicationDataFormatMin = uint64_t{1} << 32;

// Returns what people call the format.
constexpr absl::string_view DataFormatName(uint64_t id) {
  switch (id) {
    case kRawDataFormat:
      return "raw bytes";
    case kTextDataFormat:
      return "plain text";
    case kCerealBinaryDataFormat:
      return "cereal binary";
    case kCerealPortableDataFormat:
      return "cereal portable binary";
    case kCerealJsonDataFormat:
      return "cereal JSON";
    default:
      return id >= kApplicationDataFormatMin ? "the application's own" : "unknown";
  }
}

}  // namespace kekbit

#endif  // KEKBIT_CODECS_DATA_FORMAT_H_
