#include "tests/scenarios/kill_loop.h"

#include <fcntl.h>
#include <unistd.h>

#include <iterator>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit::examples {
namespace {

constexpr const char* kRounds[] = {
    "primary killed",
    "standby killed",
    "both killed at once",
    "killed during takeover",
    "standby killed at start",
    "primary killed at start",
    "primary killed again at once",
    "stepped down",
    "stepped down to and fro",
    "killed while stepping down",
    "all restarted",
    "all restarted, newest snapshot damaged",
};

}  // namespace

KillLoop::KillLoop(std::string ledger, std::string directory, Ack ack, std::mt19937_64* random, KillFigures* figures)
    : ledger_(std::move(ledger)),
      directory_(std::move(directory)),
      ack_(ack),
      client_(directory_, [this] { return NextCommand(); }),
      random_(*random),
      figures_(*figures) {}

absl::Status KillLoop::Run(uint64_t rounds) {
  KB_ASSIGN_OR_RETURN(primary_, StartProcess());
  KB_ASSIGN_OR_RETURN(audit_, LedgerAudit::Open(directory_, "audit"));
  KB_RETURN_IF_ERROR(Load());
  KB_ASSIGN_OR_RETURN(standby_, StartProcess());
  KB_ASSIGN_OR_RETURN(follower_, Replica<Ledger>::Open({.directory = directory_, .may_lead = false, .threads = false}));
  for (uint64_t round = 0; round < rounds; ++round) {
    const std::string name = kRounds[Random(0, std::size(kRounds) - 1)];
    ++figures_.rounds[name];
    round_ = name;
    absl::Status status = RunRound(name);
    if (status.ok()) status = Check();
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("round ", round, " of this journal, ", name, ": ", status.message()));
    }
  }
  return Finish();
}

void KillLoop::Pause(uint64_t us_max) { ::usleep(static_cast<useconds_t>(Random(0, us_max))); }

absl::StatusOr<KillLoop::Process> KillLoop::StartProcess() {
  static constexpr uint32_t kSegmentBytes[] = {64 << 10, 96 << 10, 128 << 10, 1 << 20};
  static constexpr uint32_t kSnapshotEvery[] = {0, 300, 1000, 5000};
  const Ack other = ack_ == Ack::kSynced ? Ack::kPublished : Ack::kSynced;
  std::vector<std::string> more = {
      "--segment-bytes",
      absl::StrCat(kSegmentBytes[Random(0, 3)]),
      "--snapshot-every",
      absl::StrCat(kSnapshotEvery[Random(0, 3)]),
      "--ack",
      std::string(AckName(Random(0, 7) == 0 ? other : ack_)),
  };
  if (Random(0, 3) == 0) more.push_back("--snapshot-on-primary");
  if (Random(0, 1) == 0) more.push_back("--compress-snapshots");
  if (Random(0, 3) == 0) more.push_back("--spin");
  return LedgerProcess::Start(ledger_, directory_, directory_ + ".log", more);
}

Ledger::Command KillLoop::NextCommand() {
  // There are so many accounts that a snapshot takes longer than some commands.
  constexpr int64_t kAccounts = 2000;
  const auto name = [](int64_t account) { return absl::StrCat("account-", account); };
  if (opened_ < kAccounts) return OpenAccount{.name = name(opened_++), .amount = 1'000'000'000};
  const auto from = static_cast<int64_t>(Random(0, kAccounts - 1));
  const auto to = static_cast<int64_t>(Random(0, kAccounts - 1));
  return Transfer{.from = name(from), .to = name(to), .amount = static_cast<int64_t>(Random(1, 100))};
}

absl::Status KillLoop::Load() {
  const size_t goal = client_.done().size() + Random(50, 2500);
  KB_RETURN_IF_ERROR(client_.Drive(*primary_, [&] { return client_.done().size() >= goal; }));
  Pause(2000);
  return absl::OkStatus();
}

void KillLoop::Kill(LedgerProcess& process) {
  process.Kill();
  ++figures_.kills;
}

absl::Status KillLoop::Bury() {
  absl::Status gone = client_.Drain(*primary_);
  primary_->Wait();
  figures_.unanswered += client_.unanswered();
  return absl::IsUnavailable(gone) ? absl::OkStatus() : gone;
}

absl::Status KillLoop::FailOver(LedgerProcess& next) {
  const absl::Time begin = absl::Now();
  KB_ASSIGN_OR_RETURN(const size_t published, client_.FailOver(next, Probe()));
  figures_.takeovers.push_back(absl::Now() - begin);
  if (figures_.takeovers.back() > figures_.slowest) {
    figures_.slowest = figures_.takeovers.back();
    figures_.slowest_in = round_;
  }
  figures_.published += published;
  return absl::OkStatus();
}

absl::Status KillLoop::Promote(Process next) {
  KB_RETURN_IF_ERROR(FailOver(*next));
  primary_ = std::move(next);
  return absl::OkStatus();
}

absl::Status KillLoop::KillDuringFailOver(LedgerProcess& next, uint64_t after_us) {
  std::thread killer([&] {
    ::usleep(static_cast<useconds_t>(after_us));
    next.Kill();
  });
  const absl::Status status = FailOver(next);
  killer.join();
  ++figures_.kills;
  next.Wait();
  return absl::IsUnavailable(status) ? absl::OkStatus() : status;
}

absl::StatusOr<Epoch> KillLoop::CurrentEpoch() const {
  return EpochStore::Read(FileSystem::Posix(), JournalLayout(directory_).epoch());
}

absl::Status KillLoop::AwaitLeader(Epoch before) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (absl::Now() < deadline) {
    KB_ASSIGN_OR_RETURN(const Epoch epoch, CurrentEpoch());
    const auto holder = Lease::Holder(FileSystem::Posix(), JournalLayout(directory_).lease());
    const auto leads = [&](const Process& process) { return static_cast<uint64_t>(process->pid()) == holder->pid; };
    if (epoch > before && holder && (leads(primary_) || leads(standby_))) {
      if (leads(standby_)) std::swap(primary_, standby_);
      return absl::OkStatus();
    }
    ::usleep(100);
  }
  return absl::DeadlineExceededError("nobody took over");
}

absl::Status KillLoop::RunRound(const std::string& name) {
  KB_RETURN_IF_ERROR(Load());
  KB_RETURN_IF_ERROR(RunRoundBody(name));
  if (standby_ == nullptr) {
    KB_ASSIGN_OR_RETURN(standby_, StartProcess());
  }
  return client_.Drain(*primary_);
}

absl::Status KillLoop::RunRoundBody(const std::string& name) {
  if (name == "standby killed") {
    Kill(*standby_);
    standby_.reset();
    return absl::OkStatus();
  }
  if (name == "standby killed at start") {
    KB_ASSIGN_OR_RETURN(auto third, StartProcess());
    Pause(15'000);
    Kill(*third);
    return absl::OkStatus();
  }
  if (name == "stepped down") return StepDown();
  if (name == "stepped down to and fro") {
    for (uint64_t times = Random(2, 4); times > 0; --times) {
      KB_RETURN_IF_ERROR(StepDown());
      KB_RETURN_IF_ERROR(Load());
    }
    return absl::OkStatus();
  }
  if (name == "killed while stepping down") return KillWhileSteppingDown();
  return KillPrimary(name);
}

absl::Status KillLoop::KillPrimary(const std::string& name) {
  Kill(*primary_);
  if (name == "primary killed") {
    KB_RETURN_IF_ERROR(Bury());
    return Promote(std::move(standby_));
  }
  if (name == "primary killed again at once") {
    KB_RETURN_IF_ERROR(Bury());
    KB_RETURN_IF_ERROR(Promote(std::move(standby_)));
    KB_ASSIGN_OR_RETURN(standby_, StartProcess());
    Kill(*primary_);
    KB_RETURN_IF_ERROR(Bury());
    return Promote(std::move(standby_));
  }
  if (name == "killed during takeover") {
    KB_RETURN_IF_ERROR(Bury());
    KB_RETURN_IF_ERROR(KillDuringFailOver(*standby_, Random(0, 8000)));
  } else {
    Kill(*standby_);
    standby_->Wait();
    KB_RETURN_IF_ERROR(Bury());
  }
  standby_.reset();
  if (name == "all restarted, newest snapshot damaged") KB_RETURN_IF_ERROR(DamageSnapshot());
  if (absl::StartsWith(name, "all restarted")) return RestartAll();
  if (name == "primary killed at start") {
    for (uint64_t tries = Random(1, 3); tries > 0; --tries) {
      KB_ASSIGN_OR_RETURN(const auto next, StartProcess());
      KB_RETURN_IF_ERROR(KillDuringFailOver(*next, Random(0, 30'000)));
    }
  }
  // From the files alone.
  KB_ASSIGN_OR_RETURN(auto next, StartProcess());
  return Promote(std::move(next));
}

absl::Status KillLoop::StepDown() {
  KB_ASSIGN_OR_RETURN(const Epoch before, CurrentEpoch());
  KB_RETURN_IF_ERROR(client_.StepDown(*primary_));
  ++figures_.step_downs;
  KB_RETURN_IF_ERROR(AwaitLeader(before));
  // The journal that is checked holds the state of the old primary; this is the new primary's.
  KB_RETURN_IF_ERROR(audit_->Check(client_.done()));
  return CheckProcess(*primary_);
}

absl::Status KillLoop::KillWhileSteppingDown() {
  std::thread killer([this, after_us = Random(0, 3000)] {
    ::usleep(static_cast<useconds_t>(after_us));
    primary_->Kill();
  });
  const absl::Status status = client_.StepDown(*primary_);
  killer.join();
  ++figures_.kills;
  if (!status.ok() && !absl::IsUnavailable(status)) return status;
  KB_RETURN_IF_ERROR(Bury());
  return Promote(std::move(standby_));
}

absl::Status KillLoop::RestartAll() {
  KB_ASSIGN_OR_RETURN(const Epoch before, CurrentEpoch());
  KB_ASSIGN_OR_RETURN(primary_, StartProcess());
  KB_ASSIGN_OR_RETURN(standby_, StartProcess());
  KB_RETURN_IF_ERROR(AwaitLeader(before));
  return FailOver(*primary_);
}

absl::Status KillLoop::DamageSnapshot() {
  FileSystem& fs = FileSystem::Posix();
  const SnapshotStore store(fs, JournalLayout(directory_).snapshots());
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, store.List());
  if (seqs.size() < 2) return absl::OkStatus();
  KB_ASSIGN_OR_RETURN(const FileInfo info, fs.Info(store.PathOf(seqs.back())));
  const int file = ::open(store.PathOf(seqs.back()).c_str(), O_RDWR | O_CLOEXEC);
  const auto at = static_cast<off_t>(Random(0, info.size - 1));
  uint8_t byte = 0;
  bool flipped = ::pread(file, &byte, 1, at) == 1;
  byte = static_cast<uint8_t>(byte ^ (1u << Random(0, 7)));
  flipped = flipped && ::pwrite(file, &byte, 1, at) == 1;
  ::close(file);
  if (!flipped) return absl::InternalError("could not damage a snapshot");
  ++figures_.damaged;
  return absl::OkStatus();
}

absl::Status KillLoop::Check() {
  KB_RETURN_IF_ERROR(audit_->Check(client_.done()));
  KB_RETURN_IF_ERROR(CheckProcess(*primary_));
  KB_RETURN_IF_ERROR(CheckReplica(*follower_, "the follower"));
  KB_ASSIGN_OR_RETURN(const auto fresh,
                      Replica<Ledger>::Open({.directory = directory_, .may_lead = false, .threads = false}));
  if (!fresh->recovery().snapshot.empty()) ++figures_.from_snapshots;
  return CheckReplica(*fresh, "a follower that started now");
}

absl::Status KillLoop::CheckProcess(LedgerProcess& process) {
  KB_ASSIGN_OR_RETURN(const std::string answer, process.Ask("digest"));
  uint64_t digest = 0;
  if (!absl::SimpleHexAtoi(answer.substr(answer.rfind(' ') + 1), &digest)) return absl::DataLossError(answer);
  return CheckDigest(digest, absl::StrCat("process ", process.pid(), ", which says '", answer, "',"));
}

absl::Status KillLoop::CheckReplica(Replica<Ledger>& replica, absl::string_view who) {
  // Poll more than once: if the journal was trimmed before the replica had read that part, it
  // starts over from a snapshot.
  for (int polls = 0; polls < 10 && replica.applied().seq < audit_->last().seq; ++polls) {
    KB_RETURN_IF_ERROR(replica.Poll());
  }
  if (replica.applied() != audit_->last()) {
    return absl::DataLossError(
        absl::StrCat(who, " is at ", replica.applied().ToString(), ", the journal at ", audit_->last().ToString()));
  }
  return CheckDigest(replica.Read([](const Ledger& ledger) { return ledger.digest(); }), who);
}

absl::Status KillLoop::CheckDigest(uint64_t digest, absl::string_view who) {
  const uint64_t want = audit_->ledger().digest();
  if (digest == want) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat("%s has digest %016x, the journal gives %016x", who, digest, want));
}

absl::Status KillLoop::Finish() {
  primary_->CloseInput();
  if (const int status = primary_->Wait(); status != 0) {
    return absl::InternalError(absl::StrCat("the primary ended with status ", status));
  }
  KB_RETURN_IF_ERROR(CheckProcess(*standby_));
  figures_.commands += client_.done().size();
  KB_ASSIGN_OR_RETURN(const auto segments, JournalLayout(directory_).ListSegments(FileSystem::Posix()));
  figures_.segments += segments.back();
  figures_.segments_cut += segments.front() - 1;
  return absl::OkStatus();
}

}  // namespace kekbit::examples
