// Common parts of SpanOutputBase and SpanInputBase: how deep a value nests, and how cereal's
// wrappers and ways are told apart.
//
// Part of the codecs, not for use by itself.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_SPAN_DISPATCH_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_SPAN_DISPATCH_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <unordered_set>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "cereal/cereal.hpp"

namespace cereal {
// KekbitSpanArchive is a base class in this namespace, so that an archive's functions are looked up
// here too. They are cereal's for the standard library's types.
struct KekbitSpanArchive {};
}  // namespace cereal

namespace kekbit::internal {

inline constexpr int kCerealDepthMax = 1000;

[[noreturn]] ABSL_ATTRIBUTE_NOINLINE ABSL_ATTRIBUTE_COLD inline void FailArchive(const char* what) {
  throw cereal::Exception(what);
}

// NewerVersion is what an archive throws that does not load what newer code has saved.
class NewerVersion final : public cereal::Exception {
 public:
  using cereal::Exception::Exception;
};

[[noreturn]] ABSL_ATTRIBUTE_NOINLINE ABSL_ATTRIBUTE_COLD inline void FailNewerVersion(uint32_t found, uint32_t known) {
  throw NewerVersion("a class has the version " + std::to_string(found) +
                     ", written by newer code; this one knows up to version " + std::to_string(known));
}

// Types that count as a level of nesting: all that have an inside of their own.
template <typename T>
inline constexpr bool kNests = std::is_class_v<T>;
template <typename T>
inline constexpr bool kNests<cereal::NameValuePair<T>> = false;
template <typename T>
inline constexpr bool kNests<cereal::SizeTag<T>> = false;
template <typename T>
inline constexpr bool kNests<cereal::BinaryData<T>> = false;

// Depth counts how deep an archive is in the value. An archive that throws is not used again, so
// nothing counts down then.
class Depth final {
 public:
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Enter() {
    if (ABSL_PREDICT_FALSE(++levels_ > kCerealDepthMax)) FailArchive("objects are nested too deep");
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Leave() { --levels_; }

 private:
  int levels_ = 0;
};

// The base class that a wrapper of cereal stands for, or void.
template <typename T>
struct WrappedBase {
  using Type = void;
  static constexpr bool kVirtual = false;
};
template <typename T>
struct WrappedBase<cereal::base_class<T>> {
  using Type = T;
  static constexpr bool kVirtual = false;
};
template <typename T>
struct WrappedBase<cereal::virtual_base_class<T>> {
  using Type = T;
  static constexpr bool kVirtual = true;
};

using VirtualBases =
    std::unordered_set<cereal::traits::detail::base_class_id, cereal::traits::detail::base_class_id_hash>;

// True if a type's serialize() takes a const object, too: then saving changes nothing of the
// object.
template <typename T, typename Archive>
concept MemberSerializesConst = requires(Archive& archive, const T& value) {
  cereal::access::member_serialize(archive, value);
}
|| requires(Archive& archive, const T& value, const uint32_t version) {
  cereal::access::member_serialize(archive, value, version);
};
template <typename T, typename Archive>
concept NonMemberSerializesConst = requires(Archive& archive, const T& value) {
  CEREAL_SERIALIZE_FUNCTION_NAME(archive, value);
}
|| requires(Archive& archive, const T& value, const uint32_t version) {
  CEREAL_SERIALIZE_FUNCTION_NAME(archive, value, version);
};

// The object that serialize() gets for saving.
template <bool kConst, typename T>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline auto& AsSerialized(const T& value) {
  if constexpr (kConst) {
    return value;
  } else {
    return const_cast<T&>(value);
  }
}

// True if cereal is to use this way to serialize a T: the type has this way, and names no other.
// Archive and T are those of the place of use.
#define KB_CEREAL_USES(way)                        \
  (cereal::traits::has_##way<T, Archive>::value && \
   (cereal::traits::is_specialized_##way<T, Archive>() || !cereal::traits::is_specialized<T, Archive>()))

// True if a T is saved by a serialize().
template <typename T, typename Archive>
constexpr bool Serializes() {
  return KB_CEREAL_USES(member_serialize) || KB_CEREAL_USES(member_versioned_serialize) ||
         KB_CEREAL_USES(non_member_serialize) || KB_CEREAL_USES(non_member_versioned_serialize);
}

// True if a T is saved as a const object.
template <typename T, typename Archive>
constexpr bool SavesConst() {
  if constexpr (KB_CEREAL_USES(member_serialize) || KB_CEREAL_USES(member_versioned_serialize)) {
    return MemberSerializesConst<T, Archive>;
  } else if constexpr (KB_CEREAL_USES(non_member_serialize) || KB_CEREAL_USES(non_member_versioned_serialize)) {
    return NonMemberSerializesConst<T, Archive>;
  } else {
    return true;
  }
}

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_SPAN_DISPATCH_H_
