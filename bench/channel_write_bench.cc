// Cost of appending a record, against a plain memcpy of the same bytes into touched memory.
//
//   touched          every page of the channel is ready before: what the code itself costs
//   fresh_burst      a new channel; the page toucher has made its window ready when the burst begins
//   fresh_sustained  records without end, beyond the window; the limit is the slower of memcpy and of
//                    the kernel's rate of making pages ready (MADV_POPULATE_WRITE alone, on another
//                    mapping)
//   fresh_untouched  a new channel without the toucher: the writer takes each page fault

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"

namespace kekbit::bench {
namespace {

constexpr uint32_t kBurstBytes = 16u << 20;
constexpr uint32_t kSustainedBytes = 192u << 20;

WriterOptions Untouched() { return {.touch_ahead_bytes = 0}; }

Medium MediumOf(const benchmark::State& state) { return static_cast<Medium>(state.range(0)); }

uint64_t PayloadBytes(const benchmark::State& state) { return static_cast<uint64_t>(state.range(1)); }

double FaultsOfThisThread() {
  rusage usage;
  ::getrusage(RUSAGE_THREAD, &usage);
  return static_cast<double>(usage.ru_minflt);
}

enum class Pages { kTouched, kAhead, kFresh };

void CompareBurst(benchmark::State& state, Pages pages) {
  const std::vector<uint8_t> payload = MakePayload(PayloadBytes(state));
  const uint64_t records = RecordsIn(kBurstBytes, payload.size());
  Figures faults;
  Compare(
      state,
      [&] {
        BenchChannel channel(MediumOf(state), kBurstBytes, pages == Pages::kAhead ? WriterOptions() : Untouched());
        if (pages == Pages::kTouched) channel.TouchAll();
        if (pages == Pages::kAhead) channel.AwaitTouched(kBurstBytes);
        const double before = FaultsOfThisThread();
        const double nanos = WriteRecords(channel.writer(), payload, records);
        faults.Add(FaultsOfThisThread() - before);
        return nanos;
      },
      [&] { return StoreRecordsTouched(MediumOf(state), payload, records); });
  state.counters["faults"] = faults.Median();
}

void BM_Write_touched(benchmark::State& state) { CompareBurst(state, Pages::kTouched); }
void BM_Write_fresh_burst(benchmark::State& state) { CompareBurst(state, Pages::kAhead); }
void BM_Write_fresh_untouched(benchmark::State& state) { CompareBurst(state, Pages::kFresh); }

// Returns the nanoseconds that the kernel takes to make ready what one record needs.
double TouchRecords(Medium medium, uint64_t bytes, uint64_t records) {
  const std::unique_ptr<MappedFile> mapping = MakeMapping(medium, bytes);
  return NanosPerItem(records, [&] { KB_CHECK(mapping->Touch(0, bytes).ok()); });
}

void BM_Write_fresh_sustained(benchmark::State& state) {
  const Medium medium = MediumOf(state);
  const std::vector<uint8_t> payload = MakePayload(PayloadBytes(state));
  const WriterOptions options;
  const auto window = static_cast<uint32_t>(options.touch_ahead_bytes);
  const uint64_t first = RecordsIn(window, payload.size());
  const uint64_t records = RecordsIn(kSustainedBytes - window, payload.size());
  Figures copies;
  Figures touches;
  Compare(
      state,
      [&] {
        BenchChannel channel(medium, kSustainedBytes, options);
        channel.AwaitTouched(window);
        WriteRecords(channel.writer(), payload, first);
        return WriteRecords(channel.writer(), payload, records);
      },
      [&] {
        const double copy = StoreRecordsTouched(medium, payload, records);
        const double touch = TouchRecords(medium, kSustainedBytes - window, records);
        copies.Add(copy);
        touches.Add(touch);
        return std::max(copy, touch);
      });
  state.counters["memcpy_ns"] = copies.Median();
  state.counters["populate_ns"] = touches.Median();
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"disk", "bytes"});
  for (const int medium : {0, 1}) {
    for (const int size : {8, 64, 71, 256, 1024, 4096}) benchmark->Args({medium, size});
  }
}

BENCHMARK(BM_Write_touched)->Apply(Sizes)->Apply(Rounds<40>);
BENCHMARK(BM_Write_fresh_burst)->Apply(Sizes)->Apply(Rounds<40>);
BENCHMARK(BM_Write_fresh_sustained)->Apply(Sizes)->Apply(Rounds<5>);
BENCHMARK(BM_Write_fresh_untouched)->Apply(Sizes)->Apply(Rounds<20>);

}  // namespace
}  // namespace kekbit::bench
