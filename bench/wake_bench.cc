// A reader that sleeps, and what a possible sleeper costs the writer.
//
//   BM_Wake            from before the writer's Write() until the sleeping BlockingReader of another
//                      process has the record, against a bare futex wake; p50 to maximum
//   BM_WriteThatWakes  a writer that might have to wake someone, while nobody sleeps, against a writer
//                      that never has to

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"
#include "kekbit/blocking_reader.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kWakes = 300;  // a round
constexpr uint64_t kBytes = 71;
// Rest that is long enough for the other side to fall asleep.
constexpr useconds_t kRestMicros = 200;

struct Shared {
  LoneWord ready;
  alignas(128) uint32_t futex = 0;
  alignas(128) uint64_t sent_at = 0;
  alignas(128) double nanos[kWakes] = {};
};

// Makes `send(shared, i)` wake the partner kWakes times.
template <typename Send>
Figures TimeWakes(Partner<Shared>& partner, Send send) {
  Shared& shared = partner.shared();
  shared.ready.Await(1);
  for (uint64_t i = 0; i < kWakes; ++i) {
    ::usleep(kRestMicros);
    send(shared, i);
  }
  partner.Join();
  Figures nanos;
  for (const double figure : shared.nanos) nanos.Add(figure);
  return nanos;
}

Figures BareWakes() {
  Partner<Shared> sleeper([](Shared& shared) {
    shared.ready.Set(1);
    for (uint32_t i = 0; i < kWakes; ++i) {
      while (PeekWord32(&shared.futex) == i) {
        ::syscall(SYS_futex, &shared.futex, FUTEX_WAIT, i, nullptr, nullptr, 0);
      }
      shared.nanos[i] = static_cast<double>(NowNanos() - static_cast<int64_t>(AcquireWord(&shared.sent_at)));
    }
  });
  return TimeWakes(sleeper, [](Shared& shared, uint64_t i) {
    PublishWord(&shared.sent_at, static_cast<uint64_t>(NowNanos()));
    KB_CHECK(CompareExchangeWord32(&shared.futex, static_cast<uint32_t>(i), static_cast<uint32_t>(i + 1)));
    ::syscall(SYS_futex, &shared.futex, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  });
}

Figures ReaderWakes() {
  BenchChannel channel(Medium::kMemory, 1u << 20, {});
  channel.TouchAll();
  Partner<Shared> sleeper([&](Shared& shared) {
    BlockingReader reader(ShmReader::OpenAt(channel.path()).value());
    KB_CHECK(reader.is_woken());
    shared.ready.Set(1);
    for (double& nanos : shared.nanos) {
      const auto payload = reader.Read(absl::InfiniteDuration());
      nanos = static_cast<double>(NowNanos() - LoadUnaligned<int64_t>(payload->data()));
    }
  });
  std::vector<uint8_t> payload = MakePayload(kBytes);
  return TimeWakes(sleeper, [&](Shared&, uint64_t) {
    StoreUnaligned(payload.data(), NowNanos());
    KB_CHECK(channel.writer().Write(payload).ok());
  });
}

void BM_Wake(benchmark::State& state) {
  Figures all;
  Figures all_bare;
  Compare(
      state,
      [&] {
        Figures nanos = ReaderWakes();
        all.Add(nanos);
        return nanos.Median();
      },
      [&] {
        Figures nanos = BareWakes();
        all_bare.Add(nanos);
        return nanos.Median();
      });
  ReportDistribution(state, "", all);
  ReportDistribution(state, "bare_", all_bare);
}

double WriteTouched(bool wakes_readers, uint64_t payload_bytes) {
  constexpr uint32_t kCapacity = 4u << 20;
  BenchChannel channel(Medium::kMemory, kCapacity, {.wakes_readers = wakes_readers, .touch_ahead_bytes = 0});
  channel.TouchAll();
  return WriteRecords(channel.writer(), MakePayload(payload_bytes), RecordsIn(kCapacity, payload_bytes));
}

void BM_WriteThatWakes(benchmark::State& state) {
  const auto payload_bytes = static_cast<uint64_t>(state.range(0));
  Compare(
      state, [&] { return WriteTouched(true, payload_bytes); }, [&] { return WriteTouched(false, payload_bytes); });
}

BENCHMARK(BM_Wake)->Apply(Rounds<20>);
BENCHMARK(BM_WriteThatWakes)->ArgName("bytes")->Arg(8)->Arg(71)->Arg(1024)->Apply(Rounds<300>);

}  // namespace
}  // namespace kekbit::bench
