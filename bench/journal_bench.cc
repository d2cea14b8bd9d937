// JournalWriter: the cost of appending a frame, and of a roll to the next segment.
//
// The subject is Append() of a command of 64 bytes: header, checksum in the chain, a time of its
// own, and the word for GroupCommit. The limit is a plain channel write of the same bytes, without
// a look at the clock. `_clock`: the limit looks at the clock, too. `over_ns` is the difference of
// the medians. `faults`, the page faults of the writer's thread in all rounds, show whether the
// pages were ready.
//
// Rolls: each append is timed by itself, while segments of 16 MiB (150,000 frames) come and go.
// `pace_ns` lie between two, so that the next segment can be made meanwhile. `roll_` are the
// appends that rolled. `roll_cpu` is the processor's time that they took of their own thread, to
// which other processes do not add.

#include <sys/resource.h>

#include <cstdint>
#include <ctime>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kCommandBytes = 64;
constexpr uint64_t kFrameBytes = kFrameHeaderBytes + kCommandBytes;
// Frames of a round. With its length word a frame takes 112 bytes, so a round stays within the 4
// MiB that are touched at once.
constexpr uint64_t kFrames = 20'000;
static_assert(kFrames * RecordBytes(kFrameBytes) < kSegmentTouchBytes);

Medium MediumOf(const benchmark::State& state) { return state.range(0) == 1 ? Medium::kDisk : Medium::kMemory; }

int64_t Faults() {
  rusage usage;
  KB_CHECK(::getrusage(RUSAGE_THREAD, &usage) == 0);
  return usage.ru_minflt + usage.ru_majflt;
}

// Waits for the page toucher, which has milliseconds of work with the first pages.
void AwaitToucher() { absl::SleepFor(absl::Milliseconds(20)); }

double AppendFrames(Medium medium, int64_t* faults) {
  const std::vector<uint8_t> command = MakePayload(kCommandBytes);
  BenchJournal journal(medium, 64u << 20);
  journal.EnterFullSegment(command);
  AwaitToucher();
  const int64_t before = Faults();
  const double nanos = NanosPerItem(kFrames, [&] {
    for (uint64_t i = 0; i < kFrames; ++i) journal.Append(command);
  });
  *faults += Faults() - before;
  return nanos;
}

double WritePlainly(Medium medium, bool clock) {
  const std::vector<uint8_t> payload = MakePayload(kFrameBytes);
  BenchChannel channel(medium, 64u << 20, {.first_heartbeat = false, .touch_ahead_bytes = kSegmentTouchBytes});
  AwaitToucher();
  if (!clock) return WriteRecords(channel.writer(), payload, kFrames);
  return NanosPerItem(kFrames, [&] {
    for (uint64_t i = 0; i < kFrames; ++i) {
      benchmark::DoNotOptimize(Clock::System().RealtimeNanos());
      KB_CHECK(channel.writer().Write(payload).ok());
    }
  });
}

template <bool kClock>
void BM_Append(benchmark::State& state) {
  int64_t faults = 0;
  Compare(
      state, [&] { return AppendFrames(MediumOf(state), &faults); },
      [&] { return WritePlainly(MediumOf(state), kClock); });
  state.counters["over_ns"] = state.counters["ns"] - state.counters["limit_ns"];
  state.counters["faults"] = static_cast<double>(faults);
}

double ThreadCpuNanos() {
  timespec now;
  KB_CHECK(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void BM_AppendAcrossRolls(benchmark::State& state) {
  constexpr uint32_t kSegmentBytes = 16u << 20;
  constexpr uint64_t kRolls = 4;  // a round
  const int64_t pace_ns = state.range(1);
  const std::vector<uint8_t> command = MakePayload(kCommandBytes);
  Figures all;
  Figures rolls;
  Figures roll_cpus;
  for ([[maybe_unused]] auto iteration : state) {
    BenchJournal journal(MediumOf(state), kSegmentBytes);
    journal.EnterFullSegment(command);
    AwaitToucher();
    const SegmentNumber first = journal.writer().segment();
    int64_t next_ns = NowNanos();
    const int64_t begin = next_ns;
    for (SegmentNumber segment = first; segment < first + kRolls; segment = journal.writer().segment()) {
      for (next_ns += pace_ns; NowNanos() < next_ns;) {
      }
      const bool will_roll = journal.writer().segment_offset() + RecordBytes(kFrameBytes) > kSegmentBytes;
      const double cpu = will_roll ? ThreadCpuNanos() : 0;
      const int64_t start = NowNanos();
      journal.Append(command);
      const auto nanos = static_cast<double>(NowNanos() - start);
      all.Add(nanos);
      if (journal.writer().segment() == segment) continue;
      KB_CHECK(will_roll);
      rolls.Add(nanos);
      roll_cpus.Add(ThreadCpuNanos() - cpu);
    }
    state.SetIterationTime(static_cast<double>(NowNanos() - begin) * 1e-9);
  }
  ReportDistribution(state, "", all);
  state.counters["roll_p50"] = rolls.Median();
  state.counters["roll_cpu"] = roll_cpus.Median();
  state.counters["roll_max"] = rolls.Quantile(1);
}

BENCHMARK(BM_Append<false>)->Name("BM_Append")->ArgName("disk")->Arg(0)->Arg(1)->Apply(Rounds<40>);
BENCHMARK(BM_Append<true>)->Name("BM_Append_clock")->ArgName("disk")->Arg(0)->Apply(Rounds<40>);
BENCHMARK(BM_AppendAcrossRolls)->ArgNames({"disk", "pace_ns"})->Args({0, 500})->Args({1, 500})->Apply(Rounds<5>);

}  // namespace
}  // namespace kekbit::bench
