// Writer and reader at once, in two processes, until the reader has seen every record, against the
// same writer alone. The reader counts the records and checks that each is the next.
//
//   backoff     the reader waits with kekbit::Backoff, the default
//   spin        the reader asks again at once
//   spin_pause  the reader asks again after one pause of the processor
//
// The same run measures what the machine alone costs. transfer_ns: the second process scans records
// that the first wrote before, so neither waits for the other. This is the cost of bringing the
// bytes from one processor's cache to the other's. bare_ns: a bare writer and a bare scanning
// reader at once, with the same waiting. of_bare is the ratio to the greater of both limits.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"
#include "kekbit/base/backoff.h"

namespace kekbit::bench {
namespace {

constexpr uint32_t kBytes = 16u << 20;

struct Shared {
  LoneWord ready;  // the reader's first look is next
  LoneWord done;   // when it has seen all: the time
};

// Payloads differ in every byte; record i has the (i % kKinds)-th. They are made before the clock
// starts. A store right before the copy that loads it would stall that copy, and be measured as the
// writer's.
constexpr uint64_t kKinds = 32;

class Payloads final {
 public:
  explicit Payloads(uint64_t size) : size_(size), bytes_(MakePayload(size + kKinds)) {}

  Bytes Of(uint64_t record) const { return Bytes(bytes_.data() + record % kKinds, size_); }

 private:
  uint64_t size_;
  std::vector<uint8_t> bytes_;
};

void WriteKinds(ShmWriter& writer, const Payloads& payloads, uint64_t records) {
  for (uint64_t i = 0; i < records; ++i) KB_CHECK(writer.Write(payloads.Of(i)).ok());
}

struct WithBackoff {
  void Wait() { backoff.Pause(); }
  void Found() { backoff.Reset(); }
  Backoff backoff;
};
struct WithSpin {
  void Wait() {}
  void Found() {}
};
struct WithSpinPause {
  void Wait() { SpinPause(); }
  void Found() {}
};

// The reader's process sees all records, each once and in order, with the expected size, first and
// last byte.
template <typename Waiting>
void ReadKinds(const std::string& path, uint64_t payload_bytes, uint64_t records, Shared& shared) {
  std::unique_ptr<File> file = FileSystem::Posix().Open(path, Access::kRead).value();
  std::shared_ptr<MappedFile> mapping = file->Map(Access::kRead, ChannelFileBytes(kBytes)).value();
  // Map each page before the clock starts, as for the writer.
  for (uint64_t at = 0; at < mapping->size(); at += 4096) benchmark::DoNotOptimize(PeekWord(mapping->data() + at));
  ShmReader reader = ShmReader::OpenShared(path, mapping).value();
  const Payloads payloads(payload_bytes);
  Waiting waiting;
  shared.ready.Set(1);
  for (uint64_t seen = 0; seen < records;) {
    if (const auto payload = reader.TryRead()) {
      const Bytes wanted = payloads.Of(seen);
      KB_CHECK(payload->size() == wanted.size() && payload->front() == wanted.front() &&
               payload->back() == wanted.back());
      ++seen;
      waiting.Found();
    } else {
      waiting.Wait();
    }
  }
  shared.done.Set(static_cast<uint64_t>(NowNanos()));
}

// The bare pair uses none of our code: records of length, payload and WATERMARK in memory that both
// map.
struct BareShared {
  LoneWord ready;
  LoneWord go;
  LoneWord done;
  alignas(4096) uint8_t data[kBytes + kLengthBytes] = {};
};

template <typename Waiting>
void ScanKinds(uint64_t payload_bytes, uint64_t records, BareShared& shared) {
  for (uint64_t at = 0; at < kBytes; at += 4096) benchmark::DoNotOptimize(PeekWord(shared.data + at));
  const Payloads payloads(payload_bytes);
  Waiting waiting;
  shared.ready.Set(1);
  shared.go.Await(1);
  const int64_t begin = NowNanos();
  const uint8_t* at = shared.data;
  for (uint64_t seen = 0; seen < records;) {
    const uint64_t length = AcquireWord(at);
    if (length == kWatermark) {
      waiting.Wait();
      continue;
    }
    waiting.Found();
    const Bytes wanted = payloads.Of(seen);
    KB_CHECK(length == wanted.size() && at[kLengthBytes] == wanted.front() &&
             at[kLengthBytes + length - 1] == wanted.back());
    at += RecordBytes(length);
    ++seen;
  }
  shared.done.Set(static_cast<uint64_t>(NowNanos() - begin));
}

void WriteBare(uint8_t* at, uint64_t payload_bytes, uint64_t records) {
  const Payloads payloads(payload_bytes);
  for (uint64_t i = 0; i < records; ++i) {
    const Bytes payload = payloads.Of(i);
    std::memcpy(at + kLengthBytes, payload.data(), payload.size());
    PrepareWord(at + RecordBytes(payload.size()), kWatermark);
    PublishWord(at, payload.size());
    at += RecordBytes(payload.size());
  }
}

// Returns nanoseconds a record: of a scan after the writer is done, or at the same time.
template <typename Waiting>
double ScanBare(uint64_t payload_bytes, uint64_t records, bool at_once) {
  Partner<BareShared> reader([&](BareShared& shared) { ScanKinds<Waiting>(payload_bytes, records, shared); });
  BareShared& shared = reader.shared();
  shared.ready.Await(1);
  PrepareWord(shared.data, kWatermark);
  if (at_once) shared.go.Set(1);
  WriteBare(shared.data, payload_bytes, records);
  shared.go.Set(1);
  reader.Join();
  return static_cast<double>(shared.done.Get()) / static_cast<double>(records);
}

double WriteAlone(uint64_t payload_bytes, uint64_t records) {
  const Payloads payloads(payload_bytes);
  BenchChannel channel(Medium::kMemory, kBytes, {.touch_ahead_bytes = 0});
  channel.TouchAll();
  return NanosPerItem(records, [&] { WriteKinds(channel.writer(), payloads, records); });
}

template <typename Waiting>
double WriteWithReader(uint64_t payload_bytes, uint64_t records) {
  const Payloads payloads(payload_bytes);
  BenchChannel channel(Medium::kMemory, kBytes, {.touch_ahead_bytes = 0});
  channel.TouchAll();
  Partner<Shared> reader([&](Shared& shared) { ReadKinds<Waiting>(channel.path(), payload_bytes, records, shared); });
  reader.shared().ready.Await(1);
  const int64_t begin = NowNanos();
  WriteKinds(channel.writer(), payloads, records);
  reader.Join();
  return static_cast<double>(static_cast<int64_t>(reader.shared().done.Get()) - begin) / static_cast<double>(records);
}

template <typename Waiting>
void BM_Concurrent(benchmark::State& state) {
  const auto payload_bytes = static_cast<uint64_t>(state.range(0));
  const uint64_t records = RecordsIn(kBytes, payload_bytes);
  Figures transfer;
  Figures bare;
  Figures of_bare;
  Compare(
      state,
      [&] {
        const double ours = WriteWithReader<Waiting>(payload_bytes, records);
        const double alone = ScanBare<WithSpin>(payload_bytes, records, false);
        const double at_once = ScanBare<Waiting>(payload_bytes, records, true);
        transfer.Add(alone);
        bare.Add(at_once);
        of_bare.Add(ours / std::max(alone, at_once));
        return ours;
      },
      [&] { return WriteAlone(payload_bytes, records); });
  state.counters["transfer_ns"] = transfer.Median();
  state.counters["bare_ns"] = bare.Median();
  state.counters["of_bare"] = of_bare.Median();
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bytes");
  for (const int size : {8, 64, 71, 256, 1024, 4096}) benchmark->Arg(size);
}

BENCHMARK_TEMPLATE(BM_Concurrent, WithBackoff)->Name("BM_Concurrent_backoff")->Apply(Sizes)->Apply(Rounds<40>);
BENCHMARK_TEMPLATE(BM_Concurrent, WithSpin)->Name("BM_Concurrent_spin")->Apply(Sizes)->Apply(Rounds<40>);
BENCHMARK_TEMPLATE(BM_Concurrent, WithSpinPause)->Name("BM_Concurrent_spin_pause")->Apply(Sizes)->Apply(Rounds<40>);

}  // namespace
}  // namespace kekbit::bench
