// SpanInputBase is what SpanInputArchive (see cereal_span_archive.h) has from cereal, but cheaper
// and safer.
//
// As SpanOutputBase, in the other direction. In addition a shared_ptr's id has to name an object of
// the pointer's own type; cereal's class takes any object.
//
// Thread safety: one thread at a time. Errors: cereal::Exception. Part of the codecs, not for use
// by itself.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_SPAN_INPUT_BASE_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_SPAN_INPUT_BASE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <typeindex>
#include <typeinfo>
#include <unordered_map>

#include "absl/base/attributes.h"
#include "cereal/cereal.hpp"
#include "kekbit/codecs/cereal/cereal_span_dispatch.h"

namespace cereal::memory_detail {
template <class T>
struct PtrWrapper;  // what cereal puts around a pointer, in cereal/types/memory.hpp
}  // namespace cereal::memory_detail

namespace kekbit::internal {

// The type that a shared_ptr about to be loaded points to, or void.
template <typename T>
struct LoadedPointer {
  using Type = void;
};
template <typename T>
struct LoadedPointer<cereal::memory_detail::PtrWrapper<std::shared_ptr<T>&>> {
  using Type = std::remove_const_t<T>;
};

template <typename Archive>
class SpanInputBase : public cereal::detail::InputArchiveBase, private cereal::KekbitSpanArchive {
 public:
  using is_loading = std::true_type;  // names that cereal's users know
  using is_saving = std::false_type;

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
  Archive& operator>>(T&& value) {
    return (*this)(value);
  }

  // Tells, before anything is loaded, that objects of the class T were saved when it had no
  // version, so none stands in the bytes. They are loaded as of version 0.
  template <typename T>
  void AssumeNoVersion() {
    tracking().versions.emplace(typeid(T), 0);
  }

  // Functions that cereal's pointers call.
  // NOLINTBEGIN(readability-identifier-naming)
  template <typename T>
  void registerSharedPointer(uint32_t id, const std::shared_ptr<T>& pointer) {
    tracking().pointers[id & ~cereal::detail::msb_32bit] = {&typeid(T), pointer};
  }
  std::shared_ptr<void> getSharedPointer(uint32_t id) {
    if (id == 0) return nullptr;
    const auto found = tracking().pointers.find(id);
    if (found == tracking().pointers.end()) FailArchive("a shared_ptr names an object that is not there");
    if (pointer_type_ == nullptr || *found->second.type != *pointer_type_) {
      FailArchive("a shared_ptr names an object of another type");
    }
    return found->second.pointer;
  }
  void registerPolymorphicName(uint32_t id, const std::string& name) {
    tracking().type_names.emplace(id & ~cereal::detail::msb_32bit, name);
  }
  std::string getPolymorphicName(uint32_t id) {
    const auto found = tracking().type_names.find(id);
    if (found == tracking().type_names.end()) FailArchive("a polymorphic pointer names a type that is not there");
    return found->second;
  }
  template <typename T>
  uint32_t loadClassVersion() {
    const auto [entry, added] = tracking().versions.emplace(typeid(T), 0);
    if (!added) return entry->second;
    uint32_t version = 0;
    Process(version);
    if constexpr (Archive::kRefusesNewerVersions) {
      if (version > cereal::detail::Version<T>::version) FailNewerVersion(version, cereal::detail::Version<T>::version);
    }
    return entry->second = version;
  }
  // NOLINTEND(readability-identifier-naming)

 protected:
  SpanInputBase() = default;
  ~SpanInputBase() override = default;

 private:
  struct SharedObject {
    const std::type_info* type;
    std::shared_ptr<void> pointer;
  };
  struct Tracking {
    std::unordered_map<uint32_t, SharedObject> pointers;
    std::unordered_map<uint32_t, std::string> type_names;
    std::unordered_map<std::type_index, uint32_t> versions;
    VirtualBases virtual_bases;
  };

  Archive& self() { return static_cast<Archive&>(*this); }
  Tracking& tracking() {
    if (tracking_ == nullptr) tracking_ = std::make_unique<Tracking>();
    return *tracking_;
  }

  template <typename T>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Process(T& value) {
    using Pointed = typename LoadedPointer<std::remove_const_t<T>>::Type;
    if constexpr (!std::is_void_v<Pointed>) pointer_type_ = &typeid(Pointed);
    if constexpr (kNests<T>) depth_.Enter();
    prologue(self(), value);
    if constexpr (std::is_void_v<typename WrappedBase<T>::Type>) {
      Load(value);
    } else {
      LoadBase(value);
    }
    epilogue(self(), value);
    if constexpr (kNests<T>) depth_.Leave();
  }

  template <typename T>
  void LoadBase(T& wrapper) {
    if constexpr (WrappedBase<T>::kVirtual) {
      if (!tracking().virtual_bases.emplace(wrapper.base_ptr).second) return;
    }
    Load(*wrapper.base_ptr);
  }

  template <typename T>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Load(T& value) {
    using cereal::access;
    static_assert(!cereal::traits::has_invalid_input_versioning<T, Archive>::value,
                  "the type has serialization functions with and without a version");
    if constexpr (!cereal::traits::is_input_serializable<T, Archive>::value) {
      static_assert(
          std::is_empty_v<T>,
          "cereal finds no way, or more than one, to load this type; is the header in cereal/types/ included?");
    } else if constexpr (KB_CEREAL_USES(member_serialize)) {
      access::member_serialize(self(), value);
    } else if constexpr (KB_CEREAL_USES(non_member_serialize)) {
      CEREAL_SERIALIZE_FUNCTION_NAME(self(), value);
    } else if constexpr (KB_CEREAL_USES(member_load)) {
      access::member_load(self(), value);
    } else if constexpr (KB_CEREAL_USES(non_member_load)) {
      CEREAL_LOAD_FUNCTION_NAME(self(), value);
    } else if constexpr (KB_CEREAL_USES(member_load_minimal)) {
      using Output = typename cereal::traits::detail::get_output_from_input<Archive>::type;
      typename cereal::traits::has_member_save_minimal<T, Output>::type minimal{};
      Process(minimal);
      access::member_load_minimal(self(), value, minimal);
    } else if constexpr (KB_CEREAL_USES(non_member_load_minimal)) {
      using Output = typename cereal::traits::detail::get_output_from_input<Archive>::type;
      typename cereal::traits::has_non_member_save_minimal<T, Output>::type minimal{};
      Process(minimal);
      CEREAL_LOAD_MINIMAL_FUNCTION_NAME(self(), value, minimal);
    } else {
      LoadVersioned(value, loadClassVersion<T>());
    }
  }

  template <typename T>
  void LoadVersioned(T& value, uint32_t version) {
    using cereal::access;
    using Output = typename cereal::traits::detail::get_output_from_input<Archive>::type;
    if constexpr (KB_CEREAL_USES(member_versioned_serialize)) {
      access::member_serialize(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(non_member_versioned_serialize)) {
      CEREAL_SERIALIZE_FUNCTION_NAME(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(member_versioned_load)) {
      access::member_load(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(non_member_versioned_load)) {
      CEREAL_LOAD_FUNCTION_NAME(self(), value, version);
    } else if constexpr (KB_CEREAL_USES(member_versioned_load_minimal)) {
      typename cereal::traits::has_member_versioned_save_minimal<T, Output>::type minimal{};
      Process(minimal);
      access::member_load_minimal(self(), value, minimal, version);
    } else {
      typename cereal::traits::has_non_member_versioned_save_minimal<T, Output>::type minimal{};
      Process(minimal);
      CEREAL_LOAD_MINIMAL_FUNCTION_NAME(self(), value, minimal, version);
    }
  }

  Depth depth_;
  const std::type_info* pointer_type_ = nullptr;  // of the shared_ptr that is being loaded
  std::unique_ptr<Tracking> tracking_;
};

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_SPAN_INPUT_BASE_H_
