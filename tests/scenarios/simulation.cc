#include "tests/scenarios/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/logger.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "tests/support/crash_images.h"

namespace kekbit {
namespace {

constexpr uint64_t kStepsMax = 120;
// In the end: how often everybody is polled until all must be well.
constexpr int kCalmRounds = 400;
constexpr int64_t kCalmNs = 50'000'000;

}  // namespace

void Simulation::Report::Add(const Report& other) {
  steps += other.steps;
  calls += other.calls;
  images += other.images;
  recoveries += other.recoveries;
  commands += other.commands;
  digest = MixHash(digest, other.digest);
  for (const auto& [kind, count] : other.kinds) kinds[kind] += count;
  violations.insert(violations.end(), other.violations.begin(), other.violations.end());
}

Simulation::Simulation(const Options& options) : options_(options), random_(MixHash(options.seed, 0x51D)) {
  SimulatedDiskOptions disk = {.lying = options.lying, .scratch = "replicas"};
  if (random_.OneIn(2)) disk.unit_bytes = 512;
  disk_ = std::make_unique<SimulatedDisk>(disk);
  // Some kinds of faults only: with all of them in each schedule, some would hide others.
  kinds_ = random_.Next() & random_.Next();
  if (random_.OneIn(4)) kinds_ |= random_.Next();
  kinds_ |= 1u << random_.Below(kKinds);
  ack_ = random_.OneIn(2) ? Ack::kSynced : Ack::kPublished;
  snapshots_on_primary_ = random_.OneIn(3);
  if (Has(kSnapshots) && random_.OneIn(2)) snapshot_frames_ = 5 + random_.Below(60);
  if (Has(kReaders) && random_.OneIn(4)) retain_bytes_max_ = 40'000 + random_.Below(200'000);
  const uint64_t replicas = 1 + random_.Below(3) + random_.Below(2);
  const uint64_t readers = Has(kReaders) ? 1 + random_.Below(2) : 0;
  slots_.resize(replicas + readers);
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].is_reader = i >= replicas;
    slots_[i].name = slots_[i].is_reader ? absl::StrCat("reader-", i - replicas) : absl::StrCat("replica-", i);
    slots_[i].fiber = std::make_unique<Fiber>();
  }
}

Simulation::~Simulation() {
  for (Slot& slot : slots_) Kill(slot);
}

const Simulation::Report& Simulation::Run() {
  const uint64_t steps = 20 + random_.Below(kStepsMax);
  while (report_.steps < steps && !over()) {
    ++report_.steps;
    clock_.Advance(SomeTime());
    Step();
    Look();
  }
  if (!over()) Settle();
  // What is acknowledged as synced is there when all else is lost.
  if (!over() && random_.OneIn(2)) FailPower();
  report_.violations = history_.violations();
  return report_;
}

void Simulation::Count(absl::string_view what) {
  const auto found = report_.kinds.find(what);
  if (found != report_.kinds.end()) {
    ++found->second;
  } else {
    report_.kinds.emplace(what, 1);
  }
  Digest(what.size());
}

void Simulation::Violate(absl::string_view invariant, absl::string_view what) {
  Trace("VIOLATION ", invariant, ": ", what);
  history_.Violate(invariant, what);
}

absl::Status Simulation::OnCall(Slot& slot, const SimulatedProcess::Call& call) {
  ++report_.calls;
  Digest(call.name.size() * 64 + call.path.size() * 2 + call.done);
  if (options_.trace && !call.done && call.changes) Trace("  ", slot.name, ": ", call.name, " ", call.path);
  if (call.failed && call.is_sync()) {
    ++sync_failures_;
    history_.SyncFailed();
  }
  if (call.done && call.name == "Unlink" && absl::StrContains(call.path, "/segments/")) trimmed_ = true;
  return slot.plan.kind == Plan::Kind::kNone ? absl::OkStatus() : Befall(slot, call);
}

absl::Status Simulation::Befall(Slot& slot, const SimulatedProcess::Call& call) {
  Plan& plan = slot.plan;
  const bool syncs = plan.kind == Plan::Kind::kFailSync || plan.kind == Plan::Kind::kFailSyncAndKill;
  if ((syncs && !call.is_sync()) || ((syncs || plan.kind == Plan::Kind::kFailCall) && call.done))
    return absl::OkStatus();
  if (plan.kind == Plan::Kind::kFailCall && !call.may_want_more()) return absl::OkStatus();
  if (plan.calls > 0) {
    --plan.calls;
    return absl::OkStatus();
  }
  const Plan now = std::exchange(plan, {});
  switch (now.kind) {
    case Plan::Kind::kNone:
      break;
    case Plan::Kind::kKill:
      Count("fault: killed inside a call");
      Trace(slot.name, " is killed ", call.done ? "after " : "before ", call.name, " ", call.path);
      slot.process->Kill();
      break;
    case Plan::Kind::kPause:
      Count("fault: stopped inside a call");
      Trace(slot.name, " is stopped ", call.done ? "after " : "before ", call.name, " ", call.path);
      slot.wakes_at = report_.steps + 1 + random_.Below(random_.OneIn(3) ? 60 : 8);
      Fiber::Yield();
      Trace(slot.name, " goes on");
      break;
    case Plan::Kind::kPower:
      Count("fault: power failed inside a call");
      Trace("the power fails ", call.done ? "after " : "before ", call.name, " ", call.path, " of ", slot.name);
      power_ = true;
      slot.process->Kill();
      break;
    case Plan::Kind::kFailSync:
    case Plan::Kind::kFailSyncAndKill:
      Trace("a sync fails: ", call.name, " ", call.path, " of ", slot.name);
      slot.failed_call = true;
      disk_->FailSync(1, random_.Next());
      if (now.kind == Plan::Kind::kFailSyncAndKill) {
        Count("fault: killed inside a sync that failed");
        plan = {.kind = Plan::Kind::kKill, .calls = 0};
      } else {
        Count("fault: sync failed");
      }
      break;
    case Plan::Kind::kFailCall:
      Count("fault: no descriptor, memory or mapping");
      Trace(call.name, " ", call.path, " of ", slot.name, " fails");
      slot.failed_call = true;
      return absl::ResourceExhaustedError(absl::StrCat(call.path, ": ", call.name, ": too many open files"));
  }
  return absl::OkStatus();
}

void Simulation::RunIn(Slot& slot, std::function<void()> body) {
  current_ = &slot;
  slot.failed_call = false;
  slot.fiber->Start(std::move(body));
  current_ = nullptr;
  Returned(slot);
}

void Simulation::Returned(Slot& slot) {
  if (slot.fiber->busy() || slot.process == nullptr) return;
  if (!calm_ && !slot.fiber->busy() && slot.plan.kind != Plan::Kind::kNone && random_.OneIn(8)) slot.plan = {};
  if (power_) {
    FailPower();
  } else if (slot.process->dead()) {
    Kill(slot);
  } else if (slot.replica == nullptr && slot.reader == nullptr) {
    slot.process.reset();  // it could not open, or has ended
  }
}

void Simulation::Kill(Slot& slot) {
  if (slot.process == nullptr) return;
  slot.process->Kill();
  slot.plan = {};
  // It comes to its end without effect.
  current_ = &slot;
  while (slot.fiber->busy()) slot.fiber->Resume();
  current_ = nullptr;
  slot.replica.reset();
  slot.reader.reset();
  slot.process->Bury();
  slot.process.reset();
  slot.leads = false;
  slot.last.reset();
  slot.wakes_at = 0;
  history_.Forget(slot.number);
}

void Simulation::FailPower() {
  power_ = false;
  Count("fault: power failed");
  for (Slot& slot : slots_) Kill(slot);
  disk_->SetCapacity(std::numeric_limits<uint64_t>::max());
  disk_->CrashPoint("");
  CrashImages images(*disk_, random_, {});
  const uint64_t looks = 1 + random_.Below(3);
  for (uint64_t i = 0; i < looks && !over(); ++i) {
    std::string kind;
    const std::unique_ptr<SimulatedDisk> image = images.Draw(&kind);
    ++report_.images;
    Count(absl::StrCat("image: ", kind));
    Trace("an image is looked at: ", kind);
    CheckImage(*image);
  }
  std::string kind;
  std::unique_ptr<SimulatedDisk> image = images.Draw(&kind);
  ++report_.images;
  Count(absl::StrCat("image: ", kind));
  Trace("the power is back: ", kind);
  disk_ = std::move(image);
  history_.PowerFailed();
  ++losses_;
  trimmed_ = false;
  clock_.Reboot();
  if (random_.OneIn(8)) clock_.StepRealtime(-SomeTime());
}

void Simulation::CheckImage(SimulatedDisk& disk) {
  ++report_.recoveries;
  History history = history_;
  history.PowerFailed();
  ReplicaOptions options = OptionsOf(disk);
  options.snapshots.frames = 0;
  absl::StatusOr<std::unique_ptr<SimulatedReplica>> replica = SimulatedReplica::Open(std::move(options));
  for (int polls = 0; replica.ok() && (*replica)->role() == Role::kFollower && polls < 8; ++polls) {
    clock_.Advance(kCalmNs);
    (*replica)->Poll().IgnoreError();
  }
  if (!replica.ok() || (*replica)->role() != Role::kPrimary) {
    Violate("I1", absl::StrCat("nobody can lead after a power failure: ",
                               (replica.ok() ? (*replica)->status() : replica.status()).ToString()));
    return;
  }
  (*replica)->Read([&](const CommandLog& log, Position applied) { history.Saw(1, log.commands, applied); });
  if (history.violations().empty()) history.Leads(1, (*replica)->applied().epoch);
  for (const std::string& violation : history.violations()) Violate("after a power failure", violation);
}

void Simulation::Look() {
  for (Slot& slot : slots_) {
    if (over()) return;
    if (slot.free() && slot.replica != nullptr) LookAt(slot);
  }
  if (history_.generation() != std::exchange(generation_, history_.generation())) {
    ++losses_;
    Count("history: a tail was lost");
  }
  if (!over()) LookAtFiles();
}

void Simulation::LookAt(Slot& slot) {
  const Role role = slot.replica->role();
  if (role == Role::kStopped) {
    Count("replica: stopped");
    const absl::Status why = slot.replica->status();
    Trace(slot.name, " has stopped: ", why.ToString());
    if (slot.doubts == sync_failures_) {
      Violate("availability", absl::StrCat(slot.name, " has stopped though no sync failed: ", why.ToString()));
    }
    Close(slot);
    return;
  }
  Position now;
  slot.replica->Read([&](const CommandLog& log, Position applied) {
    history_.Saw(slot.number, log.commands, applied);
    now = applied;
  });
  const bool leads = role == Role::kPrimary;
  if (leads && !slot.leads && !over()) {
    Count("replica: leads");
    Trace(slot.name, " leads in epoch ", now.epoch, " after ", history_.size(), " commands");
    history_.Leads(slot.number, now.epoch);
  }
  slot.leads = leads;
}

void Simulation::LookAtFiles() {
  if (const absl::StatusOr<Epoch> epoch = EpochStore::Read(*disk_, layout_.epoch()); epoch.ok()) {
    history_.Granted(*epoch);
  }
  if (!std::exchange(trimmed_, false)) return;
  Count("journal: trimmed");
  const absl::StatusOr<Position> before = BeforeFirstKept(*disk_, layout_);
  if (!before.ok()) return;  // segments are being unlinked just now
  const absl::StatusOr<std::vector<Seq>> snapshots = SnapshotStore(*disk_, layout_.snapshots()).List();
  KB_CHECK(snapshots.ok());
  std::vector<Seq> good;
  for (const Seq seq : *snapshots) {
    if (!rotten_.contains(seq)) good.push_back(seq);
  }
  const Seq older = good.size() < 2 ? 0 : good[good.size() - 2];
  if (before->seq > older && rotten_.empty()) {
    Violate("P9", absl::StrCat("the journal begins after seq ", before->seq, ", the older of two snapshots is of seq ",
                               older));
  }
  for (const Slot& slot : slots_) {
    if (!slot.registered || retain_bytes_max_ != 0 || slot.losses != losses_ || before->seq <= slot.done.seq) continue;
    Violate("P7", absl::StrCat("the journal begins after seq ", before->seq, ", ", slot.name, " is done with ",
                               slot.done.ToString()));
  }
}

bool Simulation::Settled() {
  int leaders = 0;
  for (const Slot& slot : slots_) {
    if (slot.is_reader) continue;
    if (!slot.free() || slot.replica == nullptr || slot.replica->role() == Role::kStopped) return false;
    leaders += slot.replica->role() == Role::kPrimary;
    const size_t has = slot.replica->Read([](const CommandLog& log) { return log.commands.size(); });
    if (has != history_.size()) return false;
  }
  return leaders == 1;
}

void Simulation::Settle() {
  calm_ = true;
  Trace("calm");
  disk_->SetCapacity(std::numeric_limits<uint64_t>::max());
  for (Slot& slot : slots_) slot.plan = {};
  bool sent = false;
  for (int round = 0; round < kCalmRounds && !over(); ++round) {
    if (sent && Settled()) return;
    clock_.Advance(kCalmNs);
    for (Slot& slot : slots_) {
      if (over()) return;
      if (slot.is_reader && !slot.fiber->busy()) continue;
      if (slot.fiber->busy()) {
        current_ = &slot;
        slot.fiber->Resume();
        current_ = nullptr;
        Returned(slot);
      } else if (slot.process == nullptr) {
        Open(slot);
      } else {
        Poll(slot);
      }
      Look();
      if (over() || sent || !slot.free() || slot.replica == nullptr || !slot.leads) continue;
      const size_t before = history_.size();
      Submit(slot);
      Sync(slot);
      sent = history_.size() > before && history_.must_stay() == history_.size();
    }
  }
  if (over()) return;
  std::string text = "faults have stopped, and";
  for (const Slot& slot : slots_) {
    if (slot.is_reader) continue;
    absl::StrAppend(&text, " ", slot.name,
                    slot.replica == nullptr ? " can't open;"
                                            : absl::StrCat(" is ", RoleName(slot.replica->role()), " at ",
                                                           slot.replica->applied().ToString(), " ",
                                                           slot.replica->status().ToString(), ";"));
  }
  Violate("liveness", text);
}

}  // namespace kekbit
