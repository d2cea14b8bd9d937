// How a replica becomes primary: ReplicaCore's takeover.

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/failover.h"
#include "kekbit/replication/core/follower.h"
#include "kekbit/replication/core/lease_watch.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/recovery/recovery.h"
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

void ReplicaCore::TryTakeOver() {
  if (!options_.may_lead || role() != Role::kFollower) return;
  const int64_t now = env_->MonotonicNanos();
  const FailoverStep next = NextStep(follower_->failover(), env_->lease_held, now);
  if (next == FailoverStep::kWait) return;
  if (next == FailoverStep::kAskForLease) {
    if (!lease_watch_->AcquireLease()) return;
    NoteLease(follower_->failover());
  }
  if (follower_->StopIfPoisoned()) return;
  // The lease may be that of another journal, which somebody put into the place of ours.
  if (follower_->StopIfGone()) return;
  {
    // Whoever saves the state looks for this, and ends within moments.
    absl::MutexLock lock(&mutex_);
    standing_->saving.Cancel();
    if (standing_->saving.held) return;
  }
  if (const absl::Status status = BecomePrimary(); !status.ok()) TakeoverFailed(status, now);
}

void ReplicaCore::TakeoverFailed(const absl::Status& status, int64_t begun_ns) {
  absl::MutexLock lock(&mutex_);
  const TakeoverFailure failure = {
      .why = status, .is_transient = IsTransient(status), .newest = env_->epochs.current()};
  switch (AfterFailure(follower_->failover(), failure, begun_ns)) {
    case FailoverStep::kGiveUpLease:
      standing_->board.Note(absl::UnavailableError(status.message()),
                            "another replica has taken over meanwhile, this one follows");
      standing_->reign.DropLease();
      env_->lease_held = false;
      follower_->ForgetSettled();
      break;
    case FailoverStep::kTryAgain:
      standing_->board.Note(status, "can't become primary, it is tried again");
      break;
    default:
      if (standing_->board.role() != Role::kStopped) standing_->Stop(status);
  }
}

absl::Status ReplicaCore::BecomePrimary() {
  Lap lap(*options_.clock);
  TakeoverReport report;
  // Before Recover(), which says that the mark is of this start of the machine.
  const std::optional<int64_t> line = env_->mark.journal_line(env_->boot_clock);
  if (!follower_->settled()) {
    KB_RETURN_IF_ERROR(follower_->Settle(LastWriter()));
    // The epoch must be above those of all frames.
    while (follower_->Follow()) {
    }
  }
  if (NeedsEpoch(follower_->failover(), env_->epochs.current())) {
    follower_->failover().reign_before = env_->epochs.current();
    KB_ASSIGN_OR_RETURN(follower_->failover().granted, env_->epochs.Grant(follower_->reader().last().position.epoch));
  }
  while (follower_->Follow()) {
  }
  if (role() == Role::kStopped) return status();
  report.drained = lap();
  KB_ASSIGN_OR_RETURN(const RecoveryOutcome outcome, Recover());
  report.epoch = follower_->failover().granted;
  report.follows = follower_->reader().last().position.seq;
  report.recovered = lap();
  KB_ASSIGN_OR_RETURN(std::shared_ptr<GroupCommit> commit, MakeCommit(outcome.synced));
  if (options_.ack == Ack::kSynced) KB_RETURN_IF_ERROR(commit->Sync());
  report.synced = lap();
  int64_t begin_ns = 0;
  SegmentPreparer* preparer = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    begin_ns = standing_->clock.Begin(follower_->reader().last().time_ns, line);
    preparer = standing_->preparer.get();
  }
  JournalWriterOptions options = {.file_system = options_.file_system,
                                  .layout = env_->layout,
                                  .data_format = env_->content.data_format.value(),
                                  .state_name = env_->content.state,
                                  .segment_bytes = options_.segment_bytes,
                                  .synced = options_.ack == Ack::kSynced,
                                  .preparer = preparer,
                                  .commit = commit.get()};
  ChainLink tail = follower_->reader().last();
  if (Planted(PlantedBug::kTimeGoesBack)) tail.time_ns = 0;
  KB_ASSIGN_OR_RETURN(JournalWriter writer,
                      JournalWriter::Begin(std::move(options), env_->epochs, follower_->failover().granted, tail,
                                           outcome.next_segment, begin_ns));
  report.first_append = lap();
  absl::MutexLock lock(&mutex_);
  report.lease = standing_->claim.waited;
  standing_->applied = writer.last().position;
  env_->stats->SetPublished(standing_->applied, writer.last().time_ns);
  ClosedSegment closed;
  if (follower_->reader().segment() + 1 == outcome.next_segment) {
    closed = {.number = follower_->reader().segment(), .position = follower_->reader().offset()};
  }
  standing_->board.SetStatus(absl::OkStatus());
  env_->mark.SetJournalLine(standing_->clock.Line(), env_->boot_clock);
  standing_->reign.Begin(std::move(writer), std::move(commit), closed);
  standing_->board.SetRole(Role::kPrimary, standing_->applied, report);
  NoteReign(follower_->failover());
  return absl::OkStatus();
}

WriterIs ReplicaCore::LastWriter() {
  absl::MutexLock lock(&mutex_);
  const bool dead = HolderWasWriter(standing_->claim, follower_->failover(), env_->epochs.current());
  return dead ? WriterIs::kDead : WriterIs::kAsLocked;
}

absl::StatusOr<RecoveryOutcome> ReplicaCore::Recover() {
  RecoveryOptions options;
  options.sync = options_.ack == Ack::kSynced;
  options.clock = options_.clock;
  options.writer = LastWriter();
  {
    absl::MutexLock lock(&mutex_);
    if (!standing_->recovery.snapshot.empty()) {
      options.known.push_back({.seq = standing_->recovery.snapshot_seq,
                               .what = absl::StrCat("the snapshot ", standing_->recovery.snapshot)});
    }
  }
  for (;;) {
    while (follower_->Follow()) {
    }
    if (role() == Role::kStopped) return status();
    if (IsTransient(follower_->reader().status())) return follower_->reader().status();
    KB_ASSIGN_OR_RETURN(const RecoveryOutcome outcome,
                        RecoverTail(env_->fs(), env_->layout, follower_->reader(), env_->mark, options));
    if (outcome.torn) {
      env_->Say(LogSeverity::kWarning, outcome.why);
    }
    absl::MutexLock lock(&mutex_);
    AddToReport(outcome, standing_->recovery);
    if (outcome.read_on) continue;
    follower_->ForgetSettled();
    return outcome;
  }
}

absl::StatusOr<std::shared_ptr<GroupCommit>> ReplicaCore::MakeCommit(bool all_synced) {
  FileSystem& fs = env_->fs();
  GroupCommit::Options options;
  options.file_system = &fs;
  options.clock = options_.clock;
  options.layout = env_->layout;
  options.mark = &env_->mark;
  options.epoch = follower_->failover().granted;
  options.synced = std::min(env_->mark.synced(), follower_->reader().last().position.seq);
  options.on_error = [this, epoch = follower_->failover().granted](const absl::Status& error) {
    OnSyncError(epoch, error);
  };
  options.on_sync = [this](Seq synced, uint64_t frames, int64_t nanos) { env_->stats->AddSync(synced, frames, nanos); };
  if (Planted(PlantedBug::kInheritedCountsAsSynced)) options.synced = follower_->reader().last().position.seq;
  options.on_put_off = [this](const absl::Status& why) { OnSyncPutOff(why); };
  options.published = follower_->reader().last().position.seq;
  if (!all_synced) {
    KB_ASSIGN_OR_RETURN(options.unsynced, FindUnsynced(fs, env_->layout, options.synced));
  }
  return std::make_shared<GroupCommit>(std::move(options));
}

void ReplicaCore::OnSyncPutOff(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  standing_->board.LogNowAndThen(why, "a sync could not be made, it is tried again");
}

void ReplicaCore::OnSyncError(Epoch epoch, const absl::Status& error) {
  absl::MutexLock lock(&mutex_);
  if (standing_->reign.commit() == nullptr || standing_->reign.commit()->epoch() != epoch ||
      standing_->board.role() == Role::kStopped) {
    return;
  }
  standing_->Stop(error);
}

absl::Status ReplicaCore::FindStandby() const {
  for (const ReplicaFacts& other : ReadLivingReplicas(env_->fs(), env_->layout)) {
    if (other.stands_by()) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(options_.directory, ": there is no standby, so nobody would lead: no other living replica that may ",
                   "lead is seen in ", env_->layout.replicas()));
}

absl::Status ReplicaCore::StepDown(Successor successor) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    if (standing_->board.role() != Role::kPrimary) return standing_->board.NotPrimary();
    commit = standing_->reign.commit();
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
    if (standing_->board.role() != Role::kPrimary) return standing_->board.NotPrimary();
    standing_->LeaveLease();
    standing_->EndReign();
  }
  env_->wake.Notify();
  ReportRole();
  return absl::OkStatus();
}

}  // namespace kekbit
