// The threads of a replica, or what does their work in Poll(): ReplicaCore's loops.

#include <exception>
#include <memory>
#include <string>
#include <typeinfo>

#include "absl/strings/str_cat.h"
#include "kekbit/base/type_name.h"
#include "kekbit/replication/core/archive_copier.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/follower.h"
#include "kekbit/replication/core/lease_watch.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/core/snapshot_taker.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/recovery/give_back.h"

namespace kekbit {
namespace {

// Period at which a replica checks that its journal is still in its place.
constexpr absl::Duration kLookForNames = absl::Seconds(1);

}  // namespace

void ReplicaCore::EndForException(absl::string_view function, Position position, const std::type_info& command) {
  const std::string text = absl::StrCat(
      options_.directory, ": ", function, "() of the command at ", position.ToString(), ", a ", TypeName(command),
      ", threw ", CurrentExceptionType(), ": ", CurrentExceptionWhat(),
      ". The process ends, and so does every replica that comes to this command. If no build can apply it, go on "
      "without it and all that follows: kekbit repair ",
      options_.directory, " --lose-from ", position.seq, " --apply");
  env_->stats->SetError(absl::InternalError(text));
  LogLast(options_.logger, text);
  std::terminate();
}

void ReplicaCore::RunLoop() {
  while (!env_->stopping) {
    switch (role()) {
      case Role::kFollower: {
        absl::MutexLock drive(&drive_mutex_);
        follower_->Run([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) { TryTakeOver(); });
        break;
      }
      case Role::kPrimary:
        Tick();
        // This is not a condition of mutex_: each command would have to look at that.
        env_->loop_event.Wait(kTickEvery);
        break;
      case Role::kStopped:
        ReportRole();
        return;
    }
    ReportRole();
  }
}

void ReplicaCore::StopIfMoved() {
  const int64_t now = env_->MonotonicNanos();
  if (now < named_looked_ns_ + absl::ToInt64Nanoseconds(kLookForNames)) return;
  named_looked_ns_ = now;
  const absl::StatusOr<bool> epochs_named = env_->epochs.IsNamed(env_->fs());
  const absl::StatusOr<bool> lease_named = standing_->reign.LeaseIsNamed(env_->fs());
  if (const absl::StatusOr<bool> named = standing_->reign.writer().IsNamed(); named.ok() && !*named) {
    standing_->Stop(absl::AbortedError(absl::StrCat(env_->layout.segment(standing_->reign.writer().segment()),
                                                    ": the segment was moved, replaced or deleted")));
    return;
  }
  // A failed look proves nothing.
  if (!epochs_named.ok() || !lease_named.ok() || (*epochs_named && *lease_named)) return;
  if (*epochs_named) {
    // The lock of a file that nobody else can find keeps nobody away.
    env_->LogError(absl::AbortedError(absl::StrCat(env_->layout.lease(), ": was replaced or deleted")),
                   "no longer primary");
    standing_->LeaveLease();
    standing_->EndReign();
  } else {
    standing_->Stop(
        absl::AbortedError(absl::StrCat(options_.directory, ": the journal was moved, replaced or deleted")));
  }
}

void ReplicaCore::LookAtClocks() {
  standing_->clock.Look();
  env_->mark.SetJournalLine(standing_->clock.Line(), env_->boot_clock);
}

void ReplicaCore::Tick() {
  std::shared_ptr<GroupCommit> commit;
  ClosedSegment closed;
  {
    absl::MutexLock lock(&mutex_);
    if (standing_->board.role() != Role::kPrimary) return;
    StopIfMoved();
    if (standing_->board.role() != Role::kPrimary) return;
    // By a standby, whose sync failed.
    if (const SegmentNumber poisoned = env_->mark.poisoned(); poisoned != 0) return standing_->StopPoisoned(poisoned);
    LookAtClocks();
    commit = standing_->reign.commit();
    closed = standing_->reign.TakeClosed();
  }
  if (closed.number != 0) {
    // Leave as it is what fails now, or can't be done on this file system.
    GiveBackSpace(env_->fs(), env_->layout, closed.number, closed.position).IgnoreError();
  }
  const bool enough = env_->space.enough();
  env_->space.Look(env_->fs(), options_.directory, env_->MonotonicNanos()).IgnoreError();
  if (enough != env_->space.enough()) {
    Log(options_.logger, LogSeverity::kWarning,
        enough ? env_->space.Refusal(options_.directory).message()
               : absl::string_view(absl::StrCat(options_.directory, ": there is room on the disk again")));
  }
  // Nobody may wait for what is due, and it shall not gather. A sync that fails stops this replica.
  commit->SyncDue().IgnoreError();
}

absl::Status ReplicaCore::Poll() {
  if (options_.threads) return absl::FailedPreconditionError("Poll() is for a replica without threads of its own");
  {
    absl::MutexLock drive(&drive_mutex_);
    follower_->RunOnce([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) { TryTakeOver(); });
  }
  lease_watch_->Beat();
  Tick();
  snapshots_->TakeDue();
  archive_->CopyDue();
#ifndef NDEBUG
  {
    absl::MutexLock lock(&mutex_);
    standing_->CheckInvariants();
  }
#endif
  ReportRole();
  return status();
}

}  // namespace kekbit
