// Replica<State> with a follower attached, in another process: the cost of Execute(), and the
// follower's lag.
//
// The limit of Execute() is a plain write of the same bytes into a channel with a reader, and a
// look at the clock. `detects_deadlocks` is Abseil's detection, on in an Abseil compiled without
// NDEBUG, as Debian's, until the program turns it off. The limit of the lag is the same moment of
// time handed over through one word of shared memory.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"
#include "kekbit/base/backoff.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/replica.h"
#include "kekbit/shm_reader.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kCommands = 100'000;  // a round
constexpr uint64_t kWarmup = 5'000;      // of these, not counted
constexpr int64_t kPaceNs = 2'000;       // between two commands, where the lag is measured

struct Command {
  uint64_t words[8];

  template <class Archive>
  void serialize(Archive& archive) {
    for (uint64_t& word : words) archive(word);
  }
};
static_assert(sizeof(Command) == 64);

struct Shared {
  LoneWord ready;
  LoneWord done;
  LoneWord handed;
  int64_t lag_ns[kCommands];
};

// Counter counts, and if told so takes down how long ago the primary took each command.
struct Counter {
  using Command = bench::Command;
  using Result = uint64_t;

  Result Apply(const Command& command, const ApplyContext& context) {
    if (lag_ns != nullptr && count < kCommands) lag_ns[count] = Clock::System().RealtimeNanos() - context.time_ns();
    sum += command.words[0];
    return ++count;
  }

  uint64_t count = 0;
  uint64_t sum = 0;
  int64_t* lag_ns = nullptr;
};

std::string FreshDirectory() {
  std::string path = FreshPath(Medium::kMemory) + ".journal";
  std::filesystem::remove_all(path);
  return path;
}

void Pace(int64_t* next_ns) {
  *next_ns += kPaceNs;
  while (NowNanos() < *next_ns) {
  }
}

// Runs a primary here and a follower there. Calls `execute(replica, i)` for each command, then
// waits until the follower has applied them all.
template <typename Execute>
void WithFollower(Wait wait, Figures* lags, Execute execute) {
  const std::string directory = FreshDirectory();
  Partner<Shared> follower([&](Shared& shared) {
    shared.ready.Await(1);
    Counter counter;
    counter.lag_ns = shared.lag_ns;
    auto replica = Replica<Counter>::Open({.directory = directory, .wait = wait, .may_lead = false}, counter).value();
    shared.ready.Set(2);
    const auto all = [](const Counter& c) { return c.count == kCommands; };
    // Look seldom: this shares the processor with the thread that is measured.
    while (!replica->Read(all)) absl::SleepFor(absl::Milliseconds(50));
    shared.done.Set(1);
  });
  auto primary = Replica<Counter>::Open({.directory = directory}).value();
  KB_CHECK(primary->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  follower.shared().ready.Set(1);
  follower.shared().ready.Await(2);
  for (uint64_t i = 0; i < kCommands; ++i) execute(*primary, i);
  follower.shared().done.Await(1);
  for (uint64_t i = kWarmup; lags != nullptr && i < kCommands; ++i) {
    lags->Add(static_cast<double>(follower.shared().lag_ns[i]));
  }
  follower.Join();
  primary.reset();
  std::filesystem::remove_all(directory);
}

// Returns the times of single commands.
Figures ExecuteTimes() {
  Figures nanos;
  Command command = {};
  WithFollower(Wait::kSpin, nullptr, [&](Replica<Counter>& primary, uint64_t i) {
    command.words[0] = i;
    const int64_t begin = NowNanos();
    KB_CHECK(primary.Execute(command).ok());
    if (i >= kWarmup) nanos.Add(static_cast<double>(NowNanos() - begin));
  });
  return nanos;
}

Figures BareWriteTimes() {
  constexpr uint64_t kBytes = kFrameHeaderBytes + sizeof(Command);
  BenchChannel channel(Medium::kMemory, static_cast<uint32_t>(kCommands * RecordBytes(kBytes) + 4096), {});
  Partner<Shared> follower([&](Shared& shared) {
    ShmReader reader = ShmReader::OpenAt(channel.path()).value();
    shared.ready.Set(1);
    Backoff backoff;
    for (uint64_t seen = 0; seen < kCommands;) {
      if (reader.TryRead()) {
        ++seen;
        backoff.Reset();
      } else {
        backoff.Pause();
      }
    }
  });
  follower.shared().ready.Await(1);
  const std::vector<uint8_t> payload = MakePayload(kBytes);
  Figures nanos;
  for (uint64_t i = 0; i < kCommands; ++i) {
    const int64_t begin = NowNanos();
    benchmark::DoNotOptimize(Clock::System().RealtimeNanos());
    KB_CHECK(channel.writer().Write(payload).ok());
    if (i >= kWarmup) nanos.Add(static_cast<double>(NowNanos() - begin));
  }
  return nanos;
}

void BM_Execute(benchmark::State& state) {
  const bool detects = state.range(0) == 1;
  absl::SetMutexDeadlockDetectionMode(detects ? absl::OnDeadlockCycle::kAbort : absl::OnDeadlockCycle::kIgnore);
  Figures all;
  Compare(
      state,
      [&] {
        Figures nanos = ExecuteTimes();
        all.Add(nanos);
        return nanos.Median();
      },
      [] { return BareWriteTimes().Median(); });
  ReportDistribution(state, "", all);
}

Figures BareLags() {
  Partner<Shared> follower([](Shared& shared) {
    shared.ready.Set(1);
    uint64_t last = 0;
    for (int64_t& lag_ns : shared.lag_ns) {
      uint64_t taken = 0;
      while ((taken = shared.handed.Get()) == last) {
      }
      last = taken;
      lag_ns = Clock::System().RealtimeNanos() - static_cast<int64_t>(taken);
    }
    shared.done.Set(1);
  });
  Shared& shared = follower.shared();
  shared.ready.Await(1);
  int64_t next_ns = NowNanos();
  while (shared.done.Get() == 0) {
    Pace(&next_ns);
    shared.handed.Set(static_cast<uint64_t>(Clock::System().RealtimeNanos()));
  }
  Figures lags;
  for (uint64_t i = kWarmup; i < kCommands; ++i) lags.Add(static_cast<double>(shared.lag_ns[i]));
  return lags;
}

void BM_FollowerLag(benchmark::State& state) {
  const Wait wait = state.range(0) == 1 ? Wait::kSpin : Wait::kSleep;
  Figures all;
  Compare(
      state,
      [&] {
        Figures lags;
        Command command = {};
        int64_t next_ns = 0;
        WithFollower(wait, &lags, [&](Replica<Counter>& primary, uint64_t i) {
          if (i == 0) next_ns = NowNanos();
          Pace(&next_ns);
          command.words[0] = i;
          KB_CHECK(primary.Execute(command).ok());
        });
        all.Add(lags);
        return lags.Median();
      },
      [] { return BareLags().Median(); });
  ReportDistribution(state, "", all);
}

BENCHMARK(BM_FollowerLag)->ArgName("spin")->Arg(1)->Arg(0)->Apply(Rounds<5>);
BENCHMARK(BM_Execute)->ArgName("detects_deadlocks")->Arg(1)->Arg(0)->Apply(Rounds<10>);

}  // namespace
}  // namespace kekbit::bench
