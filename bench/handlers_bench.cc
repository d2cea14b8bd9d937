// Cost that handlers add to a record of 71 bytes.
//
// Limit of each row: the plain write. `of_write_and_clock` is the ratio to a plain write followed
// by a bare clock_gettime, the least cost of a time for each record.

#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/record_handlers.h"

namespace kekbit::bench {
namespace {

constexpr uint32_t kCapacity = 8u << 20;
constexpr uint64_t kBytes = 71;
constexpr uint64_t kRecords = kCapacity / RecordBytes(kBytes + 24);

WriterOptions Quiet() { return {.touch_ahead_bytes = 0}; }

double WritePlain() {
  BenchChannel channel(Medium::kMemory, kCapacity, Quiet());
  channel.TouchAll();
  return WriteRecords(channel.writer(), MakePayload(kBytes), kRecords);
}

double WriteAndClock() {
  BenchChannel channel(Medium::kMemory, kCapacity, Quiet());
  channel.TouchAll();
  const std::vector<uint8_t> payload = MakePayload(kBytes);
  return NanosPerItem(kRecords, [&] {
    for (uint64_t i = 0; i < kRecords; ++i) {
      KB_CHECK(channel.writer().Write(payload).ok());
      timespec now;
      ::clock_gettime(CLOCK_REALTIME, &now);
      benchmark::DoNotOptimize(now);
    }
  });
}

template <typename... Handlers>
double WriteHandled(Handlers... handlers) {
  BenchChannel channel(Medium::kMemory, kCapacity, Quiet());
  channel.TouchAll();
  const std::vector<uint8_t> payload = MakePayload(kBytes);
  HandledWriter<Handlers...> writer(std::move(channel.writer()), std::move(handlers)...);
  return NanosPerItem(kRecords, [&] {
    for (uint64_t i = 0; i < kRecords; ++i) KB_CHECK(writer.Write(payload).ok());
  });
}

template <typename Subject>
void CompareHandled(benchmark::State& state, Subject subject) {
  Figures with_clock;
  Figures ratios;
  Compare(
      state,
      [&] {
        const double clock = WriteAndClock();
        const double nanos = subject();
        with_clock.Add(clock);
        ratios.Add(nanos / clock);
        return nanos;
      },
      WritePlain);
  state.counters["write_and_clock_ns"] = with_clock.Median();
  state.counters["of_write_and_clock"] = ratios.Median();
}

void BM_Handlers_sequence(benchmark::State& state) {
  CompareHandled(state, [] { return WriteHandled(SequenceHandler()); });
}
void BM_Handlers_crc32c(benchmark::State& state) {
  CompareHandled(state, [] { return WriteHandled(Crc32cHandler()); });
}
void BM_Handlers_sequence_timestamp(benchmark::State& state) {
  CompareHandled(state, [] { return WriteHandled(SequenceHandler(), TimestampHandler()); });
}

BENCHMARK(BM_Handlers_sequence)->Apply(Rounds<40>);
BENCHMARK(BM_Handlers_crc32c)->Apply(Rounds<40>);
BENCHMARK(BM_Handlers_sequence_timestamp)->Apply(Rounds<40>);

}  // namespace
}  // namespace kekbit::bench
