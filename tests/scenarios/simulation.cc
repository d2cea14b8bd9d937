#include "tests/scenarios/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/logger.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {
namespace {

constexpr uint64_t kStepsMax = 120;
// In the end: how often everybody is polled until all must be well.
constexpr int kCalmRounds = 400;
constexpr int64_t kCalmNs = 50'000'000;
// ReplicaOptions::step_down_for.
constexpr int64_t kStepDownForNs = 1'000'000'000;

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
  // Not of the path: the names of statistics have the pid, and a number that counts through the process.
  Digest(call.name.size() * 2 + call.done);
  if (options_.trace && !call.done && call.changes) Trace("  ", slot.name, ": ", call.name, " ", call.path);
  if (call.failed && call.is_sync()) {
    ++sync_failures_;
    history_.SyncFailed();
  }
  if (call.done && call.name == "Unlink" && absl::StrContains(call.path, "/segments/")) trimmed_ = true;
  return slot.plan.kind == Plan::Kind::kNone ? absl::OkStatus() : Befall(slot, call);
}

// Of a follower that makes the segments durable which its snapshot follows. If it dies with the error of that sync in
// its hands, nobody else is told: a limit, and no part of these schedules.
bool Simulation::LeavesNoTrace(const SimulatedProcess::Call& call) const {
  if (call.name != "SyncDirectory" && !absl::StrContains(call.path, "/segments/")) return false;
  const auto mark = SyncMark::OpenForReading(*disk_, layout_.synced());
  return mark.ok() && !mark->unfinished().has_value();
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
      if (now.kind == Plan::Kind::kFailSyncAndKill && LeavesNoTrace(call)) {
        Count("fault: killed inside a sync");
        slot.process->Kill();
        break;
      }
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
  slot.sample.reset();
  slot.stepped_down_ns.reset();
  slot.wakes_at = 0;
  history_.Forget(slot.number);
}

// Not one in which the first segment's name is lost, and that of a later one there, though none was synced: there is no
// beginning then. The file systems on which a journal may lie bring names to the device in the order of their making.
std::unique_ptr<SimulatedDisk> Simulation::DrawImage(CrashImages& images, std::string& kind) {
  for (;;) {
    std::unique_ptr<SimulatedDisk> image = images.Draw(&kind);
    const absl::StatusOr<std::vector<SegmentNumber>> segments = layout_.ListSegments(*image);
    const auto mark = SyncMark::OpenForReading(*image, layout_.synced());
    const bool begins = !segments.ok() || segments->empty() || segments->front() == 1;
    if (begins || (mark.ok() && mark->synced() != 0)) return image;
    if (!SnapshotStore(*image, layout_.snapshots()).List().value_or(std::vector<Seq>()).empty()) return image;
    Count("image: passed over");
  }
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
    const std::unique_ptr<SimulatedDisk> image = DrawImage(images, kind);
    ++report_.images;
    Count(absl::StrCat("image: ", kind));
    Trace("an image is looked at: ", kind);
    CheckImage(*image);
  }
  std::string kind;
  std::unique_ptr<SimulatedDisk> image = DrawImage(images, kind);
  ++report_.images;
  Count(absl::StrCat("image: ", kind));
  Trace("the power is back: ", kind);
  disk_ = std::move(image);
  history_.PowerFailed();
  ++losses_;
  journal_.reset();
  stamp_.reset();
  trimmed_ = false;
  clock_.Reboot();
  if (random_.OneIn(8)) clock_.StepRealtime(-SomeTime());
}

// Of the segments whose names are synced none is missing between two others: they are trimmed one by one.
void Simulation::CheckNoHole(SimulatedDisk& disk) {
  const auto mark = SyncMark::OpenForReading(disk, layout_.synced());
  const absl::StatusOr<std::vector<SegmentNumber>> numbers = layout_.ListSegments(disk);
  if (!mark.ok() || !numbers.ok()) return;
  for (size_t i = 1; i < numbers->size(); ++i) {
    if ((*numbers)[i] == (*numbers)[i - 1] + 1) continue;
    const absl::StatusOr<KeptSegment> after = LookAtSegment(disk, layout_, (*numbers)[i]);
    if (!after.ok() || after->follows.seq >= mark->synced()) continue;
    Violate("P7", absl::StrCat("segment ", (*numbers)[i - 1], " is followed by ", (*numbers)[i]));
  }
}

void Simulation::CheckImage(SimulatedDisk& disk) {
  ++report_.recoveries;
  CheckNoHole(disk);
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
    stamp_.reset();
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
  const ReplicaSample sample = {.role = role, .applied = now};
  Check(CheckReplica(sample), "replica");
  if (slot.sample) Check(CheckReplicaStep(*slot.sample, sample), slot.name);
  slot.sample = sample;
  const bool leads = role == Role::kPrimary;
  if (leads && !slot.leads && !over()) {
    CheckStepDown(slot, now.epoch);
    Count("replica: leads");
    Trace(slot.name, " leads in epoch ", now.epoch, " after ", history_.size(), " commands");
    history_.Leads(slot.number, now.epoch);
  }
  slot.leads = leads;
}

// Who steps down leaves the lease to others, unless one of them had it.
void Simulation::CheckStepDown(Slot& slot, Epoch epoch) {
  const bool next = epoch == slot.stepped_down_from + 1;
  if (next && slot.stepped_down_ns && clock_.MonotonicNanos() - *slot.stepped_down_ns < kStepDownForNs) {
    Violate("step down", absl::StrCat(slot.name, " stepped down, and leads again at once"));
  }
  for (Slot& other : slots_) other.stepped_down_ns.reset();
}

void Simulation::Check(const absl::Status& status, absl::string_view what) {
  if (!status.ok()) Violate(what, status.message());
}

JournalSample Simulation::SampleJournal() {
  JournalSample sample;
  sample.epoch = EpochStore::Read(*disk_, layout_.epoch()).value_or(0);
  if (const auto mark = SyncMark::OpenForReading(*disk_, layout_.synced()); mark.ok()) sample.synced = mark->synced();
  // While segments are being unlinked, the beginning is where it was.
  const absl::StatusOr<Position> before = BeforeFirstKept(*disk_, layout_);
  sample.begins_after = before.ok() ? before->seq : journal_ ? journal_->begins_after : 0;
  // A snapshot that rots is passed over, and another one takes its place.
  std::vector<Seq> seqs;
  if (rotten_.empty()) seqs = SnapshotStore(*disk_, layout_.snapshots()).List().value_or(seqs);
  if (!seqs.empty()) sample.newest_snapshot = seqs.back();
  if (seqs.size() > 1) sample.older_snapshot = seqs[seqs.size() - 2];
  for (const Slot& slot : slots_) {
    if (slot.leads && slot.free()) sample.published = slot.replica->applied();
  }
  return sample;
}

void Simulation::LookAtFiles() {
  const JournalSample now = SampleJournal();
  // An epoch whose sync failed was granted to nobody, and may be gone from the file.
  if (sync_failures_ == 0) history_.Granted(now.epoch);
  if (rotten_.empty() && sync_failures_ == 0) Check(CheckJournal(now), "P9");
  if (journal_ && sync_failures_ == 0) Check(CheckJournalStep(*journal_, now), "I7");
  journal_ = now;
  if (std::exchange(trimmed_, false)) LookAtPlaces(now);
}

void Simulation::LookAtPlaces(const JournalSample& now) {
  Count("journal: trimmed");
  trimmed_lately_ = true;
  for (const Slot& slot : slots_) {
    if (!slot.registered || retain_bytes_max_ != 0 || slot.losses != losses_) continue;
    if (now.begins_after <= slot.done.seq) continue;
    Violate("P7", absl::StrCat("the journal begins after seq ", now.begins_after, ", ", slot.name, " is done with ",
                               slot.done.ToString()));
  }
}

// Of the last command, which this primary has taken since `before_ns`.
void Simulation::CheckStamp(Slot& slot, int64_t before_ns) {
  const int64_t time_ns = slot.replica->Read([](const CommandLog& log) { return log.commands.back().time_ns; });
  const StampSample now = {.time_ns = time_ns, .after_ns = before_ns, .before_ns = clock_.MonotonicNanos()};
  const Epoch epoch = slot.replica->applied().epoch;
  // A successor may know only what its predecessor said some moments before its end.
  const bool same = epoch == std::exchange(stamp_epoch_, epoch);
  if (stamp_) Check(CheckStamps(*stamp_, same ? now : StampSample{.time_ns = time_ns}), "P15");
  stamp_ = now;
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
