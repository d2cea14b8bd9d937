// Values of many shapes for the tests of codecs.

#ifndef KEKBIT_TESTS_CODECS_TEST_VALUES_H_
#define KEKBIT_TESTS_CODECS_TEST_VALUES_H_

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "cereal/types/array.hpp"
#include "cereal/types/deque.hpp"
#include "cereal/types/list.hpp"
#include "cereal/types/map.hpp"
#include "cereal/types/memory.hpp"
#include "cereal/types/optional.hpp"
#include "cereal/types/set.hpp"
#include "cereal/types/string.hpp"
#include "cereal/types/tuple.hpp"
#include "cereal/types/unordered_map.hpp"
#include "cereal/types/unordered_set.hpp"
#include "cereal/types/utility.hpp"
#include "cereal/types/variant.hpp"
#include "cereal/types/vector.hpp"

namespace kekbit {

struct NoFields {
  friend bool operator==(const NoFields&, const NoFields&) = default;
};

struct FiveFields {
  uint64_t a = 0;
  uint32_t b = 0;
  int64_t c = 0;
  double d = 0;
  uint16_t e = 0;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(a), CEREAL_NVP(b), CEREAL_NVP(c), CEREAL_NVP(d), CEREAL_NVP(e));
  }
  friend bool operator==(const FiveFields&, const FiveFields&) = default;
};

enum class Color : uint8_t { kRed, kGreen };

// A pointer that is compared by what it points to.
struct Boxed {
  std::unique_ptr<FiveFields> box;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(box);
  }
  friend bool operator==(const Boxed& a, const Boxed& b) {
    return (a.box == nullptr) == (b.box == nullptr) && (a.box == nullptr || *a.box == *b.box);
  }
};

struct Nested {
  bool flag = false;
  Color color = Color::kRed;
  std::string text;
  std::vector<uint32_t> numbers;
  std::vector<bool> bits;
  std::vector<std::vector<std::string>> table;
  std::map<std::string, FiveFields> by_name;
  std::unordered_map<uint32_t, std::list<int16_t>> by_number;
  std::set<int8_t> small;
  std::unordered_set<uint64_t> large;
  std::deque<std::pair<int32_t, float>> pairs;
  std::optional<std::string> maybe;
  std::variant<std::monostate, uint32_t, std::string, FiveFields> any;
  std::array<bool, 3> switches = {};
  std::array<FiveFields, 2> two = {};
  std::tuple<char, double, std::string> mixed;
  Boxed boxed;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(flag, color, text, numbers, bits, table, by_name, by_number, small, large, pairs, maybe, any, switches, two,
            mixed, boxed);
  }
  friend bool operator==(const Nested&, const Nested&) = default;
};

// Both nest as deep as the bytes say.
struct Tree {
  uint8_t label = 0;
  std::vector<Tree> children;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(label, children);
  }
};
struct Chain {
  std::unique_ptr<Chain> next;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(next);
  }
};

inline FiveFields SomeFields(uint32_t seed = 1) {
  return {.a = 0x0102'0304'0506'0708u * seed, .b = seed, .c = -5 * int64_t{seed}, .d = 0.1 * seed, .e = 0xABCD};
}

inline Nested SomeNested() {
  Nested nested;
  nested.flag = true;
  nested.color = Color::kGreen;
  nested.text = "naïve \"text\" \\u0041\n";
  nested.numbers = {1, 0xFFFF'FFFF, 3};
  nested.bits = {true, false, true};
  nested.table = {{"a", ""}, {}, {"a longer string than fits into a std::string itself"}};
  nested.by_name = {{"x", SomeFields(2)}, {"", SomeFields(3)}};
  nested.by_number = {{7, {-1, 2}}};
  nested.small = {-128, 127};
  nested.large = {1ull << 63};
  nested.pairs = {{-7, 0.5f}, {8, -1e30f}};
  nested.maybe = "yes";
  nested.any = SomeFields(4);
  nested.switches = {true, false, true};
  nested.two = {SomeFields(5), SomeFields(6)};
  nested.mixed = {'c', 2.5, "m"};
  nested.boxed.box = std::make_unique<FiveFields>(SomeFields(7));
  return nested;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_CODECS_TEST_VALUES_H_
