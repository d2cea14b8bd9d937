// A payload to another process and back, both spinning, against a bare ping-pong of the same
// payload through two places in shared memory.
//
// A channel's records do not stay in one place. The limit of BM_RoundTrip_moving is a ping-pong
// that moves through memory like records, which tells the code's cost from that of fresh cache
// lines. Counters: the distribution of single round trips of both, in nanoseconds, and the ratios
// of p50 and p99 (medians over the rounds). KEKBIT_BENCH_HISTOGRAM=1 prints the histogram too.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kTrips = 20'000;  // a round
constexpr uint64_t kWarmup = 1'000;  // of these, not counted
constexpr size_t kPayloadMax = 4096;

struct Slot {
  LoneWord number;  // of the payload
  uint8_t payload[kPayloadMax] = {};
};
struct Shared {
  LoneWord ready;
  Slot ping;
  Slot pong;
};

// Calls `trip(i)` for each round trip and takes the time in between.
template <typename Trip>
Figures TimeTrips(Trip trip) {
  Figures nanos;
  for (uint64_t i = 1; i <= kWarmup; ++i) trip(i);
  int64_t before = NowNanos();
  for (uint64_t i = kWarmup + 1; i <= kTrips; ++i) {
    trip(i);
    const int64_t now = NowNanos();
    nanos.Add(static_cast<double>(now - before));
    before = now;
  }
  return nanos;
}

Figures BareTrips(uint64_t size) {
  Partner<Shared> echo([&](Shared& shared) {
    for (uint64_t i = 1; i <= kTrips; ++i) {
      shared.ping.number.Await(i);
      std::memcpy(shared.pong.payload, shared.ping.payload, size);
      shared.pong.number.Set(i);
    }
  });
  const std::vector<uint8_t> payload = MakePayload(size);
  std::vector<uint8_t> answer(size);
  Shared& shared = echo.shared();
  return TimeTrips([&](uint64_t i) {
    std::memcpy(shared.ping.payload, payload.data(), size);
    shared.ping.number.Set(i);
    shared.pong.number.Await(i);
    std::memcpy(answer.data(), shared.pong.payload, size);
    benchmark::DoNotOptimize(answer.data());
  });
}

// The moving ping-pong puts each payload after its predecessor, with its length in front.
constexpr uint64_t kMovingBytes = 71;
struct MovingShared {
  alignas(128) uint8_t ping[(kTrips + 1) * RecordBytes(kMovingBytes)] = {};
  alignas(128) uint8_t pong[(kTrips + 1) * RecordBytes(kMovingBytes)] = {};
};

void Send(uint8_t* to, const uint8_t* payload) {
  std::memcpy(to + kLengthBytes, payload, kMovingBytes);
  PublishWord(to, kMovingBytes);
}

const uint8_t* Receive(const uint8_t* from) {
  while (AcquireWord(from) == 0) {
  }
  return from + kLengthBytes;
}

Figures MovingBareTrips() {
  Partner<MovingShared> echo([&](MovingShared& shared) {
    for (uint64_t i = 0; i < kTrips; ++i) {
      const uint64_t at = i * RecordBytes(kMovingBytes);
      Send(shared.pong + at, Receive(shared.ping + at));
    }
  });
  const std::vector<uint8_t> payload = MakePayload(kMovingBytes);
  std::vector<uint8_t> answer(kMovingBytes);
  return TimeTrips([&](uint64_t i) {
    const uint64_t at = (i - 1) * RecordBytes(kMovingBytes);
    Send(echo.shared().ping + at, payload.data());
    std::memcpy(answer.data(), Receive(echo.shared().pong + at), kMovingBytes);
    benchmark::DoNotOptimize(answer.data());
  });
}

Bytes Spin(ShmReader& reader) {
  for (;;) {
    if (const auto payload = reader.TryRead()) return *payload;
  }
}

// Opens a channel for reading, with each of its pages mapped.
ShmReader OpenTouched(const std::string& path) {
  std::unique_ptr<File> file = FileSystem::Posix().Open(path, Access::kRead).value();
  std::shared_ptr<MappedFile> mapping = file->Map(Access::kRead, file->Info().value().size).value();
  for (uint64_t at = 0; at < mapping->size(); at += 4096) benchmark::DoNotOptimize(PeekWord(mapping->data() + at));
  return ShmReader::OpenShared(path, mapping).value();
}

Figures ChannelTrips(uint64_t size) {
  const auto capacity = static_cast<uint32_t>(kTrips * RecordBytes(size) + 4096);
  BenchChannel ping(Medium::kMemory, capacity, {.touch_ahead_bytes = 0});
  ping.TouchAll();
  const std::string pong_path = FreshPath(Medium::kMemory);
  Partner<Shared> echo([&](Shared& shared) {
    ShmReader pings = OpenTouched(ping.path());
    ShmWriter pongs = ShmWriter::CreateAt(pong_path, MakeHeader(capacity), {.touch_ahead_bytes = 0}).value();
    KB_CHECK(pongs.mapping()->Touch(0, pongs.mapping()->size()).ok());
    shared.ready.Set(1);
    for (uint64_t i = 1; i <= kTrips; ++i) KB_CHECK(pongs.Write(Spin(pings)).ok());
  });
  echo.shared().ready.Await(1);
  ShmReader pongs = OpenTouched(pong_path);
  ::unlink(pong_path.c_str());
  const std::vector<uint8_t> payload = MakePayload(size);
  std::vector<uint8_t> answer(size);
  Figures nanos = TimeTrips([&](uint64_t) {
    KB_CHECK(ping.writer().Write(payload).ok());
    const Bytes pong = Spin(pongs);
    std::memcpy(answer.data(), pong.data(), pong.size());
    benchmark::DoNotOptimize(answer.data());
  });
  KB_CHECK(answer == payload);
  return nanos;
}

// Prints how many figures lie below each power of the square root of two.
void PrintHistogram(const char* name, const Figures& nanos) {
  std::fprintf(stderr, "%s: round trips by nanoseconds\n", name);
  std::vector<size_t> counts;
  for (const double figure : nanos.all()) {
    size_t bucket = 0;
    for (double bound = 64; bound < figure; bound *= 1.4142) ++bucket;
    if (bucket >= counts.size()) counts.resize(bucket + 1);
    ++counts[bucket];
  }
  double bound = 64;
  for (const size_t count : counts) {
    if (count != 0) std::fprintf(stderr, "  up to %10.0f: %zu\n", bound, count);
    bound *= 1.4142;
  }
}

template <typename Bare>
void CompareTrips(benchmark::State& state, uint64_t size, Bare bare) {
  Figures all;
  Figures all_bare;
  Figures ratios_p99;
  double p99 = 0;
  double bare_p99 = 0;
  Compare(
      state,
      [&] {
        Figures trips = ChannelTrips(size);
        all.Add(trips);
        p99 = trips.Quantile(0.99);
        if (bare_p99 != 0) ratios_p99.Add(p99 / bare_p99);
        return trips.Median();
      },
      [&] {
        Figures trips = bare();
        all_bare.Add(trips);
        bare_p99 = trips.Quantile(0.99);
        return trips.Median();
      });
  state.counters["of_limit_p99"] = ratios_p99.Median();
  ReportDistribution(state, "", all);
  ReportDistribution(state, "bare_", all_bare);
  if (std::getenv("KEKBIT_BENCH_HISTOGRAM") != nullptr) {
    PrintHistogram("bare", all_bare);
    PrintHistogram("channels", all);
  }
}

void BM_RoundTrip(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  CompareTrips(state, size, [size] { return BareTrips(size); });
}

void BM_RoundTrip_moving(benchmark::State& state) { CompareTrips(state, kMovingBytes, MovingBareTrips); }

BENCHMARK(BM_RoundTrip)->ArgName("bytes")->Arg(8)->Arg(71)->Arg(256)->Arg(1024)->Arg(4096)->Apply(Rounds<20>);
BENCHMARK(BM_RoundTrip_moving)->Apply(Rounds<20>);

}  // namespace
}  // namespace kekbit::bench
