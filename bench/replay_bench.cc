// Replay of a ledger's journal on one core: Replica::Open of a journal of transfers. The limit
// merely reads and checks the same frames with JournalReader::NextBatch().
//
// The journal was written before, is in memory's page cache, and has the accounts that the argument
// says, each in turn. `apply_ns` is the state's part: decoding and applying the same commands,
// without a journal. `per_second`: commands.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/channels.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "bench/partner.h"
#include "benchmark/benchmark.h"
#include "examples/ledger_state.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/replica.h"

namespace kekbit::bench {
namespace {

using examples::Ledger;
using examples::OpenAccount;
using examples::Transfer;

constexpr uint64_t kTransfers = 2'000'000;

std::string NameOf(uint64_t account) { return absl::StrCat("account", account); }

// Returns command number `i` of the journal.
Ledger::Command CommandAt(uint64_t i, uint64_t accounts) {
  if (i < accounts) return OpenAccount{.name = NameOf(i), .amount = int64_t{1} << 40};
  const uint64_t from = i * 7919 % accounts;
  return Transfer{.from = NameOf(from), .to = NameOf((from + 1 + i % (accounts - 1)) % accounts), .amount = 1};
}

void WriteJournal(const std::string& directory, uint64_t accounts) {
  auto replica = Replica<Ledger>::Open({.directory = directory}).value();
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  for (uint64_t i = 0; i < accounts + kTransfers; ++i) KB_CHECK(replica->Submit(CommandAt(i, accounts)).ok());
}

double Replay(const std::string& directory, uint64_t commands) {
  std::unique_ptr<Replica<Ledger>> replica;
  const double nanos = NanosPerItem(commands, [&] {
    replica = Replica<Ledger>::Open({.directory = directory, .may_lead = false, .threads = false}).value();
  });
  KB_CHECK(replica->recovery().frames == commands + 1);  // the EpochStart
  return nanos;
}

double ReadAndCheck(const std::string& directory, uint64_t commands) {
  uint64_t frames = 0;
  const double nanos = NanosPerItem(commands, [&] {
    JournalReader reader = ReadJournal(FileSystem::Posix(), JournalLayout(directory)).value();
    for (auto batch = reader.NextBatch(); !batch.empty(); batch = reader.NextBatch()) frames += batch.size();
    KB_CHECK(reader.status().ok());
  });
  KB_CHECK(frames == commands + 1);
  return nanos;
}

double DecodeAndApply(const std::vector<std::vector<uint8_t>>& encoded) {
  Ledger ledger;
  const ApplyContext context{FrameHeader()};
  return NanosPerItem(encoded.size(), [&] {
    for (const std::vector<uint8_t>& bytes : encoded) {
      Ledger::Command command;
      KB_CHECK(CerealBinaryCodec::Decode(Bytes(bytes), &command).ok());
      benchmark::DoNotOptimize(ledger.Apply(command, context));
    }
  });
}

void BM_Replay(benchmark::State& state) {
  PinTo(0);
  const auto accounts = static_cast<uint64_t>(state.range(0));
  const BenchDirectory directory(Medium::kMemory);
  WriteJournal(directory.path(), accounts);
  std::vector<std::vector<uint8_t>> encoded;
  for (uint64_t i = 0; i < accounts + kTransfers / 4; ++i) {
    uint8_t bytes[256];
    const size_t size = CerealBinaryCodec::Encode(CommandAt(i, accounts), MutableBytes(bytes)).value();
    encoded.emplace_back(bytes, bytes + size);
  }
  Figures apply;
  Compare(
      state, [&] { return Replay(directory.path(), accounts + kTransfers); },
      [&] {
        apply.Add(DecodeAndApply(encoded));
        return ReadAndCheck(directory.path(), accounts + kTransfers);
      });
  state.counters["per_second"] = 1e9 / state.counters["ns"];
  state.counters["speed_of_limit"] = 1 / state.counters["of_limit"];
  state.counters["apply_ns"] = apply.Median();
}

BENCHMARK(BM_Replay)->ArgName("accounts")->Arg(10)->Arg(1'000)->Arg(100'000)->Apply(Rounds<5>);

}  // namespace
}  // namespace kekbit::bench
