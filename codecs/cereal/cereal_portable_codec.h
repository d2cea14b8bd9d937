// CerealPortableCodec encodes any type that cereal serializes, in the bytes of
// cereal::PortableBinaryOutputArchive.
//
//   absl::StatusOr<size_t> size = CerealPortableCodec::Encode(transfer, to);
//
// As CerealBinaryCodec, with one byte in front that tells the byte order. The codec writes little
// endian and reads both, so a big-endian program on another machine can write too. Errors: see
// codec.h.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_PORTABLE_CODEC_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_PORTABLE_CODEC_H_

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

struct CerealPortableCodec {
  static constexpr uint64_t kDataFormat = kCerealPortableDataFormat;
  static constexpr const char* kMediaType = "application/x-cereal-portable-binary";

  template <typename T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    return internal::EncodeToSpan<true>(value, to);
  }

  template <typename T>
  static absl::Status Decode(Bytes from, T* value) {
    return internal::DecodeFromSpan<true>(from, value);
  }

  // A member that is left out of a serialize(), and so differs in what was decoded; empty: none is
  // found.
  template <typename T>
  static std::string LeftOut(const T& passed, const T& decoded) {
    return internal::LeftOut(passed, decoded);
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_PORTABLE_CODEC_H_
