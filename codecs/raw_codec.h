// RawCodec encodes bytes as they are.
//
//   RawCodec::Encode(AsBytes("hello"), to);                    // copies
//   Bytes view;         RawCodec::Decode(from, &view);         // does not: valid as long as `from`
//   std::string bytes;  RawCodec::Decode(from, &bytes);        // copies
//
// Encodes and decodes Bytes, std::string, absl::string_view and std::vector<uint8_t>. Errors: see
// codec.h. No bytes are wrong for this codec.

#ifndef KEKBIT_CODECS_RAW_CODEC_H_
#define KEKBIT_CODECS_RAW_CODEC_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/codec_errors.h"
#include "kekbit/codecs/data_format.h"

namespace kekbit {

template <typename T>
concept ByteSequence = std::same_as<T, Bytes> || std::same_as<T, std::string> || std::same_as<T, absl::string_view> ||
    std::same_as<T, std::vector<uint8_t>>;

struct RawCodec {
  static constexpr uint64_t kDataFormat = kRawDataFormat;
  static constexpr const char* kMediaType = "application/octet-stream";

  template <ByteSequence T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    const size_t size = value.size();
    if (ABSL_PREDICT_FALSE(size > to.size())) return internal::NeedsMoreRoom(size, to.size());
    if (size > 0) std::memcpy(to.data(), value.data(), size);  // either may be null if there are none
    return size;
  }

  template <ByteSequence T>
  static absl::Status Decode(Bytes from, T* value) {
    using Element = typename T::value_type;
    const auto* data = reinterpret_cast<const Element*>(from.data());
    if constexpr (std::same_as<T, Bytes> || std::same_as<T, absl::string_view>) {
      *value = T(data, from.size());
    } else {
      try {
        value->assign(data, data + from.size());
      } catch (...) {
        return internal::DecodingException();
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_RAW_CODEC_H_
