// SpanOutputArchive and SpanInputArchive are cereal archives over a span of memory instead of a
// stream. They are BasicOutputArchive over SpanSink, BasicInputArchive over SpanSource.
//
//   SpanOutputArchive<false> output(to);   // as cereal::BinaryOutputArchive; true: as the portable one
//   output(value);
//   size_t needed = output.used();         // more than to.size(): the value did not fit
//
//   SpanInputArchive<false> input(from);
//   input(value);                          // throws cereal::Exception if `from` is no encoding of it
//
// The bytes are those of cereal's own archives, so each side reads the other's. The differences:
// - No stream, no allocation of ours: a number is one store. What does not fit is only counted.
// - Every size is checked before use. A vector, deque, list, string, unordered_set or binary block
//   takes memory for what is really there; other containers for at most as many elements as there
//   are bytes. So all containers of a value together may have no more elements (characters, map
//   entries, ...) than its encoding has bytes. Elements of no bytes are caught by CheckElements().
// - A bool is 0 or 1.
// - Elements with equal keys keep their order in a multimap and a multiset.
// - What cereal_span_output_base.h and cereal_span_input_base.h say.
//
// These limits are cereal's. A type whose load function calls binary_data() or resizes by a number
// that is no size tag has to check that number itself. From a stream, a valarray and a forward_list
// take memory for as many elements as the stream says it has bytes. A shared_ptr to a type with
// load_and_construct must not come from untrusted bytes.
//
// Thread safety: one thread at a time. The span outlives the archive. Part of the codecs.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_SPAN_ARCHIVE_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_SPAN_ARCHIVE_H_

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cereal/cereal.hpp"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_ordered_load.h"
#include "kekbit/codecs/cereal/cereal_span_dispatch.h"
#include "kekbit/codecs/cereal/cereal_span_input_base.h"
#include "kekbit/codecs/cereal/cereal_span_output_base.h"
#include "kekbit/codecs/codec_errors.h"

namespace kekbit::internal {

static_assert(std::endian::native == std::endian::little);

// SpanSink is where an archive's bytes go.
class SpanSink final {
 public:
  explicit SpanSink(MutableBytes to) : to_(to.data()), room_(to.size()) {}

  // `size` is a constant where this is inlined.
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Save(const void* data, size_t size) {
    used_ += size;
    if (ABSL_PREDICT_TRUE(used_ <= room_)) std::memcpy(to_ + (used_ - size), data, size);
  }

  // Returns how many bytes the encoding has, even without room for them.
  uint64_t used() const { return used_; }

 private:
  uint8_t* const to_;
  const size_t room_;
  size_t used_ = 0;
};

// SpanSource is where an archive's bytes come from.
class SpanSource final {
 public:
  static constexpr bool kRefusesNewerVersions = false;

  explicit SpanSource(Bytes from) : at_(from.data()), left_(from.size()) {}

  ABSL_ATTRIBUTE_ALWAYS_INLINE void Load(void* data, size_t size) {
    if (ABSL_PREDICT_FALSE(size > left_)) FailArchive("the bytes end within the value");
    std::memcpy(data, at_, size);
    at_ += size;
    left_ -= size;
  }

  // Returns the next `size` bytes, where they are.
  ABSL_ATTRIBUTE_ALWAYS_INLINE const uint8_t* Take(size_t size) {
    if (ABSL_PREDICT_FALSE(size > left_)) FailArchive("the bytes end within the value");
    left_ -= size;
    return std::exchange(at_, at_ + size);
  }

  size_t left() const { return left_; }
  // Returns how many bytes exist for sure, whatever the bytes say.
  size_t backed() const { return left_; }

 private:
  const uint8_t* at_;
  size_t left_;
};

template <bool kPortable, typename Sink>
class BasicOutputArchive final : public SpanOutputBase<BasicOutputArchive<kPortable, Sink>> {
 public:
  template <typename To>
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): an archive is never copied
  explicit BasicOutputArchive(To&& to) : sink_(std::forward<To>(to)) {
    if constexpr (kPortable) Save<1>("\1");  // little endian
  }

  template <size_t kSize>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Save(const void* data) {
    sink_.Save(data, kSize);
  }
  void Save(const void* data, size_t size) {
    if (size != 0) sink_.Save(data, size);
  }

  void CountElements(uint64_t count) { elements_ += count; }

  // Whether the sink is told of each value: see cereal_left_out.h.
  static constexpr bool kTraces = requires { Sink::kTraces; };
  Sink& sink() { return sink_; }

  uint64_t used() const { return sink_.used(); }
  // Returns true if an input archive will accept the sizes of the containers.
  bool CheckElements() const { return elements_ <= used(); }

 private:
  Sink sink_;
  uint64_t elements_ = 0;
};

template <bool kPortable, typename Source>
class BasicInputArchive final : public SpanInputBase<BasicInputArchive<kPortable, Source>> {
 public:
  // Whether the version of a class (CEREAL_CLASS_VERSION) must be known to this code.
  static constexpr bool kRefusesNewerVersions = Source::kRefusesNewerVersions;

  template <typename From>
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): as above
  explicit BasicInputArchive(From&& from) : source_(std::forward<From>(from)), elements_(source_.left()) {
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
    source_.Load(data, size);
    if constexpr (kPortable && kUnit > 1) {
      if (ABSL_PREDICT_FALSE(swapped_)) Swap<kUnit>(static_cast<uint8_t*>(data), size);
    }
  }

  // Returns the next `size` bytes, where they are; only of a source that is in memory.
  const uint8_t* Take(size_t size) requires requires(Source& source) { source.Take(size); }
  { return source_.Take(size); }

  // Checks every size tag: see above.
  void TakeElements(uint64_t count) {
    if (ABSL_PREDICT_FALSE(count > elements_)) FailArchive("a container has more elements than there are bytes");
    elements_ -= count;
  }

  auto left() const { return source_.left(); }
  auto backed() const { return source_.backed(); }

 private:
  template <size_t kUnit>
  static void Swap(uint8_t* data, size_t size) {
    for (uint8_t* unit = data; unit + kUnit <= data + size; unit += kUnit) std::reverse(unit, unit + kUnit);
  }

  Source source_;
  uint64_t elements_;  // that may still come
  bool swapped_ = false;
};

template <bool kPortable>
using SpanOutputArchive = BasicOutputArchive<kPortable, SpanSink>;
template <bool kPortable>
using SpanInputArchive = BasicInputArchive<kPortable, SpanSource>;

// --- Functions that cereal calls, found by the archives' namespace. The names are cereal's. ---

template <typename T>
concept Arithmetic = std::is_arithmetic_v<T>;

template <typename T>
constexpr void CheckPortable() {
  static_assert(!std::is_floating_point_v<T> || std::numeric_limits<T>::is_iec559);
}

template <bool kPortable, typename Sink, Arithmetic T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_SAVE_FUNCTION_NAME(BasicOutputArchive<kPortable, Sink>& archive,
                                                                   const T& value) {
  if constexpr (kPortable) CheckPortable<T>();
  archive.template Save<sizeof(T)>(&value);
}
template <bool kPortable, typename Source, Arithmetic T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive,
                                                                   T& value) {
  if constexpr (std::same_as<T, bool>) {
    uint8_t byte = 0;
    archive.template Load<1>(&byte, 1);
    if (ABSL_PREDICT_FALSE(byte > 1)) FailArchive("a bool is neither 0 nor 1");
    value = byte != 0;
  } else {
    archive.template Load<sizeof(T)>(&value, sizeof(T));
  }
}

template <bool kPortable, typename Sink, typename T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_SAVE_FUNCTION_NAME(BasicOutputArchive<kPortable, Sink>& archive,
                                                                   const cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <bool kPortable, typename Source, typename T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive,
                                                                   cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}

template <bool kPortable, typename Sink, typename T>
void CEREAL_SAVE_FUNCTION_NAME(BasicOutputArchive<kPortable, Sink>& archive, const cereal::SizeTag<T>& tag) {
  archive.CountElements(tag.size);
  archive(tag.size);
}
template <bool kPortable, typename Source, typename T>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, cereal::SizeTag<T>& tag) {
  archive(tag.size);
  archive.TakeElements(tag.size);
}

template <bool kPortable, typename Sink, typename T>
void CEREAL_SAVE_FUNCTION_NAME(BasicOutputArchive<kPortable, Sink>& archive, const cereal::BinaryData<T>& block) {
  archive.Save(block.data, static_cast<size_t>(block.size));
}
template <bool kPortable, typename Source, typename T>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, cereal::BinaryData<T>& block) {
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

// Loads a sequence of numbers, or characters. The sequence grows only by what is really there.
template <bool kPortable, typename Source, typename Sequence>
void LoadNumbers(BasicInputArchive<kPortable, Source>& archive, Sequence& sequence) {
  using T = typename Sequence::value_type;
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  if (size > archive.left() / sizeof(T)) FailArchive("the bytes end within a sequence");
  if constexpr (sizeof(T) == 1 && !std::same_as<T, bool> && requires { archive.Take(size_t{}); }) {
    const auto* const bytes = reinterpret_cast<const T*>(archive.Take(static_cast<size_t>(size)));
    sequence.assign(bytes, bytes + size);
    return;
  }
  sequence.clear();
  while (sequence.size() < size) {
    const uint64_t backed = std::max<uint64_t>(archive.backed() / sizeof(T), 1);
    const size_t done = sequence.size();
    const auto part = static_cast<size_t>(std::min<uint64_t>(size - done, backed));
    sequence.resize(done + part);
    archive(cereal::binary_data(sequence.data() + done, part * sizeof(T)));
  }
}

// Loads the elements of a sequence singly: cereal makes all beforehand, even without their bytes.
template <bool kPortable, typename Source, typename Sequence>
void LoadSequence(BasicInputArchive<kPortable, Source>& archive, Sequence& sequence) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  sequence.clear();
  if constexpr (requires { sequence.reserve(size_t{}); }) {
    // Reserve no more memory than there are bytes.
    sequence.reserve(std::min<uint64_t>(size, archive.backed() / sizeof(typename Sequence::value_type)));
  }
  for (cereal::size_type i = 0; i < size; ++i) archive(sequence.emplace_back());
}

template <bool kPortable, typename Source, typename T, typename Allocator>
requires(!std::same_as<T, bool>) void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive,
                                                                std::vector<T, Allocator>& vector) {
  if constexpr (std::is_arithmetic_v<T>) {
    LoadNumbers(archive, vector);
  } else {
    LoadSequence(archive, vector);
  }
}
template <bool kPortable, typename Source, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, std::vector<bool, Allocator>& vector) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  vector.clear();
  vector.reserve(static_cast<size_t>(std::min<uint64_t>(size, archive.backed())));
  for (cereal::size_type i = 0; i < size; ++i) {
    bool bit = false;
    archive(bit);
    vector.push_back(bit);
  }
}
template <bool kPortable, typename Source, typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, std::deque<T, Allocator>& deque) {
  LoadSequence(archive, deque);
}
template <bool kPortable, typename Source, typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, std::list<T, Allocator>& list) {
  LoadSequence(archive, list);
}

template <bool kPortable, typename Source, typename Character, typename Traits, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive,
                               std::basic_string<Character, Traits, Allocator>& string) {
  LoadNumbers(archive, string);
}
// Loads the elements singly: cereal makes room for all beforehand, even without their bytes.
template <bool kPortable, typename Source, typename T, typename Hash, typename Equal, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive,
                               std::unordered_set<T, Hash, Equal, Allocator>& set) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  set.clear();
  set.reserve(static_cast<size_t>(std::min<uint64_t>(size, archive.backed())));
  for (cereal::size_type i = 0; i < size; ++i) {
    T element{};
    archive(element);
    set.insert(std::move(element));
  }
}

// --- The work of the two codecs. ---

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

// Tell cereal which archive reads what the other writes.
CEREAL_SETUP_ARCHIVE_TRAITS(kekbit::internal::SpanInputArchive<false>, kekbit::internal::SpanOutputArchive<false>)
CEREAL_SETUP_ARCHIVE_TRAITS(kekbit::internal::SpanInputArchive<true>, kekbit::internal::SpanOutputArchive<true>)

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_SPAN_ARCHIVE_H_
