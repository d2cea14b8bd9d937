// Cost of a replica's other work: the primary's latency while a follower takes a snapshot of 1 GB,
// and the memory of a replica beyond its state.
//
// BM_PrimaryBesideSnapshot: the primary executes a command each 20 us. The follower, in another
// process, does nothing else (the limit), or saves 1 GB to the disk meanwhile (the subject). `ns`
// and `limit_ns` are the p99.9 of Execute.
//
// BM_Memory: the resident memory of a process that holds a replica with a state of 64 MB, in MB.
// `segments_mb`: mapped files of the journal, segments but for some KB; the page cache holds them
// once, for all processes that map them. `state_mb`: the state. `else_mb`: everything else, less
// what the process had before there was a replica. `primary`: after it has written 16 segments of
// 64 MB; else of a follower that has read them.

#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"
#include "kekbit/replication/replica.h"

namespace kekbit::bench {
namespace {

struct Command {
  uint64_t words[8];

  template <class Archive>
  void serialize(Archive& archive) {
    for (uint64_t& word : words) archive(word);
  }
};

// Table is a state of so many bytes; each command changes a word.
struct Table {
  using Command = bench::Command;
  using Result = uint64_t;

  explicit Table(uint64_t bytes = 0) : words(bytes / sizeof(uint64_t), 1) {}

  Result Apply(const Command& command, const ApplyContext& context) {
    return words[context.position().seq * 7919 % words.size()] += command.words[0];
  }
  absl::Status Save(SnapshotOutput& output) const {
    return output.Write(Bytes(reinterpret_cast<const uint8_t*>(words.data()), words.size() * sizeof(uint64_t)));
  }
  absl::Status Load(SnapshotInput& input) {
    words.resize(input.left() / sizeof(uint64_t));
    return input.Read(MutableBytes(reinterpret_cast<uint8_t*>(words.data()), words.size() * sizeof(uint64_t)));
  }

  std::vector<uint64_t> words;
};

struct Shared {
  LoneWord step;  // set by the follower: 1 ready, 2 saving, 3 saved
  LoneWord go;
};

constexpr uint64_t kSnapshotBytes = uint64_t{1} << 30;
constexpr int64_t kPaceNs = 20'000;

// Executes a command each kPaceNs as long as `on()`; returns their p99.9.
template <typename On>
double PacedExecute(Replica<Table>& primary, On on) {
  Figures nanos;
  for (int64_t next_ns = NowNanos(); on(); next_ns += kPaceNs) {
    while (NowNanos() < next_ns) {
    }
    const int64_t begin = NowNanos();
    KB_CHECK(primary.Execute(Command{.words = {1}}).ok());
    nanos.Add(static_cast<double>(NowNanos() - begin));
  }
  return nanos.Quantile(0.999);
}

void BM_PrimaryBesideSnapshot(benchmark::State& state) {
  const BenchDirectory directory(Medium::kDisk);
  Partner<Shared> follower([&](Shared& shared) {
    shared.go.Await(1);
    ReplicaOptions options = {.directory = directory.path(), .may_lead = false};
    auto replica = Replica<Table>::Open(options, Table(kSnapshotBytes)).value();
    shared.step.Set(1);
    for (uint64_t round = 2;; ++round) {
      while (shared.go.Get() < round) absl::SleepFor(absl::Milliseconds(1));
      if (shared.go.Get() != round) return;
      KB_CHECK(replica->TakeSnapshot().ok());
      shared.step.Set(round);
    }
  });
  auto primary = Replica<Table>::Open({.directory = directory.path()}, Table(kSnapshotBytes)).value();
  KB_CHECK(primary->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  Shared& shared = follower.shared();
  shared.go.Set(1);
  shared.step.Await(1);
  uint64_t round = 1;
  double snapshot_ns = 1e9;
  Compare(
      state,
      [&] {
        shared.go.Set(++round);
        const int64_t begin = NowNanos();
        const double nanos = PacedExecute(*primary, [&] { return shared.step.Get() != round; });
        snapshot_ns = static_cast<double>(NowNanos() - begin);
        return nanos;
      },
      [&] {
        const int64_t end = NowNanos() + static_cast<int64_t>(snapshot_ns);
        return PacedExecute(*primary, [&] { return NowNanos() < end; });
      });
  state.counters["snapshot_ms"] = snapshot_ns * 1e-6;
  shared.go.Set(UINT64_MAX);
  follower.Join();
}

// Returns the resident megabytes of this process: of mapped segments, and of everything else.
std::pair<double, double> Resident() {
  std::ifstream smaps("/proc/self/smaps");
  bool segment = false;
  double segments = 0;
  double others = 0;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words(line);
    std::string first;
    double kilobytes = 0;
    words >> first;
    // A mapping begins with its addresses and ends with its path; its details begin with a name and
    // a colon. A segment that was prepared keeps the path of its time without a name.
    if (first.back() != ':') {
      segment = line.find(".journal/") != std::string::npos;
    } else if (first == "Rss:") {
      words >> kilobytes;
      (segment ? segments : others) += kilobytes / 1024;
    }
  }
  return {segments, others};
}

constexpr uint64_t kMemoryStateBytes = 64u << 20;
constexpr uint64_t kMemoryCommands = 16 * (uint64_t{64} << 20) / RecordBytes(kFrameHeaderBytes + sizeof(Command));

void BM_Memory(benchmark::State& state) {
  const bool measure_primary = state.range(0) == 1;
  struct Result {
    LoneWord ready;
    double segments_mb;
    double else_mb;
  };
  for ([[maybe_unused]] auto iteration : state) {
    const BenchDirectory directory(Medium::kDisk);
    const int64_t begin = NowNanos();
    Partner<Result> writer([&](Result& result) {
      const double before = Resident().second;
      auto primary = Replica<Table>::Open({.directory = directory.path()}, Table(kMemoryStateBytes)).value();
      KB_CHECK(primary->WaitForRole(Role::kPrimary, absl::Seconds(10)));
      for (uint64_t i = 0; i < kMemoryCommands; ++i) KB_CHECK(primary->Execute(Command{.words = {i}}).ok());
      if (measure_primary) std::tie(result.segments_mb, result.else_mb) = Resident();
      result.else_mb -= before;
    });
    writer.Join();
    Partner<Result> reader([&](Result& result) {
      const double before = Resident().second;
      ReplicaOptions options = {.directory = directory.path(), .may_lead = false};
      const auto follower = Replica<Table>::Open(options, Table(kMemoryStateBytes)).value();
      KB_CHECK(follower->applied().seq == kMemoryCommands + 1);
      std::tie(result.segments_mb, result.else_mb) = Resident();
      result.else_mb -= before;
    });
    reader.Join();
    const Result& result = measure_primary ? writer.shared() : reader.shared();
    state.counters["segments_mb"] = result.segments_mb;
    state.counters["state_mb"] = static_cast<double>(kMemoryStateBytes >> 20);
    state.counters["else_mb"] = result.else_mb - static_cast<double>(kMemoryStateBytes >> 20);
    state.SetIterationTime(static_cast<double>(NowNanos() - begin) * 1e-9);
  }
}

// Keep this order: a child of a process with replicas would lack their threads.
BENCHMARK(BM_Memory)->ArgName("primary")->Arg(1)->Arg(0)->Apply(Rounds<1>);
BENCHMARK(BM_PrimaryBesideSnapshot)->Apply(Rounds<5>);

}  // namespace
}  // namespace kekbit::bench
