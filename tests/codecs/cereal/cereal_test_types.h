// Types for which an archive has to keep track of something: shared objects, versions, polymorphic
// pointers, virtual bases. Registered with cereal, so one test includes this.

#ifndef KEKBIT_TESTS_CODECS_CEREAL_CEREAL_TEST_TYPES_H_
#define KEKBIT_TESTS_CODECS_CEREAL_CEREAL_TEST_TYPES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cereal/archives/binary.hpp"
#include "cereal/archives/portable_binary.hpp"
#include "cereal/types/base_class.hpp"
#include "cereal/types/memory.hpp"
#include "cereal/types/polymorphic.hpp"
#include "cereal/types/string.hpp"
#include "cereal/types/vector.hpp"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"

namespace kekbit {

struct Shared {
  std::vector<std::shared_ptr<int32_t>> pointers;
  std::shared_ptr<std::string> other;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(pointers, other);
  }
};

struct Versioned {
  int32_t number = 0;
  uint32_t read_version = 0;

  template <typename Archive>
  void serialize(Archive& archive, uint32_t version) {
    archive(number);
    if (Archive::is_loading::value) read_version = version;
  }
};

struct Shape {
  virtual ~Shape() = default;
  virtual int32_t Area() const = 0;
};
struct Square final : Shape {
  explicit Square(int32_t s = 0) : side(s) {}
  int32_t Area() const override { return side * side; }
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(side);
  }
  int32_t side;
};

struct Root {
  int32_t root = 1;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(root);
  }
};
struct Left : virtual Root {
  int32_t left = 2;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(cereal::virtual_base_class<Root>(this), left);
  }
};
struct Right : virtual Root {
  int32_t right = 3;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(cereal::virtual_base_class<Root>(this), right);
  }
};
struct Diamond : Left, Right {
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Left>(this), cereal::base_class<Right>(this));
  }
};

inline Shared SomeShared() {
  const auto seven = std::make_shared<int32_t>(7);
  return {.pointers = {seven, seven, nullptr, std::make_shared<int32_t>(8)},
          .other = std::make_shared<std::string>("seven")};
}
inline std::vector<Versioned> SomeVersioned() { return {{.number = 1}, {.number = 2}}; }
inline std::vector<std::unique_ptr<Shape>> SomeShapes() {
  std::vector<std::unique_ptr<Shape>> shapes;
  shapes.push_back(std::make_unique<Square>(2));
  shapes.push_back(nullptr);
  shapes.push_back(std::make_unique<Square>(3));
  return shapes;
}
inline Diamond SomeDiamond() {
  Diamond diamond;
  diamond.root = 99;
  return diamond;
}

}  // namespace kekbit

CEREAL_CLASS_VERSION(kekbit::Versioned, 3)
CEREAL_REGISTER_TYPE(kekbit::Square)
CEREAL_REGISTER_POLYMORPHIC_RELATION(kekbit::Shape, kekbit::Square)

#endif  // KEKBIT_TESTS_CODECS_CEREAL_CEREAL_TEST_TYPES_H_
