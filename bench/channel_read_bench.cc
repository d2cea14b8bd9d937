// Cost of reading records that are there, against a bare scan of the same bytes. The scan loads
// each length and adds up the first byte of each payload.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"

namespace kekbit::bench {
namespace {

constexpr uint32_t kBytes = 16u << 20;

// FullChannel is a channel full of records, and a mapping of it that is touched, as a reader's.
struct FullChannel {
  explicit FullChannel(uint64_t payload_bytes)
      : channel(Medium::kMemory, kBytes, {.touch_ahead_bytes = 0}), records(RecordsIn(kBytes, payload_bytes)) {
    channel.TouchAll();
    const std::vector<uint8_t> payload = MakePayload(payload_bytes);
    WriteRecords(channel.writer(), payload, records);
    std::unique_ptr<File> file = FileSystem::Posix().Open(channel.path(), Access::kRead).value();
    mapping = file->Map(Access::kRead, ChannelFileBytes(kBytes)).value();
  }

  BenchChannel channel;
  uint64_t records;
  std::shared_ptr<MappedFile> mapping;
};

double Scan(const FullChannel& full) {
  uint64_t sum = 0;
  const double nanos = NanosPerItem(full.records, [&] {
    const uint8_t* at = full.mapping->data() + kDataOffset + kLengthBytes;  // after the first heartbeat
    for (uint64_t length; (length = AcquireWord(at)) != kWatermark; at += RecordBytes(length)) sum += at[kLengthBytes];
  });
  benchmark::DoNotOptimize(sum);
  return nanos;
}

// `read_all(reader, &sum)` reads to the end.
template <typename ReadAll>
void CompareRead(benchmark::State& state, ReadAll read_all) {
  const FullChannel full(static_cast<uint64_t>(state.range(0)));
  ShmReader reader = ShmReader::OpenShared(full.channel.path(), full.mapping).value();
  const uint64_t start = reader.position();
  Scan(full);
  Compare(
      state,
      [&] {
        KB_CHECK(reader.MoveTo(start).ok());
        uint64_t sum = 0;
        const double nanos = NanosPerItem(full.records, [&] { read_all(reader, &sum); });
        KB_CHECK(sum == full.records);
        return nanos;
      },
      [&] { return Scan(full); });
}

void BM_Read_try_read(benchmark::State& state) {
  CompareRead(state, [](ShmReader& reader, uint64_t* sum) {
    while (const auto payload = reader.TryRead()) *sum += (*payload)[0];
  });
}

void BM_Read_handler(benchmark::State& state) {
  CompareRead(state, [](ShmReader& reader, uint64_t* sum) {
    reader.Read([&](Bytes payload) { *sum += payload[0]; }, UINT64_MAX);
  });
}

void BM_Read_range_for(benchmark::State& state) {
  CompareRead(state, [](ShmReader& reader, uint64_t* sum) {
    for (const Bytes payload : reader) *sum += payload[0];
  });
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bytes");
  for (const int size : {8, 64, 71, 256, 1024, 4096}) benchmark->Arg(size);
}

BENCHMARK(BM_Read_try_read)->Apply(Sizes)->Apply(Rounds<100>);
BENCHMARK(BM_Read_handler)->Apply(Sizes)->Apply(Rounds<100>);
BENCHMARK(BM_Read_range_for)->Apply(Sizes)->Apply(Rounds<100>);

}  // namespace
}  // namespace kekbit::bench
