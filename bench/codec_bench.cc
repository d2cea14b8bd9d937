// Codecs: raw bytes cost nothing beside their copy. Cereal's binary format of a struct of five
// fields costs at most 3 times a memcpy of as many bytes. Neither allocates.
//
// Encoding goes to the next place of a warm buffer and decoding reads from there, as in a channel;
// so does the limit's memcpy. `allocations` counts operator new over all encodings, or decodings,
// of a row.

#include <cstdint>
#include <cstring>
#include <vector>

#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "cereal/types/string.hpp"
#include "cereal/types/vector.hpp"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_json_codec.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "tests/support/allocations.h"

namespace kekbit::bench {
namespace {

constexpr size_t kBufferBytes = 16 << 10;  // fits into the first level of the cache
constexpr uint64_t kRounds = 100'000;

struct FiveFields {
  uint64_t account = 1;
  uint64_t other = 2;
  int64_t amount = 3;
  double rate = 0.5;
  uint64_t flags = 4;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(account, other, amount, rate, flags);
  }
};
static_assert(sizeof(FiveFields) == 40);  // no padding: the memcpy moves as many bytes

// Places gives the places of a buffer, each `bytes` long, over and over.
class Places final {
 public:
  explicit Places(size_t bytes) : bytes_(bytes), buffer_(kBufferBytes + bytes) {}
  uint8_t* Next() {
    at_ = at_ + bytes_ <= kBufferBytes ? at_ + bytes_ : 0;
    return buffer_.data() + at_;
  }
  // Returns so much room that codecs need no exact length, as in a claim.
  MutableBytes NextRoom() { return MutableBytes(Next(), bytes_); }

 private:
  size_t bytes_;
  size_t at_ = 0;
  std::vector<uint8_t> buffer_;
};

template <typename Work>
double NanosOf(Work work) {
  return NanosPerItem(kRounds, [&] {
    for (uint64_t i = 0; i < kRounds; ++i) {
      work();
      benchmark::ClobberMemory();
    }
  });
}

template <typename Codec, typename T>
void CompareEncode(benchmark::State& state, T& value, const void* data, size_t bytes, size_t room) {
  Places places(room);
  uint64_t allocations = 0;
  Compare(
      state,
      [&] {
        const AllocationMeter meter;
        const double nanos = NanosOf([&] {
          benchmark::DoNotOptimize(value);
          KB_CHECK(Codec::Encode(value, places.NextRoom()).ok());
        });
        allocations += meter.count();
        return nanos;
      },
      [&] {
        return NanosOf([&] {
          benchmark::DoNotOptimize(data);
          std::memcpy(places.Next(), data, bytes);
        });
      });
  state.counters["allocations"] = static_cast<double>(allocations);
}

template <typename Codec, typename T>
void CompareDecode(benchmark::State& state, const T& value, size_t room) {
  std::vector<uint8_t> encoded(room);
  const size_t size = Codec::Encode(value, MutableBytes(encoded)).value();
  Places places(size);
  for (size_t i = 0; i <= kBufferBytes / size; ++i) std::memcpy(places.Next(), encoded.data(), size);
  T decoded{};
  std::vector<uint8_t> copy(size);
  uint64_t allocations = 0;
  Compare(
      state,
      [&] {
        const AllocationMeter meter;
        const double nanos = NanosOf([&] {
          KB_CHECK(Codec::Decode(Bytes(places.Next(), size), &decoded).ok());
          benchmark::DoNotOptimize(decoded);
        });
        allocations += meter.count();
        return nanos;
      },
      [&] {
        return NanosOf([&] {
          std::memcpy(copy.data(), places.Next(), size);
          benchmark::DoNotOptimize(copy.data());
        });
      });
  state.counters["allocations"] = static_cast<double>(allocations);
}

void BM_RawEncode(benchmark::State& state) {
  std::vector<uint8_t> payload(static_cast<size_t>(state.range(0)), 1);
  CompareEncode<RawCodec>(state, payload, payload.data(), payload.size(), payload.size());
}
void BM_RawDecode(benchmark::State& state) {
  const std::vector<uint8_t> payload(static_cast<size_t>(state.range(0)), 1);
  CompareDecode<RawCodec>(state, payload, payload.size());
}
template <typename Codec, size_t kBytes>
void BM_FiveFieldsEncode(benchmark::State& state) {
  FiveFields fields;
  // The portable format has one byte more than the fields.
  std::vector<uint8_t> bytes(kBytes);
  std::memcpy(bytes.data(), &fields, sizeof fields);
  if constexpr (kBytes == sizeof fields) {
    CompareEncode<Codec>(state, fields, &fields, sizeof fields, sizeof fields);
  } else {
    CompareEncode<Codec>(state, fields, bytes.data(), sizeof fields, kBytes);
  }
}
template <typename Codec, size_t kBytes>
void BM_FiveFieldsDecode(benchmark::State& state) {
  CompareDecode<Codec>(state, FiveFields(), kBytes);
}

BENCHMARK(BM_RawEncode)->ArgName("bytes")->Arg(8)->Arg(71)->Arg(256)->Arg(4096)->Apply(Rounds<50>);
BENCHMARK(BM_RawDecode)->ArgName("bytes")->Arg(71)->Arg(4096)->Apply(Rounds<50>);
BENCHMARK_TEMPLATE(BM_FiveFieldsEncode, CerealBinaryCodec, 40)->Apply(Rounds<50>);
BENCHMARK_TEMPLATE(BM_FiveFieldsDecode, CerealBinaryCodec, 40)->Apply(Rounds<50>);
BENCHMARK_TEMPLATE(BM_FiveFieldsEncode, CerealPortableCodec, 41)->Apply(Rounds<50>);
BENCHMARK_TEMPLATE(BM_FiveFieldsDecode, CerealPortableCodec, 41)->Apply(Rounds<50>);
BENCHMARK_TEMPLATE(BM_FiveFieldsEncode, CerealJsonCodec, 200)->Apply(Rounds<3>);
BENCHMARK_TEMPLATE(BM_FiveFieldsDecode, CerealJsonCodec, 200)->Apply(Rounds<3>);

}  // namespace
}  // namespace kekbit::bench
