// Checks what codec.h promises of a codec, for each codec and several types.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_json_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "kekbit/codecs/codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/codecs/text_codec.h"
#include "tests/codecs/test_values.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using Buffer = std::vector<uint8_t>;

constexpr size_t kRoom = 1 << 16;
constexpr uint8_t kGuard = 0xA5;

// Facts that the suite has to know of a codec. Are any bytes an encoding? Is any beginning of an
// encoding an encoding as well? Does encoding allocate?
template <typename Codec>
struct Traits {
  static constexpr bool kAnyBytes = false;
  static constexpr bool kAllocates = false;
};
template <>
struct Traits<RawCodec> {
  static constexpr bool kAnyBytes = true;
  static constexpr bool kAllocates = false;
};
template <>
struct Traits<TextCodec> : Traits<RawCodec> {};
template <>
struct Traits<StrictTextCodec> : Traits<RawCodec> {};
template <>
struct Traits<CerealJsonCodec> {
  static constexpr bool kAnyBytes = false;
  static constexpr bool kAllocates = true;
};

template <typename T>
std::vector<T> Values();
template <>
std::vector<std::string> Values() {
  return {"", "a", "hello", std::string(1000, 'x'), "grüße \U0001F600"};
}
template <>
std::vector<std::vector<uint8_t>> Values() {
  return {{}, {0}, {1, 2, 3}, std::vector<uint8_t>(1000, 0xFF)};
}
template <>
std::vector<NoFields> Values() {
  return {NoFields()};
}
template <>
std::vector<FiveFields> Values() {
  return {FiveFields(), SomeFields()};
}
template <>
std::vector<Nested> Values() {
  std::vector<Nested> values(1);
  values.push_back(SomeNested());
  return values;
}

template <typename C, typename V>
struct Case {
  using Codec = C;
  using Value = V;
};

template <typename Case>
class CodecConformanceTest : public testing::Test {
 protected:
  using Codec = typename Case::Codec;
  using Value = typename Case::Value;
  static_assert(CodecFor<Codec, Value>);

  static Buffer Encoded(const Value& value) {
    Buffer buffer(kRoom);
    const absl::StatusOr<size_t> size = Codec::Encode(value, MutableBytes(buffer));
    EXPECT_THAT(size, IsOk());
    buffer.resize(size.value_or(0));
    return buffer;
  }

  // Decodes a copy of exactly the size, so that AddressSanitizer sees a read past its end.
  static absl::Status Decode(Bytes bytes, Value* value) {
    const auto copy = std::make_unique<uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    return Codec::Decode(Bytes(copy.get(), bytes.size()), value);
  }

  // Decodes bytes of which nobody knows what they are: an error or a value, and never much memory.
  static void DecodeHostile(Bytes bytes) {
    Value value{};
    AllocationMeter meter;
    const absl::Status status = Codec::Decode(bytes, &value);
    ASSERT_LE(meter.largest_bytes(), (size_t{64} << 10) + 64 * bytes.size()) << status;
    ASSERT_LE(meter.total_bytes(), (uint64_t{256} << 10) + 256 * bytes.size()) << status;
    if (!status.ok()) {
      ASSERT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, testing::Not(testing::IsEmpty())));
    }
  }
};

using Cases =
    testing::Types<Case<RawCodec, std::string>, Case<RawCodec, std::vector<uint8_t>>, Case<TextCodec, std::string>,
                   Case<StrictTextCodec, std::string>, Case<CerealBinaryCodec, NoFields>,
                   Case<CerealBinaryCodec, std::string>, Case<CerealBinaryCodec, FiveFields>,
                   Case<CerealBinaryCodec, Nested>, Case<CerealPortableCodec, FiveFields>,
                   Case<CerealPortableCodec, Nested>, Case<CerealJsonCodec, std::string>,
                   Case<CerealJsonCodec, FiveFields>, Case<CerealJsonCodec, Nested>>;
TYPED_TEST_SUITE(CodecConformanceTest, Cases);

TYPED_TEST(CodecConformanceTest, ValuesComeBack) {
  for (const auto& value : Values<typename TypeParam::Value>()) {
    typename TypeParam::Value decoded{};
    ASSERT_THAT(this->Decode(this->Encoded(value), &decoded), IsOk());
    EXPECT_EQ(decoded, value);
  }
}

TYPED_TEST(CodecConformanceTest, DecodingReplacesWhatWasThere) {
  for (const auto& value : Values<typename TypeParam::Value>()) {
    for (auto& before : Values<typename TypeParam::Value>()) {
      ASSERT_THAT(this->Decode(this->Encoded(value), &before), IsOk());
      EXPECT_EQ(before, value);
    }
  }
}

TYPED_TEST(CodecConformanceTest, FitsExactly) {
  for (const auto& value : Values<typename TypeParam::Value>()) {
    const Buffer encoded = this->Encoded(value);
    Buffer exact(encoded.size() + 16, kGuard);
    EXPECT_THAT(TypeParam::Codec::Encode(value, MutableBytes(exact.data() + 8, encoded.size())),
                IsOkAndHolds(encoded.size()));
    EXPECT_EQ(Buffer(exact.begin() + 8, exact.end() - 8), encoded);
    EXPECT_EQ(Buffer(exact.begin(), exact.begin() + 8), Buffer(8, kGuard));
    EXPECT_EQ(Buffer(exact.end() - 8, exact.end()), Buffer(8, kGuard));
  }
}

TYPED_TEST(CodecConformanceTest, TooLittleRoomIsResourceExhaustedAndWritesNothingOutside) {
  for (const auto& value : Values<typename TypeParam::Value>()) {
    const size_t needed = this->Encoded(value).size();
    for (size_t room = 0; room < needed; ++room) {
      Buffer buffer(needed + 64, kGuard);
      ASSERT_THAT(TypeParam::Codec::Encode(value, MutableBytes(buffer.data() + 8, room)),
                  StatusIs(absl::StatusCode::kResourceExhausted, testing::HasSubstr(std::to_string(room))))
          << room << " of " << needed;
      ASSERT_EQ(Buffer(buffer.begin(), buffer.begin() + 8), Buffer(8, kGuard));
      const auto behind = buffer.begin() + 8 + static_cast<ptrdiff_t>(room);
      ASSERT_EQ(Buffer(behind, buffer.end()), Buffer(needed + 56 - room, kGuard)) << room << " of " << needed;
    }
  }
}

TYPED_TEST(CodecConformanceTest, BytesLeftOverAreRefused) {
  if (Traits<typename TypeParam::Codec>::kAnyBytes) GTEST_SKIP() << "all bytes are part of the value";
  for (const auto& value : Values<typename TypeParam::Value>()) {
    for (const uint8_t more : {uint8_t{0}, uint8_t{1}, uint8_t{'x'}, uint8_t{'{'}}) {
      Buffer longer = this->Encoded(value);
      longer.push_back(more);
      typename TypeParam::Value decoded{};
      EXPECT_THAT(this->Decode(longer, &decoded), StatusIs(absl::StatusCode::kDataLoss)) << int{more};
    }
  }
}

TYPED_TEST(CodecConformanceTest, EveryTruncationIsRefused) {
  if (Traits<typename TypeParam::Codec>::kAnyBytes) GTEST_SKIP() << "a part of the bytes is a value too";
  for (const auto& value : Values<typename TypeParam::Value>()) {
    const Buffer encoded = this->Encoded(value);
    for (size_t size = 0; size < encoded.size(); ++size) {
      typename TypeParam::Value decoded{};
      ASSERT_THAT(this->Decode(Bytes(encoded).first(size), &decoded), StatusIs(absl::StatusCode::kDataLoss))
          << size << " of " << encoded.size();
    }
  }
}

TYPED_TEST(CodecConformanceTest, EveryByteChangedIsAnErrorOrAValue) {
  for (const auto& value : Values<typename TypeParam::Value>()) {
    const Buffer encoded = this->Encoded(value);
    for (size_t at = 0; at < encoded.size(); ++at) {
      for (const unsigned flip : {0x01u, 0x02u, 0x40u, 0x80u, 0xFFu}) {
        Buffer changed = encoded;
        changed[at] = static_cast<uint8_t>(changed[at] ^ flip);
        ASSERT_NO_FATAL_FAILURE(this->DecodeHostile(changed));
      }
    }
  }
}

TYPED_TEST(CodecConformanceTest, RandomBytesAreAnErrorOrAValue) {
  std::mt19937 random(301);  // NOLINT: the same bytes in each run
  for (int round = 0; round < 5000; ++round) {
    Buffer bytes(random() % 200);
    // Small values are what counts and flags are made of.
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 3);
    ASSERT_NO_FATAL_FAILURE(this->DecodeHostile(bytes));
  }
}

TYPED_TEST(CodecConformanceTest, EncodingAllocatesNothing) {
  if (Traits<typename TypeParam::Codec>::kAllocates) GTEST_SKIP() << "the codec does not promise it";
  Buffer buffer(kRoom);
  for (const auto& value : Values<typename TypeParam::Value>()) {
    const AllocationMeter meter;
    const absl::StatusOr<size_t> size = TypeParam::Codec::Encode(value, MutableBytes(buffer));
    EXPECT_EQ(meter.count(), 0u);
    EXPECT_THAT(size, IsOk());
  }
}

TYPED_TEST(CodecConformanceTest, HasAnIdOfKekbitsRangeAndAMediaType) {
  EXPECT_GE(TypeParam::Codec::kDataFormat, 2u);
  EXPECT_LT(TypeParam::Codec::kDataFormat, kApplicationDataFormatMin);
  EXPECT_THAT(std::string(TypeParam::Codec::kMediaType), testing::HasSubstr("/"));
}

}  // namespace
}  // namespace kekbit
