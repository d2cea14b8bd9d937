// Archiving a ledger's journal to a directory, and restoring it.
//
//   copy      Archiver::Step() until all is archived; the limit puts as many bytes in objects as long, from memory,
//             to the same store.
//   restore   Restore(); the limit reads the objects, checks the frames, and applies the commands.
//   beside    a primary at Ack::kSynced that is given 100,000 commands a second in groups, with a follower that
//             archives every second: how old the archive's end was at most, and how long a group took. The limit is
//             the same pair without an archive. `more_mb`: by how much the process's memory grew at most.

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/channels.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "examples/ledger_state.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/replication/archive/archive_index.h"
#include "kekbit/replication/archive/archiver.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/replica.h"

namespace kekbit::bench {
namespace {

using examples::Ledger;
using examples::OpenAccount;
using examples::Transfer;

constexpr uint64_t kAccounts = 1000;
constexpr uint64_t kTransfers = 2'000'000;

std::string NameOf(uint64_t account) { return absl::StrCat("account", account); }

Ledger::Command CommandAt(uint64_t i) {
  if (i < kAccounts) return OpenAccount{.name = NameOf(i), .amount = int64_t{1} << 40};
  const uint64_t from = i * 7919 % kAccounts;
  return Transfer{.from = NameOf(from), .to = NameOf((from + 1 + i % (kAccounts - 1)) % kAccounts), .amount = 1};
}

void WriteJournal(const std::string& directory) {
  auto replica = Replica<Ledger>::Open({.directory = directory}).value();
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  for (uint64_t i = 0; i < kAccounts + kTransfers; ++i) KB_CHECK(replica->Submit(CommandAt(i)).ok());
}

// Archives all of the journal; returns the manifest.
Manifest CopyAll(const std::string& journal, ObjectStore& store, const std::string& reader) {
  const auto archiver = Archiver::Open(FileSystem::Posix(), JournalLayout(journal), store, {.reader = reader}).value();
  while (archiver->Step().value().more) {
  }
  return NewestManifest(store, archiver->incarnation().id).value().value();
}

void BM_Copy(benchmark::State& state) {
  const Medium medium = state.range(0) == 0 ? Medium::kMemory : Medium::kDisk;
  const BenchDirectory journal(medium);
  WriteJournal(journal.path());
  uint64_t bytes = 0;
  int round = 0;
  {
    const BenchDirectory archive(medium);
    DirectoryStore store(FileSystem::Posix(), archive.path());
    for (const FramesEntry& entry : CopyAll(journal.path(), store, "first").frames) bytes += entry.bytes;
  }
  Compare(
      state,
      [&] {
        const BenchDirectory archive(medium);
        DirectoryStore store(FileSystem::Posix(), archive.path());
        return NanosPerItem(bytes, [&] { CopyAll(journal.path(), store, absl::StrCat("reader", ++round)); });
      },
      [&] {
        const BenchDirectory archive(medium);
        DirectoryStore store(FileSystem::Posix(), archive.path());
        const std::vector<uint8_t> object(kFramesBytesMax, 7);
        return NanosPerItem(bytes, [&] {
          for (uint64_t at = 0; at < bytes; at += object.size()) {
            const size_t size = std::min<uint64_t>(object.size(), bytes - at);
            KB_CHECK(store.Put(absl::StrCat("frames/", at), Bytes(object).first(size)).ok());
          }
        });
      });
  state.counters["speed_of_limit"] = 1 / state.counters["of_limit"];
  state.counters["mb_per_second"] = 1e3 / state.counters["ns"];
}

void BM_Restore(benchmark::State& state) {
  const Medium medium = state.range(0) == 0 ? Medium::kMemory : Medium::kDisk;
  const BenchDirectory journal(medium);
  const BenchDirectory archive(medium);
  WriteJournal(journal.path());
  DirectoryStore store(FileSystem::Posix(), archive.path());
  const Manifest manifest = CopyAll(journal.path(), store, "first");
  const uint64_t commands = kAccounts + kTransfers;
  Compare(
      state,
      [&] {
        const BenchDirectory restored(medium);
        return NanosPerItem(commands, [&] { KB_CHECK(Restore(store, FileSystem::Posix(), restored.path(), {}).ok()); });
      },
      [&] {
        Ledger ledger;
        return NanosPerItem(commands, [&] {
          for (const FramesEntry& entry : manifest.frames) {
            FramesReader reader = FramesReader::Get(store, manifest.incarnation, entry).value();
            while (const std::optional<Bytes> record = reader.Next().value()) {
              const auto header = LoadUnaligned<FrameHeader>(record->data());
              if (static_cast<FrameKind>(header.kind) != FrameKind::kCommand) continue;
              Ledger::Command command;
              KB_CHECK(CerealBinaryCodec::Decode(record->subspan(kFrameHeaderBytes), &command).ok());
              benchmark::DoNotOptimize(ledger.Apply(command, ApplyContext{header}));
            }
          }
        });
      });
  state.counters["speed_of_limit"] = 1 / state.counters["of_limit"];
}

struct Beside {
  Figures group_us;
  double age_max_s = 0;
};

// Gives a primary 100 groups of 1,000 commands a second for some seconds.
Beside Run(ObjectStore* store) {
  constexpr int kSeconds = 5;
  constexpr uint64_t kGroup = 1000;
  const BenchDirectory journal(Medium::kDisk);
  const auto open = [&] {
    ReplicaOptions options;
    options.directory = journal.path();
    options.ack = Ack::kSynced;
    options.archive.store = store;
    return Replica<Ledger>::Open(std::move(options)).value();
  };
  const auto primary = open();
  KB_CHECK(primary->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  const auto follower = open();
  Beside beside;
  uint64_t command = 0;
  absl::SleepFor(absl::Seconds(2));
  const absl::Time begin = absl::Now();
  for (int group = 0; group < kSeconds * 100; ++group) {
    absl::SleepFor(begin + group * absl::Milliseconds(10) - absl::Now());
    const int64_t start = NowNanos();
    Position last;
    for (uint64_t i = 0; i < kGroup; ++i) last = primary->Submit(CommandAt(command++)).value().position;
    KB_CHECK(primary->WaitFor(last, Ack::kSynced, absl::Seconds(10)).ok());
    beside.group_us.Add(static_cast<double>(NowNanos() - start) / 1e3);
    if (store != nullptr && group > 200 && group % 10 == 0) {
      const Manifest manifest = FindManifest(*store, std::nullopt).value();
      const double age = static_cast<double>(absl::GetCurrentTimeNanos() - manifest.end().time_ns) / 1e9;
      beside.age_max_s = std::max(beside.age_max_s, age);
    }
  }
  return beside;
}

void BM_Beside(benchmark::State& state) {
  Beside with;
  Beside without;
  long before = 0;
  rusage usage;
  for (auto _ : state) {
    without = Run(nullptr);
    ::getrusage(RUSAGE_SELF, &usage);
    before = usage.ru_maxrss;
    const BenchDirectory archive(Medium::kDisk);
    DirectoryStore store(FileSystem::Posix(), archive.path());
    with = Run(&store);
    ::getrusage(RUSAGE_SELF, &usage);
  }
  state.counters["age_max_s"] = with.age_max_s;
  state.counters["p999_us"] = with.group_us.Quantile(0.999);
  state.counters["limit_p999_us"] = without.group_us.Quantile(0.999);
  state.counters["of_limit"] = with.group_us.Quantile(0.999) / without.group_us.Quantile(0.999);
  state.counters["p50_us"] = with.group_us.Median();
  state.counters["limit_p50_us"] = without.group_us.Median();
  state.counters["more_mb"] = static_cast<double>(usage.ru_maxrss - before) / 1024;
}

BENCHMARK(BM_Copy)->ArgName("disk")->Arg(0)->Arg(1)->Apply(Rounds<5>);
BENCHMARK(BM_Restore)->ArgName("disk")->Arg(0)->Arg(1)->Apply(Rounds<5>);
BENCHMARK(BM_Beside)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kekbit::bench
