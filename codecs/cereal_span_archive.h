// SpanOutputArchive and SpanInputArchive: cereal archives over a span of memory instead of a stream.
//
//   SpanOutputArchive<false> output(to);      // as cereal::BinaryOutputArchive; true: as PortableBinaryOutputArchive
//   output(value);
//   size_t needed = output.used();            // more than to.size(): it did not fit
//
//   SpanInputArchive<false> input(from);
//   input(value);                             // throws cereal::Exception if `from` is no encoding of it
//
// The bytes are those of cereal's own archives, so each side reads the other's. What is different:
//   - No stream, and no allocation of ours: a number is one store. A span too small is no exception: what does not fit
//     is counted and left out.
//   - Every size is checked before it is believed. A vector, deque, list, string or binary block takes memory for what
//     the span really has; other containers for at most as many elements as the span has bytes. Therefore all
//     containers of a value together may have no more elements (characters, map entries, ...) than its encoding has
//     bytes. Only containers of elements that take no byte at all can break that, and CheckElements() tells.
//   - A bool is 0 or 1.
//   - What cereal_span_output_base.h and cereal_span_input_base.h say.
//
// Limits that are cereal's: a type whose load function calls binary_data() or resizes by a number that is no size tag
// has to check that number itself; a shared_ptr to a type with load_and_construct must not come from untrusted bytes.
//
// Thread safety: one thread at a time. The span outlives the archive. Part of the codecs, not for use by itself.

#ifndef KEKBIT_CODECS_CEREAL_SPAN_ARCHIVE_H_
#define KEKBIT_CODECS_CEREAL_SPAN_ARCHIVE_H_

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <type_traits>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cereal/cereal.hpp"
#include "codecs/cereal_span_dispatch.h"
#include "codecs/cereal_span_input_base.h"
#include "codecs/cereal_span_output_base.h"
#include "codecs/codec_errors.h"
#include "kekbit/bytes.h"

namespace kekbit::internal {

static_assert(std::endian::native == std::endian::little);

template <bool kPortable>
class SpanOutputArchive final : public SpanOutputBase<SpanOutputArchive<kPortable>> {
 public:
  explicit SpanOutputArchive(MutableBytes to) : to_(to.data()), room_(to.size()) {
    if constexpr (kPortable) Save<1>("\1");  // little endian
  }

  template <size_t kSize>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Save(const void* data) {
    used_ += kSize;
    if (ABSL_PREDICT_TRUE(used_ <= room_)) std::memcpy(to_ + (used_ - kSize), data, kSize);
  }
  void Save(const void* data, size_t size) {
    if (size == 0) return;
    used_ += size;
    if (ABSL_PREDICT_TRUE(used_ <= room_)) std::memcpy(to_ + (used_ - size), data, size);
  }

  void CountElements(uint64_t count) { elements_ += count; }

  // How many bytes the encoding has, be there room for them or not.
  size_t used() const { return used_; }
  // Whether an input archive will believe the sizes of the containers.
  bool CheckElements() const { return elements_ <= used_; }

 private:
  uint8_t* const to_;
  const size_t room_;
  size_t used_ = 0;
  uint64_t elements_ = 0;
};

template <bool kPortable>
class SpanInputArchive final : public SpanInputBase<SpanInputArchive<kPortable>> {
 public:
  explicit SpanInputArchive(Bytes from) : at_(from.data()), left_(from.size()), elements_(from.size()) {
    if constexpr (kPortable) {
      uint8_t little_endian = 0;
      Load<1>(&little_endian, 1);
      if (little_endian > 1) FailArchive("the first byte tells no byte order");
      swapped_ = little_endian == 0;
    }
  }

  // Reads `size` bytes that are numbers of kUnit bytes each.
  template <size_t kUnit>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Load(void* data, size_t size) {
    if (ABSL_PREDICT_FALSE(size > left_)) FailArchive("the bytes end within the value");
    std::memcpy(data, at_, size);
    at_ += size;
    left_ -= size;
    if constexpr (kPortable && kUnit > 1) {
      if (ABSL_PREDICT_FALSE(swapped_)) Swap<kUnit>(static_cast<uint8_t*>(data), size);
    }
  }

  // What every size tag has to pass: see above.
  void TakeElements(uint64_t count) {
    if (ABSL_PREDICT_FALSE(count > elements_)) FailArchive("a container has more elements than there are bytes");
    elements_ -= count;
  }

  size_t left() const { return left_; }

 private:
  template <size_t kUnit>
  static void Swap(uint8_t* data, size_t size) {
    for (uint8_t* unit = data; unit + kUnit <= data + size; unit += kUnit) std::reverse(unit, unit + kUnit);
  }

  const uint8_t* at_;
  size_t left_;
  uint64_t elements_;  // that may still come
  bool swapped_ = false;
};

// --- What cereal calls, found by the archives' namespace. Its names are cereal's. ---

template <typename T>
concept Arithmetic = std::is_arithmetic_v<T>;

template <typename T>
constexpr void CheckPortable() {
  static_assert(!std::is_floating_point_v<T> || std::numeric_limits<T>::is_iec559);
}

template <bool kPortable, Arithmetic T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_SAVE_FUNCTION_NAME(SpanOutputArchive<kPortable>& archive,
                                                                   const T& value) {
  if constexpr (kPortable) CheckPortable<T>();
  archive.template Save<sizeof(T)>(&value);
}
template <bool kPortable, Arithmetic T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive, T& value) {
  if constexpr (std::same_as<T, bool>) {
    uint8_t byte = 0;
    archive.template Load<1>(&byte, 1);
    if (ABSL_PREDICT_FALSE(byte > 1)) FailArchive("a bool is neither 0 nor 1");
    value = byte != 0;
  } else {
    archive.template Load<sizeof(T)>(&value, sizeof(T));
  }
}

template <bool kPortable, typename T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_SAVE_FUNCTION_NAME(SpanOutputArchive<kPortable>& archive,
                                                                   const cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <bool kPortable, typename T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive,
                                                                   cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}

template <bool kPortable, typename T>
void CEREAL_SAVE_FUNCTION_NAME(SpanOutputArchive<kPortable>& archive, const cereal::SizeTag<T>& tag) {
  archive.CountElements(tag.size);
  archive(tag.size);
}
template <bool kPortable, typename T>
void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive, cereal::SizeTag<T>& tag) {
  archive(tag.size);
  archive.TakeElements(tag.size);
}

template <bool kPortable, typename T>
void CEREAL_SAVE_FUNCTION_NAME(SpanOutputArchive<kPortable>& archive, const cereal::BinaryData<T>& block) {
  archive.Save(block.data, static_cast<size_t>(block.size));
}
template <bool kPortable, typename T>
void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive, cereal::BinaryData<T>& block) {
  using Element = std::remove_cv_t<std::remove_pointer_t<T>>;
  const auto size = static_cast<size_t>(block.size);
  if (size == 0) return;
  if constexpr (std::is_void_v<Element>) {
    static_assert(!kPortable, "a block of void has no byte order");
    archive.template Load<1>(block.data, size);
  } else {
    archive.template Load<sizeof(Element)>(block.data, size);
  }
  if constexpr (std::same_as<Element, bool>) {
    auto* bytes = static_cast<uint8_t*>(block.data);
    for (size_t i = 0; i < size; ++i) {
      if (bytes[i] <= 1) continue;
      std::memset(bytes, 0, size);  // no object of type bool may be left with another value
      FailArchive("a bool is neither 0 nor 1");
    }
  }
}

// Loads the elements of a sequence one by one. cereal makes them all beforehand, be there bytes for them or not.
template <bool kPortable, typename Sequence>
void LoadSequence(SpanInputArchive<kPortable>& archive, Sequence& sequence) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  sequence.clear();
  if constexpr (requires { sequence.reserve(size_t{}); }) {
    // No more memory in advance than there are bytes.
    sequence.reserve(std::min<size_t>(size, archive.left() / sizeof(typename Sequence::value_type)));
  }
  for (cereal::size_type i = 0; i < size; ++i) archive(sequence.emplace_back());
}

template <bool kPortable, typename T, typename Allocator>
requires(!std::same_as<T, bool>) void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive,
                                                                std::vector<T, Allocator>& vector) {
  if constexpr (std::is_arithmetic_v<T>) {
    cereal::size_type size = 0;
    archive(cereal::make_size_tag(size));
    if (size > archive.left() / sizeof(T)) FailArchive("the bytes end within a vector");
    vector.resize(static_cast<size_t>(size));
    archive(cereal::binary_data(vector.data(), vector.size() * sizeof(T)));
  } else {
    LoadSequence(archive, vector);
  }
}
template <bool kPortable, typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive, std::deque<T, Allocator>& deque) {
  LoadSequence(archive, deque);
}
template <bool kPortable, typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(SpanInputArchive<kPortable>& archive, std::list<T, Allocator>& list) {
  LoadSequence(archive, list);
}

// --- What the two codecs do. ---

template <bool kPortable, typename T>
absl::StatusOr<size_t> EncodeToSpan(const T& value, MutableBytes to) {
  try {
    SpanOutputArchive<kPortable> archive(to);
    archive(value);
    if (ABSL_PREDICT_FALSE(archive.used() > to.size())) return NeedsMoreRoom(archive.used(), to.size());
    if (ABSL_PREDICT_FALSE(!archive.CheckElements())) {
      return absl::InvalidArgumentError("can't encode: a container has more elements than bytes");
    }
    return archive.used();
  } catch (...) {
    return EncodingException();
  }
}

template <bool kPortable, typename T>
absl::Status DecodeFromSpan(Bytes from, T* value) {
  try {
    SpanInputArchive<kPortable> archive(from);
    archive(*value);
    if (ABSL_PREDICT_FALSE(archive.left() > 0)) return BytesLeftOver(archive.left(), from.size());
    return absl::OkStatus();
  } catch (...) {
    return DecodingException();
  }
}

}  // namespace kekbit::internal

CEREAL_REGISTER_ARCHIVE(kekbit::internal::SpanOutputArchive<false>)
CEREAL_REGISTER_ARCHIVE(kekbit::internal::SpanOutputArchive<true>)
CEREAL_REGISTER_ARCHIVE(kekbit::internal::SpanInputArchive<false>)
CEREAL_REGISTER_ARCHIVE(kekbit::internal::SpanInputArchive<true>)

// Which archive reads what the other writes.
CEREAL_SETUP_ARCHIVE_TRAITS(kekbit::internal::SpanInputArchive<false>, kekbit::internal::SpanOutputArchive<false>)
CEREAL_SETUP_ARCHIVE_TRAITS(kekbit::internal::SpanInputArchive<true>, kekbit::internal::SpanOutputArchive<true>)

#endif  // KEKBIT_CODECS_CEREAL_SPAN_ARCHIVE_H_
