// LoadPairs and LoadKeys load a std::multimap, a std::multiset and their kin in the order in which
// they were saved.
//
// cereal's own loaders put each element in front of an earlier one with an equal key, and so turn
// those round. An order book that came from a snapshot would fill other orders than its original.
// The bytes are cereal's.
//
// Part of the codecs, not for use by itself.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_ORDERED_LOAD_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_ORDERED_LOAD_H_

#include <concepts>
#include <set>
#include <utility>

#include "cereal/cereal.hpp"

namespace kekbit::internal {

// True if several elements of a map may have one key: std::multimap, and what is made like it.
template <typename Map>
concept MultiMap = requires(Map& map, typename Map::value_type&& element) {
  typename Map::mapped_type;
  { map.insert(std::move(element)) } -> std::same_as<typename Map::iterator>;
};

template <typename Archive, typename Map>
void LoadPairs(Archive& archive, Map& map) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  map.clear();
  for (cereal::size_type i = 0; i < size; ++i) {
    typename Map::key_type key{};
    typename Map::mapped_type value{};
    archive(cereal::make_map_item(key, value));
    map.emplace_hint(map.end(), std::move(key), std::move(value));
  }
}

template <typename Archive, typename Set>
void LoadKeys(Archive& archive, Set& set) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  set.clear();
  for (cereal::size_type i = 0; i < size; ++i) {
    typename Set::key_type key{};
    archive(key);
    set.emplace_hint(set.end(), std::move(key));
  }
}

// Functions that cereal calls for our own archives: more special than its own loaders. See
// cereal_span_archive.h.

template <bool kPortable, typename Source>
class BasicInputArchive;

template <bool kPortable, typename Source, template <typename...> class Map, typename... Args>
requires MultiMap<Map<Args...>>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, Map<Args...>& map) {
  LoadPairs(archive, map);
}
template <bool kPortable, typename Source, typename T, typename Less, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(BasicInputArchive<kPortable, Source>& archive, std::multiset<T, Less, Allocator>& set) {
  LoadKeys(archive, set);
}

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_ORDERED_LOAD_H_
