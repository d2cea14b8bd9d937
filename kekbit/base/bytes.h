// Bytes and MutableBytes are views of raw memory, in every call that takes or gives a payload.
//
// Neither owns anything; each function that returns a view says how long the view stays valid.
// ResizeBuffer() makes memory that is owned, where there may be none.

#ifndef KEKBIT_BASE_BYTES_H_
#define KEKBIT_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace kekbit {

using Bytes = absl::Span<const uint8_t>;
using MutableBytes = absl::Span<uint8_t>;

// The data format of payloads that are just bytes. Other formats are beside their codec (see
// codecs/data_format.h); ids from 2^32 up belong to applications.
inline constexpr uint64_t kRawDataFormat = 2;

// Returns the bytes of a text, and back. Valid as long as what they view.
inline Bytes AsBytes(absl::string_view text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}
inline absl::string_view AsText(Bytes bytes) {
  return absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Makes `buffer` `bytes` long. ResourceExhausted, with `what` it is for, if there is no memory: then
// the buffer is as before.
inline absl::Status ResizeBuffer(std::vector<uint8_t>& buffer, size_t bytes, absl::string_view what) {
  try {
    buffer.resize(bytes);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": no memory for a buffer of ", bytes, " bytes"));
  }
}

// Copies a trivially copyable value out of, or into, memory that need not be aligned. All formats
// of kekbit are little endian, as the machines that run kekbit (see shared_word.h).
template <typename T>
T LoadUnaligned(const uint8_t* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void StoreUnaligned(uint8_t* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_BYTES_H_
