// How a replica becomes primary: ReplicaCore's takeover.

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// The time since the last call, or since it was made.
class Lap final {
 public:
  explicit Lap(const Clock& clock) : clock_(clock), last_(clock.MonotonicNanos()) {}
  absl::Duration operator()() {
    const int64_t before = std::exchange(last_, clock_.MonotonicNanos());
    return absl::Nanoseconds(last_ - before);
  }

 private:
  const Clock& clock_;
  int64_t last_;
};

}  // namespace

bool ReplicaCore::AcquireLease(const std::optional<ProcessId>& dead) {
  const Asked asked = AskForLease(dead);
  if (asked == Asked::kHeld) LookForObstacle();
  return asked == Asked::kTaken;
}

void ReplicaCore::LookForObstacle() {
  const absl::Status found = obstacle_.Look(*options_.file_system, layout_.lease(), options_.clock->MonotonicNanos());
  absl::MutexLock lock(&mutex_);
  if (role_ != Role::kFollower || lease_) return;
  status_ = unkillable_;
  if (!found.ok()) Note(found, "can't take the lease, it is tried again");
}

ReplicaCore::Asked ReplicaCore::AskForLease(const std::optional<ProcessId>& dead) {
  absl::MutexLock lock(&mutex_);
  if (lease_) return Asked::kTaken;
  // A stopped replica must leave the lease to those that can go on.
  if (role_ != Role::kFollower) return Asked::kFailed;
  const int64_t now = options_.clock->MonotonicNanos();
  if (LeavesLease(claim_, epochs_.current(), now)) return Asked::kFailed;
  absl::StatusOr<std::optional<Lease>> lease = dead ? Lease::Succeed(*options_.file_system, layout_.lease(), *dead)
                                                    : Lease::TryAcquire(*options_.file_system, layout_.lease());
  if (!lease.ok()) {
    // Unavailable: somebody else was at it.
    if (!absl::IsUnavailable(lease.status())) Note(lease.status(), "can't ask for the lease, it is tried again");
    return Asked::kFailed;
  }
  if (!*lease) return Asked::kHeld;
  status_ = absl::OkStatus();
  lease_ = std::move(*lease);
  claim_.succeeded = lease_->succeeded().value_or(0);
  lease_->Beat(now);
  claim_.waited = claim_.holder_gone_ns == 0
                      ? absl::ZeroDuration()
                      : absl::Nanoseconds(options_.clock->MonotonicNanos() - claim_.holder_gone_ns);
  claim_.holder_gone_ns = 0;
  lease_held_ = true;
  events_.lease_watch.Signal();  // to say so, if it was not that thread
  return Asked::kTaken;
}

void ReplicaCore::TryTakeOver() {
  if (!options_.may_lead || role() != Role::kFollower) return;
  const int64_t now = options_.clock->MonotonicNanos();
  const FailoverStep next = NextStep(failover_, lease_held_, now);
  if (next == FailoverStep::kWait) return;
  if (next == FailoverStep::kAskForLease) {
    if (!AcquireLease()) return;
    NoteLease(failover_);
  }
  if (StopIfPoisoned()) return;
  // The lease may be that of another journal, which somebody put into the place of ours.
  if (StopIfGone()) return;
  {
    // Whoever saves the state looks for this, and ends within moments.
    absl::MutexLock lock(&mutex_);
    if (saver_ != nullptr) saver_->Cancel();
    if (saving_) return;
  }
  if (const absl::Status status = BecomePrimary(); !status.ok()) TakeoverFailed(status, now);
}

void ReplicaCore::TakeoverFailed(const absl::Status& status, int64_t begun_ns) {
  absl::MutexLock lock(&mutex_);
  const TakeoverFailure failure = {.why = status, .is_transient = IsTransient(status), .newest = epochs_.current()};
  switch (AfterFailure(failover_, failure, begun_ns)) {
    case FailoverStep::kGiveUpLease:
      Note(absl::UnavailableError(status.message()), "another replica has taken over meanwhile, this one follows");
      lease_.reset();
      lease_held_ = false;
      break;
    case FailoverStep::kTryAgain:
      Note(status, "can't become primary, it is tried again");
      break;
    default:
      if (role_ != Role::kStopped) Stop(status);
  }
}

absl::Status ReplicaCore::BecomePrimary() {
  Lap lap(*options_.clock);
  TakeoverReport report;
  // Before Recover(), which says that the mark is of this start of the machine.
  const std::optional<int64_t> line = mark_.journal_line(boot_clock_);
  if (NeedsEpoch(failover_, epochs_.current())) {
    failover_.reign_before = epochs_.current();
    KB_ASSIGN_OR_RETURN(failover_.granted, epochs_.Grant(reader_.last().position.epoch));
  }
  while (Follow()) {
  }
  if (role() == Role::kStopped) return status();
  report.drained = lap();
  KB_ASSIGN_OR_RETURN(const RecoveryOutcome outcome, Recover());
  report.epoch = failover_.granted;
  report.follows = reader_.last().position.seq;
  report.recovered = lap();
  KB_ASSIGN_OR_RETURN(std::shared_ptr<GroupCommit> commit, MakeCommit(outcome.synced));
  if (options_.ack == Ack::kSynced) KB_RETURN_IF_ERROR(commit->Sync());
  report.synced = lap();
  int64_t begin_ns = 0;
  {
    absl::MutexLock lock(&mutex_);
    begin_ns = journal_clock_.Begin(reader_.last().time_ns, line);
  }
  JournalWriterOptions options = {.file_system = options_.file_system,
                                  .layout = layout_,
                                  .data_format = content_.data_format.value(),
                                  .state_name = content_.state,
                                  .segment_bytes = options_.segment_bytes,
                                  .synced = options_.ack == Ack::kSynced,
                                  .preparer = preparer_.get(),
                                  .commit = commit.get()};
  ChainLink tail = reader_.last();
  if (Planted(PlantedBug::kTimeGoesBack)) tail.time_ns = 0;
  KB_ASSIGN_OR_RETURN(JournalWriter writer, JournalWriter::Begin(std::move(options), epochs_, failover_.granted, tail,
                                                                 outcome.next_segment, begin_ns));
  report.first_append = lap();
  absl::MutexLock lock(&mutex_);
  report.lease = claim_.waited;
  applied_ = writer.last().position;
  stats_->SetPublished(applied_, writer.last().time_ns);
  if (reader_.segment() + 1 == outcome.next_segment) {
    closed_ = {.number = reader_.segment(), .position = reader_.offset()};
  }
  commit_ = std::move(commit);
  writer_.emplace(std::move(writer));
  status_ = absl::OkStatus();
  mark_.SetJournalLine(journal_clock_.Line(), boot_clock_);
  if (lease_) lease_->SetReign(failover_.granted);
  SetRole(Role::kPrimary, failover_.granted, report);
  NoteReign(failover_);
  return absl::OkStatus();
}

absl::StatusOr<RecoveryOutcome> ReplicaCore::Recover() {
  RecoveryOptions options;
  options.sync = options_.ack == Ack::kSynced;
  options.clock = options_.clock;
  {
    absl::MutexLock lock(&mutex_);
    if (HolderWasWriter(claim_, failover_)) options.writer = WriterIs::kDead;
    if (!recovery_.snapshot.empty()) {
      options.known.push_back(
          {.seq = recovery_.snapshot_seq, .what = absl::StrCat("the snapshot ", recovery_.snapshot)});
    }
  }
  for (;;) {
    while (Follow()) {
    }
    if (role() == Role::kStopped) return status();
    if (IsTransient(reader_.status())) return reader_.status();
    KB_ASSIGN_OR_RETURN(const RecoveryOutcome outcome,
                        RecoverTail(*options_.file_system, layout_, reader_, mark_, options));
    if (outcome.torn) {
      Log(options_.logger, LogSeverity::kWarning, absl::StrCat(options_.directory, ": ", outcome.why));
    }
    absl::MutexLock lock(&mutex_);
    recovery_.Add(outcome);
    if (!outcome.read_on) return outcome;
  }
}

absl::StatusOr<std::shared_ptr<GroupCommit>> ReplicaCore::MakeCommit(bool all_synced) {
  FileSystem& fs = *options_.file_system;
  GroupCommit::Options options;
  options.file_system = &fs;
  options.clock = options_.clock;
  options.layout = layout_;
  options.mark = &mark_;
  options.epoch = failover_.granted;
  options.synced = std::min(mark_.synced(), reader_.last().position.seq);
  options.on_error = [this, epoch = failover_.granted](const absl::Status& error) { OnSyncError(epoch, error); };
  options.on_sync = [this](Seq synced, uint64_t frames, int64_t nanos) { stats_->AddSync(synced, frames, nanos); };
  if (Planted(PlantedBug::kInheritedCountsAsSynced)) options.synced = reader_.last().position.seq;
  options.on_put_off = [this](const absl::Status& why) { OnSyncPutOff(why); };
  options.published = reader_.last().position.seq;
  if (!all_synced) {
    KB_ASSIGN_OR_RETURN(options.unsynced, FindUnsynced(fs, layout_, options.synced));
  }
  return std::make_shared<GroupCommit>(std::move(options));
}

void ReplicaCore::OnSyncPutOff(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  LogNowAndThen(why, "a sync could not be made, it is tried again");
}

void ReplicaCore::OnSyncError(Epoch epoch, const absl::Status& error) {
  absl::MutexLock lock(&mutex_);
  if (commit_ == nullptr || commit_->epoch() != epoch || role_ == Role::kStopped) return;
  Stop(error);
}

absl::Status ReplicaCore::FindStandby() const {
  for (const ReplicaFacts& other : ReadLivingReplicas(*options_.file_system, layout_)) {
    if (other.stands_by()) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(options_.directory, ": there is no standby, so nobody would lead: no other living replica that may ",
                   "lead is seen in ", layout_.replicas()));
}

absl::Status ReplicaCore::StepDown(Successor successor) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    if (role_ != Role::kPrimary) return NotPrimary();
    commit = commit_;
  }
  if (successor == Successor::kStandby) KB_RETURN_IF_ERROR(FindStandby());
  // Most of what the successor would have to sync, while commands are still taken.
  if (options_.ack == Ack::kSynced) {
    if (absl::Status synced = commit->Sync(); !synced.ok()) {
      ReportRole();
      return synced;
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    if (role_ != Role::kPrimary) return NotPrimary();
    LeaveLease();
    EndReign();
  }
  wake_.Notify();
  ReportRole();
  return absl::OkStatus();
}

bool ReplicaCore::StopIfPoisoned() {
  const SegmentNumber poisoned = mark_.poisoned();
  if (ABSL_PREDICT_TRUE(poisoned == poisoned_)) return false;
  poisoned_ = poisoned;
  if (poisoned == 0) return false;
  absl::MutexLock lock(&mutex_);
  Stop(
      absl::DataLossError(absl::StrCat(layout_.segment(poisoned), ": a sync of this segment failed; what memory shows ",
                                       "of it may not be on the disk: open the journal anew")));
  return true;
}

}  // namespace kekbit
