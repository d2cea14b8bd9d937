// Saved, loaded and saved again, a value of each kind that cereal knows has the same bytes, in each codec: so nothing
// of it is lost, and no order is changed. cereal's own loaders turn equal keys of a multimap round.

#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <stack>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cereal/types/array.hpp"
#include "cereal/types/bitset.hpp"
#include "cereal/types/chrono.hpp"
#include "cereal/types/complex.hpp"
#include "cereal/types/deque.hpp"
#include "cereal/types/forward_list.hpp"
#include "cereal/types/list.hpp"
#include "cereal/types/map.hpp"
#include "cereal/types/memory.hpp"
#include "cereal/types/optional.hpp"
#include "cereal/types/queue.hpp"
#include "cereal/types/set.hpp"
#include "cereal/types/stack.hpp"
#include "cereal/types/string.hpp"
#include "cereal/types/tuple.hpp"
#include "cereal/types/unordered_map.hpp"
#include "cereal/types/unordered_set.hpp"
#include "cereal/types/utility.hpp"
#include "cereal/types/valarray.hpp"
#include "cereal/types/variant.hpp"
#include "cereal/types/vector.hpp"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/byte_stream.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_json_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "kekbit/codecs/cereal/cereal_stream_codec.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

// A value of which nothing is known: equal keys are frequent, and what they have with them differs.
class Source {
 public:
  explicit Source(uint32_t seed) : random_(seed) {}

  size_t Size() { return random_() % 8; }
  void Fill(bool& to) { to = random_() % 2 == 0; }
  void Fill(int16_t& to) { to = static_cast<int16_t>(random_()); }
  void Fill(uint8_t& to) { to = static_cast<uint8_t>(random_() % 4); }
  void Fill(int32_t& to) { to = static_cast<int32_t>(random_()); }
  void Fill(uint64_t& to) { to = uint64_t{random_()} << 32 | random_(); }
  void Fill(double& to) { to = static_cast<double>(static_cast<int32_t>(random_())) / 1024; }
  void Fill(std::string& to) {
    to.clear();
    for (size_t left = Size(); left > 0; --left) to += static_cast<char>('a' + random_() % 26);
  }
  template <typename First, typename Second>
  void Fill(std::pair<First, Second>& to) {
    Fill(to.first);
    Fill(to.second);
  }
  template <typename... Ts>
  void Fill(std::tuple<Ts...>& to) {
    std::apply([this](auto&... each) { (this->Fill(each), ...); }, to);
  }
  template <typename T>
  void Fill(std::complex<T>& to) {
    to = {Make<T>(), Make<T>()};
  }
  template <typename Rep, typename Period>
  void Fill(std::chrono::duration<Rep, Period>& to) {
    to = std::chrono::duration<Rep, Period>(Make<int32_t>());
  }
  template <typename Clock, typename Duration>
  void Fill(std::chrono::time_point<Clock, Duration>& to) {
    to = std::chrono::time_point<Clock, Duration>(Make<Duration>());
  }
  template <size_t kSize>
  void Fill(std::bitset<kSize>& to) {
    for (size_t i = 0; i < kSize; ++i) to[i] = Make<bool>();
  }
  template <typename T, size_t kSize>
  void Fill(std::array<T, kSize>& to) {
    for (T& each : to) Fill(each);
  }
  template <typename T>
  void Fill(std::valarray<T>& to) {
    to.resize(1 + Size());  // of an empty one cereal takes the first element's address
    for (T& each : to) Fill(each);
  }
  template <typename T>
  void Fill(std::optional<T>& to) {
    to = Make<bool>() ? std::optional<T>(Make<T>()) : std::nullopt;
  }
  template <typename A, typename B>
  void Fill(std::variant<A, B>& to) {
    if (Make<bool>()) {
      to = Make<A>();
    } else {
      to = Make<B>();
    }
  }
  template <typename T>
  void Fill(std::unique_ptr<T>& to) {
    to = Make<bool>() ? std::make_unique<T>(Make<T>()) : nullptr;
  }
  template <typename T>
  void Fill(std::shared_ptr<T>& to) {
    to = Make<bool>() ? std::make_shared<T>(Make<T>()) : nullptr;
  }
  template <typename T>
  void Fill(std::forward_list<T>& to) {
    to.clear();
    for (size_t left = Size(); left > 0; --left) to.push_front(Make<T>());
  }
  // What has push(), insert() or push_back().
  template <typename T>
  requires requires(T& to, typename T::value_type value) { to.push(value); }
  void Fill(T& to) {
    to = T();
    for (size_t left = Size(); left > 0; --left) to.push(Make<typename T::value_type>());
  }
  template <typename T>
  requires requires(T& to) { typename T::key_type; }
  void Fill(T& to) {
    to.clear();
    for (size_t left = 2 * Size(); left > 0; --left) {
      if constexpr (requires { typename T::mapped_type; }) {
        auto key = Make<typename T::key_type>();
        to.emplace(std::move(key), Make<typename T::mapped_type>());
      } else {
        to.insert(Make<typename T::key_type>());
      }
    }
  }
  template <typename T>
  requires requires(T& to, typename T::value_type value) { to.push_back(value); }
  void Fill(T& to) {
    to.clear();
    for (size_t left = Size(); left > 0; --left) to.push_back(Make<typename T::value_type>());
  }

  template <typename T>
  T Make() {
    T value{};
    Fill(value);
    return value;
  }

 private:
  std::mt19937 random_;
};

template <typename Codec>
struct ToBytes {
  template <typename T>
  static absl::StatusOr<std::string> Save(const T& value) {
    std::string bytes(1 << 16, '\0');
    const absl::StatusOr<size_t> size =
        Codec::Encode(value, MutableBytes(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
    if (!size.ok()) return size.status();
    bytes.resize(*size);
    return bytes;
  }
  template <typename T>
  static absl::Status Load(const std::string& bytes, T* value) {
    return Codec::Decode(AsBytes(bytes), value);
  }
};

// Streams in memory, in the place of a snapshot's.
class StringOutput final : public ByteOutput {
 public:
  std::string bytes;

 private:
  absl::Status WriteBeyond(Bytes more) override {
    absl::StrAppend(&bytes, AsText(more));
    return absl::OkStatus();
  }
};
class StringInput final : public ByteInput {
 public:
  explicit StringInput(const std::string& bytes) : left_(AsBytes(bytes)) { SetBuffer(Bytes(), left_.size()); }

 private:
  absl::Status ReadBeyond(MutableBytes to) override {
    if (to.size() > left_.size()) return absl::DataLossError("the end");
    std::copy_n(left_.begin(), to.size(), to.begin());
    left_.remove_prefix(to.size());
    SetBuffer(Bytes(), left_.size());
    return absl::OkStatus();
  }

  Bytes left_;
};
struct ToStream {
  template <typename T>
  static absl::StatusOr<std::string> Save(const T& value) {
    StringOutput output;
    if (absl::Status saved = CerealStreamCodec::Save(value, output); !saved.ok()) return saved;
    return output.bytes;
  }
  template <typename T>
  static absl::Status Load(const std::string& bytes, T* value) {
    StringInput input(bytes);
    return CerealStreamCodec::Load(input, value);
  }
};

template <typename Way, typename T>
void ExpectKept(const T& value, int seed) {
  KB_ASSERT_OK_AND_ASSIGN(const std::string saved, Way::Save(value));
  T loaded{};
  ASSERT_THAT(Way::Load(saved, &loaded), IsOk()) << "seed " << seed;
  KB_ASSERT_OK_AND_ASSIGN(const std::string again, Way::Save(loaded));
  ASSERT_EQ(again, saved) << "seed " << seed;
}

// Equal by half of what it is.
struct ByFirst {
  template <typename Pair>
  bool operator()(const Pair& a, const Pair& b) const {
    return a.first < b.first;
  }
};
using Item = std::pair<uint8_t, int32_t>;
using Orders = std::multimap<uint8_t, std::string>;
using Items = std::multiset<Item, ByFirst>;

struct Weak {
  std::shared_ptr<int32_t> strong;
  std::weak_ptr<int32_t> weak;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(strong, weak);
  }
};

template <typename T>
class CerealOrderTest : public testing::Test {};

using Kinds =
    testing::Types<bool, int16_t, double, std::string, std::vector<int32_t>, std::vector<bool>,
                   std::vector<std::string>, std::deque<std::string>, std::list<double>, std::forward_list<int32_t>,
                   std::array<std::string, 3>, std::bitset<77>, std::map<std::string, int32_t>, std::set<std::string>,
                   Orders, Items, std::queue<int32_t>, std::priority_queue<int32_t>, std::stack<std::string>,
                   std::valarray<double>, std::optional<std::string>, std::variant<int32_t, std::string>,
                   std::tuple<uint8_t, std::string, bool>, Item, std::complex<double>, std::chrono::milliseconds,
                   std::chrono::system_clock::time_point, std::unique_ptr<std::string>, std::shared_ptr<std::string>>;
TYPED_TEST_SUITE(CerealOrderTest, Kinds);

TYPED_TEST(CerealOrderTest, IsKeptInEachCodec) {
  for (int seed = 0; seed < 50; ++seed) {
    const auto value = Source(static_cast<uint32_t>(seed)).Make<TypeParam>();
    ExpectKept<ToBytes<CerealBinaryCodec>>(value, seed);
    ExpectKept<ToBytes<CerealPortableCodec>>(value, seed);
    ExpectKept<ToBytes<CerealJsonCodec>>(value, seed);
    ExpectKept<ToStream>(value, seed);
  }
}

// Where they stand does not matter.
template <typename T>
class CerealNestedOrderTest : public CerealOrderTest<T> {};

using NestedKinds =
    testing::Types<std::vector<Orders>, std::map<std::string, Items>, std::multimap<uint8_t, Orders>,
                   std::shared_ptr<Orders>, std::unique_ptr<Items>, std::optional<Orders>, std::variant<Orders, Items>,
                   std::tuple<Orders, Items>, std::pair<std::string, Items>, std::deque<std::shared_ptr<Items>>>;
TYPED_TEST_SUITE(CerealNestedOrderTest, NestedKinds);

TYPED_TEST(CerealNestedOrderTest, IsKeptInEachCodec) {
  for (int seed = 0; seed < 50; ++seed) {
    const auto value = Source(static_cast<uint32_t>(seed)).Make<TypeParam>();
    ExpectKept<ToBytes<CerealBinaryCodec>>(value, seed);
    ExpectKept<ToBytes<CerealPortableCodec>>(value, seed);
    ExpectKept<ToBytes<CerealJsonCodec>>(value, seed);
    ExpectKept<ToStream>(value, seed);
  }
}

TEST(CerealWeakPointerTest, IsKept) {
  Weak value{.strong = std::make_shared<int32_t>(7), .weak = {}};
  value.weak = value.strong;
  ExpectKept<ToBytes<CerealBinaryCodec>>(value, 0);
  ExpectKept<ToStream>(value, 0);
}

// The order of an unordered container is nobody's to rely on: its elements are what is kept.
template <typename T>
class CerealUnorderedTest : public testing::Test {};

using UnorderedKinds = testing::Types<std::unordered_map<int32_t, std::string>, std::unordered_set<std::string>,
                                      std::unordered_multimap<uint8_t, std::string>, std::unordered_multiset<uint8_t>>;
TYPED_TEST_SUITE(CerealUnorderedTest, UnorderedKinds);

template <typename Way, typename T>
void ExpectSameElements(const T& value) {
  KB_ASSERT_OK_AND_ASSIGN(const std::string saved, Way::Save(value));
  T loaded{};
  ASSERT_THAT(Way::Load(saved, &loaded), IsOk());
  EXPECT_EQ(loaded, value);
}

TYPED_TEST(CerealUnorderedTest, ElementsAreKeptInEachCodec) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto value = Source(seed).Make<TypeParam>();
    ExpectSameElements<ToBytes<CerealBinaryCodec>>(value);
    ExpectSameElements<ToBytes<CerealPortableCodec>>(value);
    ExpectSameElements<ToBytes<CerealJsonCodec>>(value);
    ExpectSameElements<ToStream>(value);
  }
}

// Bytes that earlier versions saved are cereal's, and load, now in the order in which they stand.
TEST(CerealOldBytesTest, LoadInTheirOrder) {
  const std::string saved("\2\0\0\0\0\0\0\0\7\1\0\0\0\0\0\0\0a\7\1\0\0\0\0\0\0\0b", 28);
  Orders orders;
  ASSERT_THAT(CerealBinaryCodec::Decode(AsBytes(saved), &orders), IsOk());
  EXPECT_THAT(orders, testing::ElementsAre(testing::Pair(7, "a"), testing::Pair(7, "b")));
}

}  // namespace
}  // namespace kekbit
