// What processes do in a simulated schedule, and what befalls the machine between their steps.

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/time/time.h"
#include "kekbit/base/logger.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "tests/scenarios/simulation.h"

namespace kekbit {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

}  // namespace

// Mostly moments, now and then longer than any timeout.
int64_t Simulation::SomeTime() {
  const auto some = static_cast<int64_t>(random_.Next() >> 34);  // up to a second
  if (random_.OneIn(30)) return some * 100;
  return random_.OneIn(4) ? some / 4 : some / 256;
}

void Simulation::Step() {
  for (Slot& slot : slots_) {
    if (!slot.fiber->busy() || slot.wakes_at > report_.steps) continue;
    current_ = &slot;
    slot.fiber->Resume();
    current_ = nullptr;
    Returned(slot);
    if (over()) return;
  }
  // What was just trimmed is what a power failure may find half done.
  if (std::exchange(trimmed_lately_, false) && Has(kPower) && random_.OneIn(2)) {
    Trace("the power fails");
    return FailPower();
  }
  if (random_.OneIn(6)) Trouble();
  Slot& slot = slots_[random_.Below(slots_.size())];
  if (slot.process != nullptr && slot.fiber->busy()) return;
  if (slot.wakes_at > report_.steps) return;
  if (random_.OneIn(7)) PlanFor(slot);
  slot.is_reader ? ActReader(slot) : ActReplica(slot);
}

void Simulation::PlanFor(Slot& slot) {
  static constexpr std::pair<Kind, Plan::Kind> kPlans[] = {{kKills, Plan::Kind::kKill},
                                                           {kPauses, Plan::Kind::kPause},
                                                           {kPower, Plan::Kind::kPower},
                                                           {kSyncs, Plan::Kind::kFailSync},
                                                           {kSyncsDie, Plan::Kind::kFailSyncAndKill},
                                                           {kCalls, Plan::Kind::kFailCall}};
  const auto& [kind, plan] = kPlans[random_.Below(std::size(kPlans))];
  if (!Has(kind)) return;
  // Most actions make few calls, a start or a takeover many.
  const bool syncs = plan == Plan::Kind::kFailSync || plan == Plan::Kind::kFailSyncAndKill;
  slot.plan = {.kind = plan, .calls = random_.Below(syncs ? 6 : random_.OneIn(2) ? 12 : 250)};
}

void Simulation::ActReplica(Slot& slot) {
  if (slot.process == nullptr) {
    if (random_.OneIn(2)) Open(slot);
    return;
  }
  const uint64_t what = random_.Below(100);
  if (what < 30) {
    Poll(slot);
  } else if (what < 65) {
    slot.leads || random_.OneIn(20) ? Submit(slot) : Poll(slot);
  } else if (what < 78) {
    slot.last ? Sync(slot) : Poll(slot);
  } else if (what < 83) {
    Has(kSnapshots) ? TakeSnapshot(slot) : Poll(slot);
  } else if (what < 86) {
    Has(kStepDowns) ? StepDown(slot) : Poll(slot);
  } else if (what < 90) {
    ReadAtLast(slot);
  } else if (what < 92 && Has(kRestarts)) {
    Close(slot);
  } else {
    Poll(slot);
  }
}

void Simulation::ActReader(Slot& slot) {
  if (slot.process == nullptr) {
    OpenReader(slot);
  } else if (slot.losses != losses_) {
    Kill(slot);  // what it read may be lost
  } else {
    ReadSome(slot);
  }
}

void Simulation::Trouble() {
  Slot& slot = slots_[random_.Below(slots_.size())];
  const auto kind = static_cast<Kind>(random_.Below(kKinds));
  if (!Has(kind)) return;
  switch (kind) {
    case kKillsIdle:
      if (slot.process == nullptr) return;
      Count(slot.fiber->busy() ? "fault: killed while stopped" : "fault: killed between calls");
      Trace(slot.name, " is killed");
      Kill(slot);
      return;
    case kPauses:
      if (slot.fiber->busy()) return;
      Count("fault: stopped between calls");
      slot.wakes_at = report_.steps + 5 + random_.Below(40);
      Trace(slot.name, " is stopped until step ", slot.wakes_at);
      return;
    case kPower:
      if (!random_.OneIn(4)) return;
      Trace("the power fails");
      return FailPower();
    case kSyncs:
      Count("the system drops clean pages");
      Trace("the system drops clean pages");
      disk_->DropCleanPages();
      if (sync_failures_ > 0) ++sync_failures_;
      return;
    case kFull: {
      const bool full = random_.OneIn(2);
      Count(full ? "fault: the disk is full" : "the disk has room again");
      Trace(full ? "the disk is full" : "the disk has room");
      disk_->SetCapacity(full ? disk_->UsedBytes() + random_.Below(60'000) : std::numeric_limits<uint64_t>::max());
      return;
    }
    case kClock: {
      static constexpr int64_t kSteps[] = {kMillisecond, 1'000 * kMillisecond, 3'600'000 * kMillisecond,
                                           86'400'000 * kMillisecond, 86'400'000 * kMillisecond * 3'650};
      const int64_t step = kSteps[random_.Below(std::size(kSteps))] * (random_.OneIn(2) ? 1 : -1);
      // No clock goes back before the beginning of time, or on for ever.
      const int64_t then = clock_.RealtimeNanos() + step;
      if (then < kMillisecond || then > std::numeric_limits<int64_t>::max() / 2) return;
      Count(step > 0 ? "fault: the clock is set ahead" : "fault: the clock is set back");
      Trace("the clock is set by ", step / kMillisecond, " ms");
      clock_.StepRealtime(step);
      return;
    }
    case kLeaseGone:
      if (!random_.OneIn(3)) return;
      Count("fault: the lease's file is deleted");
      Trace("somebody deletes the lease");
      disk_->Unlink(layout_.lease()).IgnoreError();
      return;
    case kBitRot:
      return RotNewestSnapshot();
    case kRestarts:
      if (!random_.OneIn(6)) return;
      Count("all are restarted");
      for (Slot& one : slots_) {
        if (one.free() && !over()) Close(one);
      }
      return;
    default:
      return;
  }
}

void Simulation::RotNewestSnapshot() {
  const absl::StatusOr<std::vector<Seq>> seqs = SnapshotStore(*disk_, layout_.snapshots()).List();
  // One of two may rot: another one is kept for that.
  if (!seqs.ok() || seqs->size() < 2 || !rotten_.empty()) return;
  const std::string path = SnapshotStore(*disk_, layout_.snapshots()).PathOf(seqs->back());
  const absl::StatusOr<std::unique_ptr<File>> file = disk_->Open(path, Access::kReadWrite);
  const absl::StatusOr<FileInfo> info = disk_->Info(path);
  if (!file.ok() || !info.ok()) return;
  const uint64_t at = random_.Below(info->size);
  uint8_t byte[1] = {};
  (*file)->ReadAt(at, MutableBytes(byte)).IgnoreError();
  byte[0] ^= 0x10;
  (*file)->WriteAt(at, Bytes(byte)).IgnoreError();
  (*file)->Sync().IgnoreError();
  rotten_.insert(seqs->back());
  journal_.reset();
  Count("fault: a snapshot rots");
  Trace("the snapshot of seq ", seqs->back(), " rots");
}

ReplicaOptions Simulation::OptionsOf(FileSystem& fs) {
  ReplicaOptions options;
  options.directory = layout_.directory();
  options.ack = ack_;
  options.threads = false;
  options.segment_bytes = kCapacityMin;
  options.snapshots.on_primary = snapshots_on_primary_;
  options.snapshots.frames = snapshot_frames_;
  options.retain_bytes_max = retain_bytes_max_;
  options.free_bytes_min = 0;
  options.logger = SilentLogger();
  if (options_.trace) {
    options.logger = [this](LogSeverity, absl::string_view text) {
      Trace("    ", current_ == nullptr ? "somebody" : current_->name, " says: ", text);
    };
  }
  options.file_system = &fs;
  options.clock = &clock_;
  return options;
}

void Simulation::Open(Slot& slot) {
  slot.number = ++processes_;
  slot.doubts = sync_failures_;
  slot.process = std::make_unique<SimulatedProcess>(
      *disk_, slot.number, [this, &slot](const SimulatedProcess::Call& call) { return OnCall(slot, call); });
  Trace(slot.name, " opens the journal as process ", slot.number);
  RunIn(slot, [this, &slot] {
    ++report_.recoveries;
    auto replica = SimulatedReplica::Open(OptionsOf(*slot.process));
    if (replica.ok()) {
      slot.replica = *std::move(replica);
      Count("replica: opened");
      return;
    }
    if (slot.process->dead()) return;
    Count(absl::StrCat("replica: can't open: ", absl::StatusCodeToString(replica.status().code())));
    Trace(slot.name, " can't open: ", replica.status().ToString());
    const auto lives = [&](const Slot& one) { return &one != &slot && one.process != nullptr; };
    const bool alone = std::none_of(slots_.begin(), slots_.end(), lives);
    if (alone && !slot.failed_call && (absl::IsDataLoss(replica.status()) || absl::IsOutOfRange(replica.status()))) {
      Violate("availability", absl::StrCat(slot.name, " refuses the journal: ", replica.status().ToString()));
    }
  });
}

void Simulation::Close(Slot& slot) {
  Trace(slot.name, " ends");
  Count("process: ended in good order");
  const uint64_t number = slot.number;
  RunIn(slot, [&slot] {
    slot.replica.reset();
    slot.reader.reset();
  });
  slot.leads = false;
  slot.last.reset();
  slot.sample.reset();
  slot.stepped_down_ns.reset();
  history_.Forget(number);
}

void Simulation::Poll(Slot& slot) {
  RunIn(slot, [&slot] { slot.replica->Poll().IgnoreError(); });
}

void Simulation::Submit(Slot& slot) {
  const uint64_t count = random_.OneIn(4) ? 2 + random_.Below(12) : 1;
  const uint64_t first = history_.Invoke(count);
  std::vector<std::string> commands;
  for (uint64_t i = 0; i < count; ++i) commands.push_back(CommandLog::Make(first + i, random_.Below(55)));
  RunIn(slot, [this, &slot, first, before_ns = clock_.MonotonicNanos(), commands = std::move(commands)] {
    using Executed = SimulatedReplica::Executed;
    absl::StatusOr<std::vector<Executed>> done = slot.replica->SubmitBatch(commands);
    const bool dead = slot.process->dead();
    if (!dead && done.ok()) CheckStamp(slot, before_ns);
    for (uint64_t i = 0; i < commands.size(); ++i) {
      if (dead || absl::IsAborted(done.status())) {
        history_.Unknown(first + i);
      } else if (done.ok()) {
        history_.Acknowledged(first + i, (*done)[i].position, (*done)[i].result);
        ++report_.commands;
      } else {
        history_.Refused(first + i);
      }
    }
    if (dead) return;
    Trace(slot.name, " takes ", commands.size(), " command(s) from ", first,
          " on: ", done.ok() ? done->back().position.ToString() : done.status().ToString());
    if (done.ok()) slot.last = done->back().position;
    if (!done.ok()) Count(absl::StrCat("command: ", absl::StatusCodeToString(done.status().code())));
    const absl::StatusCode code = done.status().code();
    if (!done.ok() && code != absl::StatusCode::kAborted && code != absl::StatusCode::kResourceExhausted &&
        code != absl::StatusCode::kFailedPrecondition && slot.replica->role() != Role::kStopped) {
      Violate("I10", absl::StrCat("a command is neither taken nor refused: ", done.status().ToString()));
    }
  });
}

void Simulation::Sync(Slot& slot) {
  if (!slot.last) return;
  RunIn(slot, [this, &slot, last = *slot.last] {
    const absl::Status status = slot.replica->WaitFor(last, Ack::kSynced, absl::InfiniteDuration());
    if (slot.process->dead()) return;
    Trace(slot.name, " has synced up to ", last.ToString(), ": ", status.ToString());
    Count(status.ok() ? "sync: acknowledged" : "sync: not acknowledged");
    if (status.ok()) history_.Synced(last);
    // Who asks again must not be told that it lasts.
    if (!status.ok() && slot.replica->WaitFor(last, Ack::kSynced, absl::InfiniteDuration()).ok() &&
        !slot.process->dead()) {
      history_.Synced(last);
    }
  });
}

void Simulation::TakeSnapshot(Slot& slot) {
  RunIn(slot, [this, &slot] {
    const absl::StatusOr<Position> taken = slot.replica->TakeSnapshot();
    if (slot.process->dead()) return;
    Trace(slot.name, " takes a snapshot: ", taken.ok() ? taken->ToString() : taken.status().ToString());
    Count(taken.ok() ? "snapshot: taken" : "snapshot: not taken");
  });
}

void Simulation::StepDown(Slot& slot) {
  const Successor successor = random_.OneIn(2) ? Successor::kAnybody : Successor::kStandby;
  RunIn(slot, [this, &slot, successor] {
    const absl::Status status = slot.replica->StepDown(successor);
    if (slot.process->dead()) return;
    Trace(slot.name, " steps down: ", status.ToString());
    if (!status.ok()) return;
    Count("replica: stepped down");
    slot.stepped_down_ns = clock_.MonotonicNanos();
    slot.stepped_down_from = slot.replica->applied().epoch;
  });
}

// What a client did on the primary it finds on any replica that says so.
void Simulation::ReadAtLast(Slot& slot) {
  if (history_.size() == 0) return;
  const size_t index = random_.Below(history_.size());
  const bool stays = index < history_.must_stay();
  RunIn(slot, [this, &slot, stays, wanted = history_.log()[index]] {
    const auto has = slot.replica->ReadAt(wanted.position, absl::ZeroDuration(), [&](const CommandLog& log) {
      return std::any_of(log.commands.begin(), log.commands.end(),
                         [&](const AppliedCommand& one) { return one.id == wanted.id; });
    });
    if (slot.process->dead() || !has.ok()) return;
    Count("read: at a position");
    // Another frame may stand there. Or the replica may not know yet that what it has is lost.
    if (!*has && (stays || !history_.may_lose()) && slot.doubts == sync_failures_) {
      Violate("reads", absl::StrCat(slot.name, " has applied ", wanted.position.ToString(),
                                    ", and does not have command ", wanted.id));
    }
  });
}

void Simulation::OpenReader(Slot& slot) {
  slot.number = ++processes_;
  slot.process = std::make_unique<SimulatedProcess>(
      *disk_, slot.number, [this, &slot](const SimulatedProcess::Call& call) { return OnCall(slot, call); });
  RunIn(slot, [this, &slot] {
    absl::StatusOr<RegisteredReader> reader =
        RegisteredReader::Open(*slot.process, layout_, slot.name, TextCodec::kDataFormat);
    if (slot.process->dead() || !reader.ok()) return;
    const Position done = reader->cursor().position();
    Trace(slot.name, " registers: done with ", done.ToString(), ", ", reader->status().ToString());
    const bool lost = slot.losses != losses_;
    if (slot.registered && !slot.resets && (done.seq > slot.done.seq || (!lost && done != slot.done))) {
      Violate("P7",
              absl::StrCat(slot.name, " was done with ", slot.done.ToString(), ", its cursor says ", done.ToString()));
    }
    if (slot.registered && reader->cursor().is_new()) Violate("P7", absl::StrCat(slot.name, " has lost its cursor"));
    slot.done = done;
    slot.next = done.seq + 1;
    slot.registered = true;
    slot.resets = false;
    slot.losses = losses_;
    slot.reader = std::make_unique<RegisteredReader>(*std::move(reader));
    Count("reader: registered");
    // A power failure may have taken the frame that it was done with.
    const bool gone = absl::IsOutOfRange(slot.reader->status());
    if (gone && !lost && !slot.displaced && retain_bytes_max_ == 0) {
      Violate("P7", absl::StrCat(slot.name, " has lost its place: ", slot.reader->status().ToString()));
    }
    // Whatever the power took: a cursor holds the journal from where it stands on the device.
    const absl::StatusOr<Position> before = BeforeFirstKept(*disk_, layout_);
    if (before.ok() && before->seq > done.seq && !slot.displaced && retain_bytes_max_ == 0) {
      Violate("P7", absl::StrCat(slot.name, " is done with ", done.ToString(), ", the journal begins after seq ",
                                 before->seq));
    }
    // Why it can't read yet may hide that.
    slot.displaced = gone || (lost && !slot.reader->status().ok());
  });
}

void Simulation::ReadSome(Slot& slot) {
  RunIn(slot, [this, &slot, frames = random_.Below(40), done = random_.OneIn(2)] {
    Position last;
    for (uint64_t i = 0; i < frames && !over(); ++i) {
      const std::optional<Frame> frame = slot.reader->Next();
      if (slot.process->dead()) return;
      if (!frame) break;
      last = frame->position();
      if (last.seq != slot.next) {
        Violate("P7", absl::StrCat(slot.name, " is given ", last.ToString(), ", the next one was seq ", slot.next));
      }
      slot.next = last.seq + 1;
      Count("reader: read");
      if (frame->kind() != FrameKind::kCommand) continue;
      history_.Read(
          {.position = last, .id = CommandLog::IdOf(AsText(frame->payload)), .time_ns = frame->header.time_ns},
          slot.name);
    }
    if (last.seq != 0 && done) {
      const absl::Status status = slot.reader->Done(last);
      slot.done = last;
      if (!status.ok() && retain_bytes_max_ == 0) {
        Violate("P7", absl::StrCat(slot.name, " has lost its place: ", status.ToString()));
      }
    }
    if (!absl::IsOutOfRange(slot.reader->status())) return;
    if (!slot.displaced && retain_bytes_max_ == 0) {
      Violate("P7", absl::StrCat(slot.name, " has lost its place: ", slot.reader->status().ToString()));
    }
    slot.displaced = true;
    StartReaderOver(slot);
  });
}

// From the state of some replica, which gives its position with it.
void Simulation::StartReaderOver(Slot& slot) {
  for (Slot& other : slots_) {
    if (other.is_reader || !other.free() || other.replica == nullptr) continue;
    const Position applied = other.replica->applied();
    if (applied.seq == 0) continue;
    slot.resets = true;
    const absl::Status reset = slot.reader->Reset(applied);
    if (slot.process->dead()) return;
    slot.resets = false;
    Count("reader: started over");
    Trace(slot.name, " starts over after ", applied.ToString(), ": ", reset.ToString());
    slot.done = slot.reader->cursor().position();
    slot.next = slot.done.seq + 1;
    slot.losses = losses_;
    slot.displaced = !reset.ok();
    return;
  }
}

}  // namespace kekbit
