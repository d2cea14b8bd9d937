// Checksum: 71 bytes at most 20 ns, 64 KiB at least 15 GB/s. The limit is one pass over the same
// bytes that only adds them up in words of 8.

#include <cstdint>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/base/crc32c.h"

namespace kekbit::bench {
namespace {

double SumWords(const std::vector<uint8_t>& bytes, uint64_t rounds) {
  uint64_t sum = 0;
  const double nanos = NanosPerItem(rounds, [&] {
    for (uint64_t i = 0; i < rounds; ++i) {
      size_t at = 0;
      for (; at + 8 <= bytes.size(); at += 8) sum += LoadUnaligned<uint64_t>(bytes.data() + at);
      for (; at < bytes.size(); ++at) sum += bytes[at];
      benchmark::DoNotOptimize(sum);
      benchmark::ClobberMemory();
    }
  });
  return nanos;
}

void BM_Crc32c(benchmark::State& state) {
  const std::vector<uint8_t> bytes = MakePayload(static_cast<size_t>(state.range(0)));
  const uint64_t rounds = (1u << 22) / bytes.size();
  uint32_t crc = 0;
  Compare(
      state,
      [&] {
        // Each checksum begins with its predecessor, as in a journal: no two overlap.
        return NanosPerItem(rounds, [&] {
          for (uint64_t i = 0; i < rounds; ++i) crc = Crc32c(crc, bytes);
        });
      },
      [&] { return SumWords(bytes, rounds); });
  benchmark::DoNotOptimize(crc);
  state.counters["GB/s"] = static_cast<double>(bytes.size()) / state.counters["ns"];
}

BENCHMARK(BM_Crc32c)->ArgName("bytes")->Arg(8)->Arg(64)->Arg(71)->Arg(256)->Arg(1024)->Arg(4096)->Arg(65536)->Apply(
    Rounds<50>);

}  // namespace
}  // namespace kekbit::bench
