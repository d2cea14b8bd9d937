// SpanOutputBase is what SpanOutputArchive (see cereal_span_archive.h) has from cereal, but
// cheaper.
//
// The class finds and calls a type's serialization functions by cereal's own traits, as
// cereal::OutputArchive does. So every type that cereal serializes works here too. cereal's class
// constructs and destroys four hash tables for each value, which takes many times as long as
// storing a small command. Here they come into being only for a value that needs them: one with a
// shared_ptr, a polymorphic pointer, a class version or a virtual base.
//
// A value is saved as a const object, by save(), or by a serialize() that takes one. A type may
// have nothing but a serialize() for objects that are not const; only then that function is called,
// as cereal does for every type.
//
// Differences for the user: cereal::defer is not supported (it does not compile). Objects nest at
// most kCerealDepthMax deep. Class versions are looked up without cereal's global table, so that
// threads may encode at the same time.
//
// Thread safety: one thread at a time. Errors: cereal::Exception. Part of the codecs, not for use
// by itself.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_SPAN_OUTPUT_BASE_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_SPAN_OUTPUT_BASE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <typeindex>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "cereal/cereal.hpp"
#include "kekbit/codecs/cereal/cereal_span_dispatch.h"

namespace kekbit::internal {

template <typename Archive>
class SpanOutputBase : public cereal::detail::OutputArchiveBase, private cereal::KekbitSpanArchive {
 public:
  using is_loading = std::false_type;  // names that cereal's users know
  using is_saving = std::true_type;

  template <typename... Ts>
  ABSL_ATTRIBUTE_ALWAYS_INLINE Archive& operator()(Ts&&... values) {
    (Process(values), ...);
    return self();
  }
  template <typename T>
  Archive& operator&(T&& value) {
    return (*this)(value);
  }
  template <typename T>
  Archive& operator<<(T&& value) {
    return (*this)(value);
  }

  // Functions that cereal's pointers call. An id with the highest bit set says that the object, or
  // the name, follows.
  // NOLINTBEGIN(readability-identifier-naming)
  uint32_t registerSharedPointer(const std::shared_ptr<const void>& pointer) {
    if (pointer == nullptr) return 0;
    const auto id = static_cast<uint32_t>(tracking().pointers.size() + 1);
    const auto [entry, added] = tracking().pointers.emplace(pointer.get(), id);
    if (!added) return entry->second;
    tracking().kept.push_back(pointer);  // or its address could be another object's soon
    return id | cereal::detail::msb_32bit;
  }
  uint32_t registerPolymorphicType(const char* name) {
    const auto id = static_cast<uint32_t>(tracking().type_names.size() + 1);
    const auto [entry, added] = tracking().type_names.emplace(name, id);
    return added ? id | cereal::detail::msb_32bit : entry->second;
  }
  // NOLINTEND(readability-identifier-naming)

 protected:
  SpanOutputBase() = default;
  ~SpanOutputBase() override = default;

 private:
  struct Tracking {
    std::unordered_map<const void*, uint32_t> pointers;
    std::vector<std::shared_ptr<const void>> kept;
    std::unordered_map<std::string, uint32_t> type_names;
    std::unordered_set<std::type_index> versioned;
    VirtualBases virtual_bases;
  };

  Archive& self() { return static_cast<Archive&>(*this); }
  Tracking& tracking() {
    if (tracking_ == nullptr) tracking_ = std::make_unique<Tracking>();
    return *tracking_;
  }

  template <typename T>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Process(const T& value) {
    if constexpr (kNests<T>) depth_.Enter();
    if constexpr (Archive::kTraces) self().sink().template Enter<Serializes<T, Archive>()>(value);
    prologue(self(), value);
    if constexpr (std::is_void_v<typename WrappedBase<T>::Type>) {
      Save(value);
    } else {
      SaveBase(value);
    }
    epilogue(self(), value);
    if constexpr (Archive::kTraces) self().sink().template Leave<Serializes<T, Archive>()>(value);
    if constexpr (kNests<T>) depth_.Leave();
  }

  template <typename T>
  void SaveBase(const T& wrapper) {
    if constexpr (WrappedBase<T>::kVirtual) {
      if (!tracking().virtual_bases.emplace(wrapper.base_ptr).second) return;
    }
    Save(std::as_const(*wrapper.base_ptr));
  }

  template <typename T>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Save(const T& value) {
    using cereal::access;
    static_assert(!cereal::traits::has_invalid_output_versioning<T, Archive>::value,
                  "the type has serialization functions with and without a version");
    if constexpr (!cereal::traits::is_output_serializable<T, Archive>::value) {
      static_assert(
          std::is_empty_v<T>,
          "cereal finds no way, or more than one, to save this type; is the header in cereal/types/ included?");
    } else if constexpr (KB_CEREAL_USES(member_serialize)) {
      access::member_serialize(self(), AsSerialized<MemberSerializesConst<T, Archive>>(value));
    } else if constexpr (KB_CEREAL_USES(non_member_serialize)) {
      CEREAL_SERIALIZE_FUNCTION_NAME(self(), AsSerialized<NonMemberSerializesConst<T, Archive>>(value));
    } else if constexpr (KB_CEREAL_USES(member_save)) {
      access::member_save(self(), value);
    } else if constexpr (KB_CEREAL_USES(non_member_save)) {
      CEREAL_SAVE_FUNCTION_NAME(self(), value);
    } else if constexpr (KB_CEREAL_USES(member_save_minimal)) {
      Process(access::member_save_minimal(self(), value));
    } else if constexpr (KB_CEREAL_USES(non_member_save_minimal)) {
      Process(CEREAL_SAVE_MINIMAL_FUNCTION_NAME(self(), value));
    } else {
      SaveVersioned(value, ClassVersion<T>());
    }
  }

  template <typename T>
  void SaveVersioned(const T& value, uint32_t version) {
    using cereal::access;
    if constexpr (KB_CEREAL_USES(member_versioned_serialize)) {
      access::member_serialize(self(), AsSerialized<MemberSerializesConst<T, Archive>>(value), version);
    } else if constexpr (KB_CEREAL_USES(non_member_versioned_serialize)) {
      CEREAL_SERIALIZE_FUNCTION_NAME(self(), AsSerialized<NonMemberSerializesConst<T, Archive>>(value), version);
    } else if constexpr (KB_CEREAL_USES(member_versioned_save)) {
      access::member_save(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(non_member_versioned_save)) {
      CEREAL_SAVE_FUNCTION_NAME(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(member_versioned_save_minimal)) {
      Process(access::member_save_minimal(self(), value, version));
    } else {
      Process(CEREAL_SAVE_MINIMAL_FUNCTION_NAME(self(), value, version));
    }
  }

  // Saves the version of the class T where the first object of T stands.
  template <typename T>
  uint32_t ClassVersion() {
    const uint32_t version = cereal::detail::Version<T>::version;
    if (tracking().versioned.emplace(typeid(T)).second) Process(version);
    return version;
  }

  Depth depth_;
  std::unique_ptr<Tracking> tracking_;
};

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_SPAN_OUTPUT_BASE_H_
