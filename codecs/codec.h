// CodecFor<C, T> is what makes a type C a codec for values of type T.
//
//   struct PriceCodec {
//     static constexpr uint64_t kDataFormat = kApplicationDataFormatMin + 1;
//     static constexpr const char* kMediaType = "application/x-price";
//     static absl::StatusOr<size_t> Encode(const Price& price, MutableBytes to);
//     static absl::Status Decode(Bytes from, Price* price);
//   };
//   static_assert(CodecFor<PriceCodec, Price>);
//
// Encode() writes the encoding of a value to the beginning of `to`, and returns its length. `to`
// may be the mapping of a channel. Encode() reads nothing of `to` and touches nothing outside;
// after an error the bytes of `to` are unspecified. ResourceExhausted: the encoding needs more room
// than `to` has; the message has both numbers where they are known. InvalidArgument: this value has
// no encoding that Decode() would take back.
//
// Decode() reads a value from all of `from`. DataLoss: these bytes are no encoding of a T, or go on
// after the encoding. ResourceExhausted: there was no memory for the value. After an error *value
// is valid but unspecified. Whatever the bytes are, Decode() neither crashes nor throws, and takes
// memory only in proportion to their number. A T that is a view (Bytes, absl::string_view) points
// into `from` afterwards.
//
// Encode() and Decode() of one value take each other's results: the conformance suite in
// tests/codecs checks that. Both are static and without state, thus safe from any thread.

#ifndef KEKBIT_CODECS_CODEC_H_
#define KEKBIT_CODECS_CODEC_H_

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

template <typename C, typename T>
concept CodecFor = requires(const T& value, T* decoded, MutableBytes to, Bytes from) {
  { C::kDataFormat } -> std::convertible_to<uint64_t>;
  { C::kMediaType } -> std::convertible_to<absl::string_view>;
  { C::Encode(value, to) } -> std::same_as<absl::StatusOr<size_t>>;
  { C::Decode(from, decoded) } -> std::same_as<absl::Status>;
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CODEC_H_
