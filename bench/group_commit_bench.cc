// Group commit: callers that each wait until their command of 128 bytes is synced, without a
// follower. They call Replica::Execute(command, Ack::kSynced).
//
// The limit is the bare sync rate of the same file layout times the callers. One thread stores as
// many frames as there are callers into the mapping of a file prepared like a segment, touched and
// synced; then MappedFile::Sync. All of `ns` is per command; `speed_of_limit` is 1 / of_limit.
// `per_sync`: commands for each sync. `speed_of_group`: against the bare rate for groups of that
// size. `fdatasync_ns`: one write() of as many frames as there are callers, appended to an
// allocated file, and fdatasync. `asleep_ns`, per thread and time, with nothing stored or synced:
// as many threads as callers sleep on one bare futex until the last has come, and are woken.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/base/futex.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/replica.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/stats/stats_files.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kCommandBytes = 128;
constexpr uint64_t kStep = RecordBytes(kFrameHeaderBytes + kCommandBytes);
constexpr uint64_t kSegmentBytes = 64u << 20;

struct Command {
  uint64_t words[kCommandBytes / 8];

  template <class Archive>
  void serialize(Archive& archive) {
    for (uint64_t& word : words) archive(word);
  }
};

struct Counter {
  using Command = bench::Command;
  using Result = uint64_t;

  Result Apply(const Command& command, const ApplyContext& /*context*/) { return sum += command.words[0]; }

  uint64_t sum = 0;
};

uint64_t SyncsFor(uint64_t callers) { return callers == 1 ? 3'000 : 1'000; }

// Returns how many syncs there were, and how many commands they covered, as the replica there
// counts them.
Histogram GroupsIn(const std::string& directory) {
  const std::vector<std::string> files = ListStatsFiles(FileSystem::Posix(), JournalLayout(directory));
  KB_CHECK(files.size() == 1);
  return ReadReplicaStats(FileSystem::Posix(), files[0]).value().group;
}

// Returns nanoseconds per command.
double ExecuteSynced(uint64_t callers, Figures* per_sync) {
  const BenchDirectory directory(Medium::kDisk);
  auto replica = Replica<Counter>::Open({.directory = directory.path(), .ack = Ack::kSynced}).value();
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  EnterPreparedSegment(*replica, Command{}, kCommandBytes);
  const Histogram before = GroupsIn(directory.path());
  const uint64_t each = SyncsFor(callers);
  const auto work = [&] {
    for (uint64_t i = 0; i < each; ++i) KB_CHECK(replica->Execute(Command{}).ok());
  };
  const double nanos = NanosPerItem(callers * each, [&] {
    std::vector<std::thread> others;
    for (uint64_t i = 1; i < callers; ++i) others.emplace_back(work);
    work();
    for (std::thread& thread : others) thread.join();
  });
  const Histogram after = GroupsIn(directory.path());
  per_sync->Add(static_cast<double>(after.sum() - before.sum()) / static_cast<double>(after.count() - before.count()));
  return nanos;
}

// Returns nanoseconds per frame.
double StoreAndSync(uint64_t frames, uint64_t syncs) {
  const std::unique_ptr<MappedFile> mapping = MakeMapping(Medium::kDisk, kSegmentBytes);
  KB_CHECK(mapping->Touch(0, kSegmentBytes).ok());
  KB_CHECK(mapping->Sync(0, kSegmentBytes).ok());
  const std::vector<uint8_t> payload = MakePayload(kFrameHeaderBytes + kCommandBytes);
  return NanosPerItem(frames * syncs, [&] {
    for (uint64_t i = 0, at = 0; i < syncs; ++i) {
      const uint64_t from = at;
      for (uint64_t n = 0; n < frames; ++n, at += kStep) StoreRecords(mapping->data() + at, payload, 1);
      KB_CHECK(mapping->Sync(from, at + kLengthBytes - from).ok());
    }
  });
}

double AppendAndSync(uint64_t frames, uint64_t syncs) {
  const std::string directory = DirectoryOn(Medium::kDisk);
  const std::unique_ptr<File> file = FileSystem::Posix().CreateUnnamed(directory, directory).value();
  KB_CHECK(file->Allocate(kSegmentBytes).ok());
  const std::vector<uint8_t> group = MakePayload(frames * kStep);
  return NanosPerItem(frames * syncs, [&] {
    for (uint64_t i = 0; i < syncs; ++i) {
      KB_CHECK(file->WriteAt(i * group.size(), group).ok());
      KB_CHECK(file->Sync().ok());
    }
  });
}

// Returns nanoseconds per thread and time that all have come.
double SleepAndWake(uint64_t callers, uint64_t times) {
  std::atomic<uint32_t> turn = 0;
  std::atomic<uint64_t> arrived = 0;
  const auto work = [&] {
    for (uint64_t i = 0; i < times; ++i) {
      const uint32_t now = turn;
      if (arrived.fetch_add(1) + 1 == callers) {
        arrived = 0;
        ++turn;
        PrivateFutexWake(&turn, ~uint32_t{0});
      }
      while (turn == now) PrivateFutexWait(&turn, now, ~uint32_t{0}, absl::InfiniteFuture());
    }
  };
  return NanosPerItem(callers * times, [&] {
    std::vector<std::thread> others;
    for (uint64_t i = 1; i < callers; ++i) others.emplace_back(work);
    work();
    for (std::thread& thread : others) thread.join();
  });
}

void BM_GroupCommit(benchmark::State& state) {
  const auto callers = static_cast<uint64_t>(state.range(0));
  Figures per_sync;
  Figures groups;  // nanoseconds per frame, by groups as large as there were
  Figures fdatasync;
  Figures asleep;
  Compare(
      state, [&] { return ExecuteSynced(callers, &per_sync); },
      [&] {
        const uint64_t syncs = SyncsFor(callers);
        fdatasync.Add(AppendAndSync(callers, syncs));
        asleep.Add(SleepAndWake(callers, syncs));
        if (!per_sync.all().empty()) {
          groups.Add(StoreAndSync(static_cast<uint64_t>(std::lround(per_sync.Median())), syncs));
        }
        return StoreAndSync(callers, syncs);
      });
  state.counters["per_sync"] = per_sync.Median();
  state.counters["per_second"] = 1e9 / state.counters["ns"];
  state.counters["speed_of_limit"] = 1 / state.counters["of_limit"];
  state.counters["speed_of_group"] = groups.Median() / state.counters["ns"];
  state.counters["fdatasync_ns"] = fdatasync.Median();
  state.counters["asleep_ns"] = asleep.Median();
}

BENCHMARK(BM_GroupCommit)->ArgName("callers")->Arg(1)->Arg(8)->Arg(64)->Apply(Rounds<7>);

}  // namespace
}  // namespace kekbit::bench
