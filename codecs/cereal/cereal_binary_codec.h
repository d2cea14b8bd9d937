// CerealBinaryCodec encodes any type that cereal serializes, in the bytes of
// cereal::BinaryOutputArchive.
//
//   struct Transfer {
//     uint64_t from, to;
//     int64_t amount;
//     template <class Archive>
//     void serialize(Archive& archive) { archive(from, to, amount); }
//   };
//   absl::StatusOr<size_t> size = CerealBinaryCodec::Encode(Transfer{1, 2, 100}, to);   // 24 bytes
//
// This is the fastest of the cereal codecs: a number is one store, a vector of numbers one memcpy.
// Neither side allocates anything but what the decoded value holds. The bytes have no types, names
// or versions in them, and are those of a little-endian machine. Include the cereal/types/ headers
// that the type needs. Bounds on what bytes may say, and the few values that have no encoding: see
// cereal_span_archive.h. Errors: see codec.h.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_BINARY_CODEC_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_BINARY_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_left_out.h"
#include "kekbit/codecs/cereal/cereal_span_archive.h"
#include "kekbit/codecs/data_format.h"

namespace kekbit {

struct CerealBinaryCodec {
  static constexpr uint64_t kDataFormat = kCerealBinaryDataFormat;
  static constexpr const char* kMediaType = "application/x-cereal-binary";

  template <typename T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    return internal::EncodeToSpan<false>(value, to);
  }

  template <typename T>
  static absl::Status Decode(Bytes from, T* value) {
    return internal::DecodeFromSpan<false>(from, value);
  }

  // A member that is left out of a serialize(), and so differs in what was decoded; empty: none is
  // found.
  template <typename T>
  static std::string LeftOut(const T& passed, const T& decoded) {
    return internal::LeftOut(passed, decoded);
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_BINARY_CODEC_H_
