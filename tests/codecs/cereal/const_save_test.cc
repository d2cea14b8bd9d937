// What is saved is not changed: a type gets a const object for saving wherever it takes one.

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "gtest/gtest.h"
#include "kekbit/base/byte_stream.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "kekbit/codecs/cereal/cereal_stream_codec.h"
#include "tests/support/status_matchers.h"

namespace kekbit {

// How each was called for saving.
inline int saved_const = 0;
inline int saved_mutable = 0;

template <typename Archive, bool kConst>
void Note() {
  if (Archive::is_saving::value) ++(kConst ? saved_const : saved_mutable);
}

struct BothMembers {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    Note<Archive, false>();
    archive(value);
  }
  template <class Archive>
  void serialize(Archive& archive) const {
    Note<Archive, true>();
    archive(value);
  }
};
struct BothVersioned {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, const uint32_t /*version*/) {
    Note<Archive, false>();
    archive(value);
  }
  template <class Archive>
  void serialize(Archive& archive, const uint32_t /*version*/) const {
    Note<Archive, true>();
    archive(value);
  }
};
// One function for both, beside the type.
struct Beside {
  int value = 0;
  template <class Archive, class Self>
  requires std::same_as<std::remove_const_t<Self>, Beside>
  friend void serialize(Archive& archive, Self& self) {
    Note<Archive, std::is_const_v<Self>>();
    archive(self.value);
  }
};
struct BesideVersioned {
  int value = 0;
  template <class Archive, class Self>
  requires std::same_as<std::remove_const_t<Self>, BesideVersioned>
  friend void serialize(Archive& archive, Self& self, const uint32_t /*version*/) {
    Note<Archive, std::is_const_v<Self>>();
    archive(self.value);
  }
};
struct SavesAndLoads {
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const {
    Note<Archive, true>();
    archive(value);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(value);
  }
};
struct SavesMinimal {
  int value = 0;
  template <class Archive>
  int save_minimal(const Archive& /*archive*/) const {
    Note<Archive, true>();
    return value;
  }
  template <class Archive>
  void load_minimal(const Archive& /*archive*/, const int& saved) {
    value = saved;
  }
};
// What cereal's users have as a rule. It could change what it saves.
struct MutableOnly {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    Note<Archive, false>();
    archive(value);
  }
};
template <typename T>
struct Inside {
  T inner;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(inner);
  }
};

static_assert(CerealStreamCodec::kSavesConst<BothMembers>);
static_assert(CerealStreamCodec::kSavesConst<BothVersioned>);
static_assert(CerealStreamCodec::kSavesConst<Beside>);
static_assert(CerealStreamCodec::kSavesConst<BesideVersioned>);
static_assert(CerealStreamCodec::kSavesConst<SavesAndLoads>);
static_assert(CerealStreamCodec::kSavesConst<SavesMinimal>);
static_assert(CerealStreamCodec::kSavesConst<std::string>);
static_assert(!CerealStreamCodec::kSavesConst<MutableOnly>);

namespace {

class NoOutput final : public ByteOutput {
  absl::Status WriteBeyond(Bytes /*more*/) override { return absl::OkStatus(); }
};

template <typename T>
class ConstSaveTest : public testing::Test {
 protected:
  template <typename Value>
  static void SaveInEachWay(const Value& value) {
    uint8_t bytes[100];
    ASSERT_THAT(CerealBinaryCodec::Encode(value, MutableBytes(bytes)), IsOk());
    ASSERT_THAT(CerealPortableCodec::Encode(value, MutableBytes(bytes)), IsOk());
    NoOutput output;
    ASSERT_THAT(CerealStreamCodec::Save(value, output), IsOk());
  }
};

using Types =
    testing::Types<BothMembers, BothVersioned, Beside, BesideVersioned, SavesAndLoads, SavesMinimal, MutableOnly>;
TYPED_TEST_SUITE(ConstSaveTest, Types);

TYPED_TEST(ConstSaveTest, OneThatTakesAConstObjectNeverGetsAnother) {
  saved_const = saved_mutable = 0;
  this->SaveInEachWay(TypeParam());
  this->SaveInEachWay(Inside<TypeParam>());
  const bool takes_const = CerealStreamCodec::kSavesConst<TypeParam>;
  EXPECT_EQ(saved_const, takes_const ? 6 : 0);
  EXPECT_EQ(saved_mutable, takes_const ? 0 : 6);
}

TYPED_TEST(ConstSaveTest, WhatWasSavedLoads) {
  TypeParam value;
  value.value = 42;
  uint8_t bytes[100];
  KB_ASSERT_OK_AND_ASSIGN(const size_t size, CerealBinaryCodec::Encode(value, MutableBytes(bytes)));
  TypeParam loaded;
  ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(bytes, size), &loaded), IsOk());
  EXPECT_EQ(loaded.value, 42);
}

}  // namespace
}  // namespace kekbit
