// The cereal codecs' own matters: cereal's own bytes, and bytes that lie.

#include <array>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cereal/archives/binary.hpp"
#include "cereal/archives/portable_binary.hpp"
#include "cereal/types/forward_list.hpp"
#include "cereal/types/polymorphic.hpp"
#include "cereal/types/valarray.hpp"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "tests/codecs/cereal/cereal_test_types.h"
#include "tests/codecs/test_values.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

template <typename Codec, typename T>
std::string Encoded(const T& value) {
  std::string buffer(1 << 20, '\0');
  MutableBytes to(reinterpret_cast<uint8_t*>(buffer.data()), buffer.size());
  const absl::StatusOr<size_t> size = Codec::Encode(value, to);
  EXPECT_THAT(size, IsOk());
  buffer.resize(size.value_or(0));
  return buffer;
}

template <typename Archive, typename T>
std::string EncodedByCereal(const T& value) {
  std::ostringstream stream;
  {
    Archive archive(stream);
    archive(value);
  }
  return stream.str();
}

template <typename T>
void ExpectCerealsBytes(const T& value) {
  EXPECT_EQ(Encoded<CerealBinaryCodec>(value), EncodedByCereal<cereal::BinaryOutputArchive>(value));
  EXPECT_EQ(Encoded<CerealPortableCodec>(value), EncodedByCereal<cereal::PortableBinaryOutputArchive>(value));
}

// The bytes of numbers, one after the other.
template <typename... Ts>
std::string Raw(Ts... values) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
  return bytes;
}

// Decoding `bytes` as a T fails, and takes little memory to find that out. Returns what it says.
template <typename T>
std::string Refused(const std::string& bytes) {
  T value{};
  const AllocationMeter meter;
  const absl::Status status = CerealBinaryCodec::Decode(AsBytes(bytes), &value);
  EXPECT_LE(meter.total_bytes(), 1024 + 16 * bytes.size());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
  return std::string(status.message());
}

TEST(CerealBytesTest, AreThoseOfCerealsOwnArchives) {
  ExpectCerealsBytes(NoFields());
  ExpectCerealsBytes(FiveFields());
  ExpectCerealsBytes(SomeFields());
  ExpectCerealsBytes(Nested());
  ExpectCerealsBytes(SomeNested());
  ExpectCerealsBytes(std::u16string(u"wide"));
  ExpectCerealsBytes(std::valarray<double>{1, 2, 3});
  ExpectCerealsBytes(std::forward_list<uint16_t>{1, 2, 3});
}

TEST(CerealBytesTest, AreThoseOfCerealsForWhatArchivesKeepTrackOf) {
  ExpectCerealsBytes(SomeShared());
  ExpectCerealsBytes(SomeVersioned());
  ExpectCerealsBytes(SomeShapes());
  ExpectCerealsBytes(SomeDiamond());
}

TEST(CerealTrackingTest, SharedObjectsComeBackShared) {
  Shared decoded;
  ASSERT_THAT(CerealBinaryCodec::Decode(AsBytes(Encoded<CerealBinaryCodec>(SomeShared())), &decoded), IsOk());
  ASSERT_EQ(decoded.pointers.size(), 4u);
  EXPECT_EQ(decoded.pointers[0], decoded.pointers[1]);
  EXPECT_EQ(*decoded.pointers[0], 7);
  EXPECT_EQ(decoded.pointers[2], nullptr);
  EXPECT_EQ(*decoded.pointers[3], 8);
  EXPECT_EQ(*decoded.other, "seven");
}

TEST(CerealTrackingTest, VersionsPolymorphicPointersAndVirtualBasesComeBack) {
  std::vector<Versioned> versioned;
  ASSERT_THAT(CerealBinaryCodec::Decode(AsBytes(Encoded<CerealBinaryCodec>(SomeVersioned())), &versioned), IsOk());
  ASSERT_EQ(versioned.size(), 2u);
  EXPECT_EQ(versioned[1].number, 2);
  EXPECT_EQ(versioned[1].read_version, 3u);

  std::vector<std::unique_ptr<Shape>> shapes;
  ASSERT_THAT(CerealBinaryCodec::Decode(AsBytes(Encoded<CerealBinaryCodec>(SomeShapes())), &shapes), IsOk());
  ASSERT_EQ(shapes.size(), 3u);
  EXPECT_EQ(shapes[0]->Area(), 4);
  EXPECT_EQ(shapes[2]->Area(), 9);

  Diamond diamond;
  ASSERT_THAT(CerealBinaryCodec::Decode(AsBytes(Encoded<CerealBinaryCodec>(SomeDiamond())), &diamond), IsOk());
  EXPECT_EQ(diamond.root + diamond.left + diamond.right, SomeDiamond().root + 5);
}

TEST(CerealTrackingTest, SharedPointersNeverTakeAnObjectOfAnotherType) {
  std::string bytes = Encoded<CerealBinaryCodec>(SomeShared());
  // `other` is new there; make its id that of the first number.
  const std::string id = Raw(uint32_t{0x8000'0003});
  const size_t at = bytes.rfind(id);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, bytes.size() - at, Raw(uint32_t{1}));
  Shared decoded;
  EXPECT_THAT(CerealBinaryCodec::Decode(AsBytes(bytes), &decoded),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another type")));
  bytes.replace(at, 4, Raw(uint32_t{77}));
  EXPECT_THAT(CerealBinaryCodec::Decode(AsBytes(bytes), &decoded),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not there")));
}

TEST(CerealPortableTest, ReadsBothByteOrders) {
  std::ostringstream stream;
  {
    cereal::PortableBinaryOutputArchive archive(stream, cereal::PortableBinaryOutputArchive::Options::BigEndian());
    archive(SomeNested());
  }
  const std::string big = stream.str();
  ASSERT_NE(big, Encoded<CerealPortableCodec>(SomeNested()));
  Nested decoded;
  ASSERT_THAT(CerealPortableCodec::Decode(AsBytes(big), &decoded), IsOk());
  EXPECT_EQ(decoded, SomeNested());
}

TEST(CerealPortableTest, RefusesAFirstByteThatIsNoByteOrder) {
  std::string bytes = Encoded<CerealPortableCodec>(SomeFields());
  bytes[0] = 2;
  FiveFields decoded;
  EXPECT_THAT(CerealPortableCodec::Decode(AsBytes(bytes), &decoded), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CerealHostileTest, SizesAreBoundedByTheBytesThatAreThere) {
  for (const uint64_t size : {uint64_t{13}, uint64_t{1} << 20, uint64_t{1} << 60, ~uint64_t{0}}) {
    const std::string bytes = Raw(size) + std::string(12, '\0');
    Refused<std::string>(bytes);
    Refused<std::u32string>(bytes);
    Refused<std::vector<uint8_t>>(bytes);
    Refused<std::vector<uint64_t>>(bytes);
    Refused<std::vector<bool>>(bytes);
    Refused<std::vector<FiveFields>>(bytes);
    Refused<std::vector<NoFields>>(bytes + std::string(8, '\0'));
    Refused<std::vector<std::vector<std::string>>>(bytes);
    Refused<std::deque<uint8_t>>(bytes);
    Refused<std::list<uint16_t>>(bytes);
    Refused<std::forward_list<uint16_t>>(bytes);
    Refused<std::set<uint64_t>>(bytes);
    Refused<std::unordered_set<uint64_t>>(bytes);
    Refused<std::map<uint32_t, std::string>>(bytes);
    Refused<std::unordered_map<uint32_t, std::string>>(bytes);
    Refused<std::valarray<double>>(bytes);
  }
}

TEST(CerealHostileTest, NumbersTakeNoMoreMemoryThanTheirBytes) {
  const std::string bytes = Raw(uint64_t{100'000}) + std::string(100'000, 'x');
  std::vector<uint64_t> value;
  const AllocationMeter meter;
  EXPECT_THAT(CerealBinaryCodec::Decode(AsBytes(bytes), &value), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_LE(meter.total_bytes(), bytes.size());
}

// Elements without bytes could otherwise be asked for again and again: many times as much memory as
// there are bytes.
TEST(CerealHostileTest, ContainersTogetherAreBoundedToo) {
  constexpr uint64_t kOuter = 1000;
  std::string bytes = Raw(kOuter);
  for (uint64_t i = 0; i < kOuter; ++i) bytes += Raw(uint64_t{8000});
  std::vector<std::vector<NoFields>> value;
  const AllocationMeter meter;
  EXPECT_THAT(CerealBinaryCodec::Decode(AsBytes(bytes), &value), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_LE(meter.total_bytes(), 16 * bytes.size());
}

TEST(CerealHostileTest, ElementsWithoutBytesAreEncodedOnlyIfTheyCanBeDecoded) {
  uint8_t to[100];
  const std::vector<NoFields> few(8);
  ASSERT_THAT(CerealBinaryCodec::Encode(few, MutableBytes(to)), IsOkAndHolds(8u));
  std::vector<NoFields> decoded;
  ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(to, 8), &decoded), IsOk());
  EXPECT_EQ(decoded, few);
  EXPECT_THAT(CerealBinaryCodec::Encode(std::vector<NoFields>(9), MutableBytes(to)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("elements")));
}

TEST(CerealHostileTest, FlagsAndIndicesAreChecked) {
  EXPECT_THAT(Refused<bool>(Raw(uint8_t{2})), HasSubstr("bool"));
  Refused<std::vector<bool>>(Raw(uint64_t{1}, uint8_t{255}));
  const std::array<uint8_t, 3> switches = {1, 0, 9};
  EXPECT_THAT(Refused<decltype(Nested::switches)>(Raw(switches)), HasSubstr("bool"));
  for (const int32_t index : {-1, 4, 1 << 30, INT32_MIN}) {
    Refused<decltype(Nested::any)>(Raw(index, uint64_t{1}));
  }
}

TEST(CerealHostileTest, DepthIsLimitedInBothDirections) {
  Refused<Chain>(std::string(1 << 20, '\1'));
  std::string tree;
  for (int i = 0; i < 100'000; ++i) tree += Raw(uint8_t{0}, uint64_t{1});
  EXPECT_THAT(Refused<Tree>(tree), HasSubstr("deep"));

  Chain chain;
  Chain* last = &chain;
  std::vector<uint8_t> to(100'000);
  const auto encode = [&] { return CerealBinaryCodec::Encode(chain, MutableBytes(to)); };
  absl::StatusOr<size_t> size = encode();
  size_t longest = 0;
  for (; size.ok(); size = encode()) {
    longest = *size;
    Chain decoded;
    ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(to).first(longest), &decoded), IsOk());
    last->next = std::make_unique<Chain>();
    last = last->next.get();
  }
  EXPECT_THAT(size, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deep")));
  EXPECT_GE(longest, 300u);
}

template <typename Thrown>
struct Throwing {
  template <typename Archive>
  void serialize(Archive& /*archive*/) {
    throw Thrown();
  }
};
struct LengthError : std::length_error {
  LengthError() : std::length_error("too long") {}
};

TEST(CerealExceptionsTest, BecomeStatus) {
  uint8_t bytes[8] = {};
  Throwing<LengthError> length;
  EXPECT_THAT(CerealBinaryCodec::Encode(length, MutableBytes(bytes)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too long")));
  EXPECT_THAT(CerealBinaryCodec::Decode(Bytes(bytes), &length),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("too long")));
  Throwing<std::bad_alloc> memory;
  EXPECT_THAT(CerealBinaryCodec::Encode(memory, MutableBytes(bytes)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CerealBinaryCodec::Decode(Bytes(bytes), &memory), StatusIs(absl::StatusCode::kResourceExhausted));
  Throwing<int> number;
  EXPECT_THAT(CerealBinaryCodec::Encode(number, MutableBytes(bytes)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CerealBinaryCodec::Decode(Bytes(bytes), &number), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CerealEncodeTest, SaysHowMuchRoomItNeeds) {
  uint8_t to[10];
  EXPECT_THAT(CerealBinaryCodec::Encode(std::string(100, 'x'), MutableBytes(to)),
              StatusIs(absl::StatusCode::kResourceExhausted, testing::AllOf(HasSubstr("108"), HasSubstr("10"))));
}

}  // namespace
}  // namespace kekbit
