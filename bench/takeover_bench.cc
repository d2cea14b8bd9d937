// Takeover: from SIGKILL of the primary's process to the standby's first acknowledged command. The
// standby has no lag, and each process has 256 MB of state.
//
// A round: the primary takes commands in succession; the standby follows; the primary is killed.
// `p50` and so on: nanoseconds from just before kill() until Execute() has returned in the standby.
// The limit is what no standby can do without: the primary's death alone. It lasts from kill()
// until the primary's pidfd says so, with the same memory. `lease_us` and the like are the medians
// of the TakeoverReport. `died_us`: from kill() until the standby saw the primary's death or its
// lease free. `huge_pages`: the state lies in pages of 2 MB, if the kernel gives them.

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
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

constexpr uint64_t kStateWords = (256u << 20) / sizeof(uint64_t);
constexpr uint64_t kCommands = 2'000;  // before the primary may be killed
constexpr int kRounds = 50;

struct Command {
  uint64_t words[8];

  template <class Archive>
  void serialize(Archive& archive) {
    for (uint64_t& word : words) archive(word);
  }
};

// The kernel frees a dead process's memory before it releases its locks: page by page, so large
// pages are gone sooner.
template <typename T>
struct StateAllocator {
  using value_type = T;

  T* allocate(size_t count) {
    void* const memory = std::aligned_alloc(2u << 20, count * sizeof(T));
    KB_CHECK(memory != nullptr);
    KB_CHECK(::madvise(memory, count * sizeof(T), huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  friend bool operator==(const StateAllocator&, const StateAllocator&) = default;

  bool huge_pages = false;
};

// Table is 256 MB; each command changes a word.
struct Table {
  using Command = bench::Command;
  using Result = uint64_t;

  Result Apply(const Command& command, const ApplyContext& context) {
    return words[context.position().seq * 7919 % words.size()] += command.words[0];
  }

  explicit Table(bool huge_pages) : words(kStateWords, 1, StateAllocator<uint64_t>{.huge_pages = huge_pages}) {}

  std::vector<uint64_t, StateAllocator<uint64_t>> words;
};

struct Way {
  Ack ack;
  Wait wait;
  bool huge_pages;
};

struct Shared {
  LoneWord primary_seq;
  LoneWord standby_ready;
  LoneWord standby_acked_ns;
  int64_t report_ns[5];  // lease, drained, recovered, synced, first_append
};

// Runs a child process. The benchmark itself has no state, no replica and no thread.
template <typename Main>
pid_t Fork(int processor, Main main) {
  PinTo(processor);
  const pid_t child = ::fork();
  KB_CHECK(child >= 0);
  if (child == 0) {
    main();
    ::_exit(0);
  }
  return child;
}

void AwaitDeath(pid_t child) { KB_CHECK(::waitpid(child, nullptr, 0) == child); }

void RunPrimary(const std::string& directory, const Way& way, Shared& shared) {
  auto replica = Replica<Table>::Open({.directory = directory, .ack = way.ack}, Table(way.huge_pages)).value();
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(30)));
  for (;;) {
    const auto done = replica->Execute(Command{.words = {1}});
    KB_CHECK(done.ok());
    shared.primary_seq.Set(done->position.seq);
    // Pause, so that a follower that sleeps has a rest to sleep in.
    absl::SleepFor(absl::Microseconds(20));
  }
}

void RunStandby(const std::string& directory, const Way& way, Shared& shared) {
  ReplicaOptions options = {.directory = directory, .ack = way.ack, .wait = way.wait};
  options.on_takeover = [&shared](const TakeoverReport& report) {
    const absl::Duration steps[] = {report.lease, report.drained, report.recovered, report.synced, report.first_append};
    for (int i = 0; i < 5; ++i) shared.report_ns[i] = absl::ToInt64Nanoseconds(steps[i]);
  };
  auto replica = Replica<Table>::Open(options, Table(way.huge_pages)).value();
  while (replica->applied().seq < kCommands) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(20));  // its next segment is being prepared
  shared.standby_ready.Set(1);
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(30)));
  KB_CHECK(replica->Execute(Command{.words = {1}}).ok());
  shared.standby_acked_ns.Set(static_cast<uint64_t>(NowNanos()));
}

struct Steps {
  Figures died, lease, drained, recovered, synced, first_append;
};

double TakeOver(const Way& way, Steps* steps) {
  const BenchDirectory directory(Medium::kDisk);
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  KB_CHECK(memory != MAP_FAILED);
  Shared& shared = *new (memory) Shared;
  const pid_t primary = Fork(0, [&] { RunPrimary(directory.path(), way, shared); });
  while (shared.primary_seq.Get() == 0) absl::SleepFor(absl::Milliseconds(1));
  const pid_t standby = Fork(1, [&] { RunStandby(directory.path(), way, shared); });
  PinTo(0);
  while (shared.standby_ready.Get() == 0) absl::SleepFor(absl::Milliseconds(1));
  const int64_t begin = NowNanos();
  KB_CHECK(::kill(primary, SIGKILL) == 0);
  AwaitDeath(primary);
  while (shared.standby_acked_ns.Get() == 0) absl::SleepFor(absl::Microseconds(200));
  AwaitDeath(standby);
  const int64_t nanos = static_cast<int64_t>(shared.standby_acked_ns.Get()) - begin;
  int64_t known = 0;
  for (const int64_t step : shared.report_ns) known += step;
  steps->died.Add(static_cast<double>(nanos - known) * 1e-3);
  Figures* const each[] = {&steps->lease, &steps->drained, &steps->recovered, &steps->synced, &steps->first_append};
  for (int i = 0; i < 5; ++i) each[i]->Add(static_cast<double>(shared.report_ns[i]) * 1e-3);
  ::munmap(memory, sizeof(Shared));
  return static_cast<double>(nanos);
}

// Returns how long the death of such a process takes, seen through a pidfd.
double Die(bool huge_pages) {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  KB_CHECK(memory != MAP_FAILED);
  Shared& shared = *new (memory) Shared;
  const pid_t child = Fork(0, [&shared, huge_pages] {
    const Table table(huge_pages);
    benchmark::DoNotOptimize(table.words.data());
    shared.standby_ready.Set(1);
    for (;;) absl::SleepFor(absl::Microseconds(20));
  });
  PinTo(1);
  while (shared.standby_ready.Get() == 0) absl::SleepFor(absl::Milliseconds(1));
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  KB_CHECK(pidfd >= 0);
  const int64_t begin = NowNanos();
  KB_CHECK(::kill(child, SIGKILL) == 0);
  pollfd dead = {.fd = pidfd, .events = POLLIN, .revents = 0};
  KB_CHECK(::poll(&dead, 1, -1) == 1);
  const int64_t end = NowNanos();
  ::close(pidfd);
  AwaitDeath(child);
  ::munmap(memory, sizeof(Shared));
  return static_cast<double>(end - begin);
}

void BM_Takeover(benchmark::State& state) {
  const Way way = {.ack = state.range(0) == 1 ? Ack::kSynced : Ack::kPublished,
                   .wait = state.range(1) == 1 ? Wait::kSpin : Wait::kSleep,
                   .huge_pages = state.range(2) == 1};
  Steps steps;
  Figures all;
  Compare(
      state,
      [&] {
        const double nanos = TakeOver(way, &steps);
        all.Add(nanos);
        return nanos;
      },
      [&] { return Die(way.huge_pages); });
  ReportDistribution(state, "", all);
  state.counters["died_us"] = steps.died.Median();
  state.counters["lease_us"] = steps.lease.Median();
  state.counters["drained_us"] = steps.drained.Median();
  state.counters["recovered_us"] = steps.recovered.Median();
  state.counters["synced_us"] = steps.synced.Median();
  state.counters["first_append_us"] = steps.first_append.Median();
}

BENCHMARK(BM_Takeover)
    ->ArgNames({"synced", "spin", "huge_pages"})
    ->Args({0, 0, 0})
    ->Args({0, 0, 1})
    ->Args({1, 0, 1})
    ->Args({0, 1, 1})
    ->Apply(Rounds<kRounds>);

}  // namespace
}  // namespace kekbit::bench
