// LeftOut finds a member that a type's serialize() leaves out, by comparing an object with its
// decoded bytes.
//
//   std::string found = LeftOut(passed, decoded);
//   // "bytes 32 to 40 of a Transfer are not given to ..."; empty: none
//
// LeftOut saves both objects to nowhere, and notes which of their bytes each serialize() hands to
// the archive. What is not handed over, and is more than padding could be, is a member that was
// left out; if its bytes differ, it was lost. A type with save() and load() may save something else
// than its members: nothing is said of such types. A member smaller than the alignment of what
// follows is not found either: it may be padding.
//
// Part of the codecs, not for use by itself. Thread safety: plain functions.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_LEFT_OUT_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_LEFT_OUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cereal/cereal.hpp"
#include "kekbit/codecs/cereal/cereal_span_archive.h"

namespace kekbit::internal {

template <typename T>
inline constexpr bool kIsMapItem = false;
template <typename Key, typename Value>
inline constexpr bool kIsMapItem<cereal::MapItem<Key, Value>> = true;

// Bytes of an object that its serialize() did not hand over.
struct MemberGap {
  const std::type_info* type;
  size_t offset;
  std::string bytes;
};

// MemberTrace is what an archive tells of each value that it is given, in the place of bytes.
class MemberTrace final {
 public:
  static constexpr bool kTraces = true;

  explicit MemberTrace(std::vector<MemberGap>* gaps) : gaps_(gaps) {}

  void Save(const void* /*data*/, size_t /*size*/) {}
  uint64_t used() const { return ~uint64_t{0}; }

  // A value comes; kSerialized: by a serialize() of its type, which is not given members of others
  // before Leave().
  template <bool kSerialized, typename T>
  void Enter(const T& value) {
    Cover(&value, sizeof value, alignof(T));
    if constexpr (kLooksInside<kSerialized, T>) {
      objects_.push_back({.begin = reinterpret_cast<const char*>(&value), .size = sizeof value, .covered = {}});
    }
  }
  template <bool kSerialized, typename T>
  void Enter(const cereal::BinaryData<T>& block) {
    Cover(block.data, static_cast<size_t>(block.size), 1);
  }
  template <bool kSerialized, typename T>
  void Leave(const T& /*value*/) {
    if constexpr (kLooksInside<kSerialized, T>) {
      AddGaps(objects_.back(), alignof(T), typeid(T));
      objects_.pop_back();
    }
  }

 private:
  struct Range {
    size_t begin, end, alignment;
  };
  struct Object {
    const char* begin;
    size_t size;
    std::vector<Range> covered;
  };

  // cereal's item of a map refers to key and value, which are elsewhere. A std::enable_shared_from_this
  // holds an address, which is no member of the user's.
  template <bool kSerialized, typename T>
  static constexpr bool kLooksInside =
      kSerialized&& std::is_class_v<T> && !std::is_empty_v<T> && !kIsMapItem<T> && !requires(const T& value) {
    value.weak_from_this();
  };

  // These bytes are handed over; if they are of the object that is being saved, they are not left
  // out.
  void Cover(const void* data, size_t size, size_t alignment) {
    if (objects_.empty()) return;
    Object& object = objects_.back();
    const auto begin = reinterpret_cast<uintptr_t>(data) - reinterpret_cast<uintptr_t>(object.begin);
    if (begin < object.size && size <= object.size - begin) object.covered.push_back({begin, begin + size, alignment});
  }

  void AddGaps(Object& object, size_t alignment, const std::type_info& type) {
    std::sort(object.covered.begin(), object.covered.end(),
              [](const Range& a, const Range& b) { return a.begin < b.begin; });
    object.covered.push_back({object.size, object.size, alignment});
    size_t at = 0;
    for (const Range& range : object.covered) {
      if (range.begin > at && range.begin - at >= range.alignment) {
        gaps_->push_back({&type, at, std::string(object.begin + at, range.begin - at)});
      }
      at = std::max(at, range.end);
    }
  }

  std::vector<MemberGap>* const gaps_;
  std::vector<Object> objects_;  // that are being saved, each inside the one before
};

// Returns what is wrong, if something is.
std::string FirstLost(const std::vector<MemberGap>& passed, const std::vector<MemberGap>& decoded);

template <typename T>
std::string LeftOut(const T& passed, const T& decoded) {
  std::vector<MemberGap> gaps[2];
  try {
    BasicOutputArchive<false, MemberTrace> first(&gaps[0]);
    first(passed);
    BasicOutputArchive<false, MemberTrace> second(&gaps[1]);
    second(decoded);
  } catch (...) {
    return {};  // a polymorphic type is not known to this archive
  }
  return FirstLost(gaps[0], gaps[1]);
}

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_LEFT_OUT_H_
