// TextCodec encodes plain text, byte for byte. StrictTextCodec does, too, and refuses what is not
// UTF-8.
//
//   std::string text;
//   absl::Status status = StrictTextCodec::Decode(from, &text);   // DataLoss: no UTF-8 at byte 7
//
// Both have one data format: the reader chooses which of them reads a channel. Text written by
// others may be in any encoding, so TextCodec keeps the bytes. Both take std::string and
// absl::string_view, which then views `from`. Errors: see codec.h.

#ifndef KEKBIT_CODECS_TEXT_CODEC_H_
#define KEKBIT_CODECS_TEXT_CODEC_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/data_format.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/codecs/utf8.h"

namespace kekbit {

template <typename T>
concept Text = std::same_as<T, std::string> || std::same_as<T, absl::string_view>;

struct TextCodec {
  static constexpr uint64_t kDataFormat = kTextDataFormat;
  static constexpr const char* kMediaType = "text/plain";

  template <Text T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    return RawCodec::Encode(value, to);
  }

  template <Text T>
  static absl::Status Decode(Bytes from, T* value) {
    return RawCodec::Decode(from, value);
  }
};

struct StrictTextCodec {
  static constexpr uint64_t kDataFormat = kTextDataFormat;
  static constexpr const char* kMediaType = "text/plain;charset=utf-8";

  // InvalidArgument if `value` is not UTF-8: Decode() would refuse it.
  template <Text T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    const size_t valid = ValidUtf8Prefix(AsBytes(value));
    if (valid < value.size()) return absl::InvalidArgumentError(absl::StrCat("no UTF-8 at byte ", valid));
    return RawCodec::Encode(value, to);
  }

  template <Text T>
  static absl::Status Decode(Bytes from, T* value) {
    const size_t valid = ValidUtf8Prefix(from);
    if (valid < from.size()) return absl::DataLossError(absl::StrCat("no UTF-8 at byte ", valid));
    return RawCodec::Decode(from, value);
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_TEXT_CODEC_H_
