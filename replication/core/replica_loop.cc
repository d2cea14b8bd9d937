// The threads of a replica, or what does their work in Poll(): ReplicaCore's loops.

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "kekbit/base/backoff.h"
#include "kekbit/base/current_exception.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/base/type_name.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/recovery/give_back.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Pauses between two looks of a spinning follower: some 100 ns.
constexpr int kSpinPauses = 4;
// Number of these looks after which a follower also looks at the clock.
constexpr uint32_t kSpinsPerTick = 1024;

// Limits of a sleep of the loop, which is woken for frames and by the lease's watch. Neither may
// come where there is no open segment: the primary may have gone without dying. Then the loop looks
// by itself, less and less often.
constexpr absl::Duration kSleepMin = absl::Milliseconds(1);
constexpr absl::Duration kSleepMax = absl::Milliseconds(100);
constexpr absl::Duration kSleepWatched = absl::Seconds(1);

// Period at which a replica checks that its journal is still in its place.
constexpr absl::Duration kLookForNames = absl::Seconds(1);

}  // namespace

bool ReplicaCore::Follow() {
  if (pending_.empty()) pending_ = reader_.NextBatch();
  if (pending_.empty() && reader_.status().ok()) return false;
  absl::MutexLock lock(&mutex_);
  // This replica applies its own appends itself: it may have become primary, or ceased to be, just
  // now.
  if (standing_.board.role() != Role::kFollower || standing_.rejoins || standing_.saving.held) return false;
  const absl::Span<const Frame> frames = std::exchange(pending_, {});
  if (!frames.empty()) {
    const Epoch epoch_before = standing_.applied.epoch;
    if (absl::Status status = Apply(frames); ABSL_PREDICT_FALSE(!status.ok())) {
      standing_.Stop(status);
      return false;
    }
    // Another replica leads: the watched one may have stepped down, and live on.
    if (standing_.applied.epoch != epoch_before) env_->lease_event.Signal();
    standing_.followed = reader_.last();
    standing_.clock.Follow(standing_.followed.time_ns, !starting_);
    for (const Frame& frame : frames) standing_.followed_bytes += RecordBytes(kFrameHeaderBytes + frame.payload.size());
    env_->stats->SetApplied(standing_.applied, standing_.followed.time_ns, reader_.segment(), reader_.offset());
  }
  const absl::Status& status = reader_.status();
  if (status.ok() && IsTransient(standing_.board.status()))
    standing_.board.SetStatus(absl::OkStatus());  // it has passed
  if (status.ok()) return true;
  if (IsTransient(status)) {
    standing_.board.Note(status, "the journal can't be read, it is tried again");
  } else if (!starting_ && !env_->lease_held && !absl::IsOutOfRange(status) && !absl::IsNotFound(status)) {
    // The holder of the lease may yet mend it.
    standing_.Stop(status);
  }
  return false;
}

absl::Status ReplicaCore::Apply(absl::Span<const Frame> frames) {
  if (frames.front().kind() != FrameKind::kCommand) {
    standing_.applied = frames.front().position();
    return absl::OkStatus();
  }
  for (;;) {
    // Frames whose time is not taken go together.
    const size_t together = env_->stats->PassUnsampled(frames.size());
    if (together > 0) KB_RETURN_IF_ERROR(env_->hooks.apply(frames.first(together), standing_.applied));
    frames.remove_prefix(together);
    if (frames.empty()) return absl::OkStatus();
    const int64_t start = env_->stats->StartSample();
    KB_RETURN_IF_ERROR(env_->hooks.apply(frames.first(1), standing_.applied));
    env_->stats->AddApply(start);
    frames.remove_prefix(1);
  }
}

void ReplicaCore::EndForException(absl::string_view function, Position position, const std::type_info& command) {
  const std::string text = absl::StrCat(
      env_->options.directory, ": ", function, "() of the command at ", position.ToString(), ", a ", TypeName(command),
      ", threw ", CurrentExceptionType(), ": ", CurrentExceptionWhat(),
      ". The process ends, and so does every replica that comes to this command. If no build can apply it, go on "
      "without it and all that follows: kekbit repair ",
      env_->options.directory, " --lose-from ", position.seq, " --apply");
  env_->stats->SetError(absl::InternalError(text));
  LogLast(env_->options.logger, text);
  std::terminate();
}

bool ReplicaCore::PlaceIsGone() {
  const absl::Status& status = reader_.status();
  if (absl::IsOutOfRange(status)) return true;
  if (!absl::IsNotFound(status)) return false;
  // A segment was trimmed between two looks: the next looks tell.
  const absl::Status again = reader_.LookAgain();
  return !again.ok() && !IsTransient(again);
}

bool ReplicaCore::Rejoin() {
  Position applied;
  {
    absl::MutexLock lock(&mutex_);
    if (!standing_.rejoins || standing_.board.role() != Role::kFollower)
      return standing_.board.role() == Role::kFollower;
    applied = standing_.applied;
  }
  if (Planted(PlantedBug::kAppliedTwice) && applied.seq > 1) --applied.seq;
  // The state holds exactly the frames up to there: this replica never applied what it appended
  // after them.
  absl::StatusOr<JournalReader> reader = JournalReader::Open(env_->fs(), env_->layout, env_->content, applied.seq + 1);
  absl::MutexLock lock(&mutex_);
  if (!reader.ok()) {
    if (IsTransient(reader.status()) || absl::IsNotFound(reader.status())) {
      standing_.board.Note(reader.status(), "the journal can't be read, it is tried again");
    } else {
      standing_.Stop(reader.status());
    }
    return false;
  }
  reader_ = *std::move(reader);
  pending_ = {};
  standing_.followed = reader_.last();
  standing_.rejoins = false;
  return true;
}

void ReplicaCore::RunLoop() {
  while (!env_->stopping) {
    switch (role()) {
      case Role::kFollower: {
        absl::MutexLock drive(&drive_mutex_);
        RunFollower();
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

void ReplicaCore::RunFollower() {
  Backoff backoff;
  uint32_t spins = 0;
  while (!env_->stopping && role() == Role::kFollower) {
    if (!Rejoin()) {
      sleep_ = kSleepMin;
      Sleep();
      continue;
    }
    if (Follow()) {
      backoff.Reset();
      sleep_ = kSleepMin;
      continue;
    }
    if (PlaceIsGone()) StartOver().IgnoreError();
    if (StopIfPoisoned()) return;
    if (env_->lease_held || reader_.at_segment_end()) TryTakeOver();
    if (env_->options.wait == Wait::kSpin) {
      // Pause shortly, so that the primary keeps the cache line that it writes to. A longer pause
      // would be lag.
      for (int i = 0; i < kSpinPauses; ++i) SpinPause();
      if (++spins % kSpinsPerTick == 0) LookForJournal();
    } else if (!backoff.completed()) {
      backoff.Pause();
    } else {
      LookForJournal();
      Sleep();
    }
  }
}

void ReplicaCore::Sleep() {
  const uint32_t ticket = env_->wake.Prepare();
  if (Follow() || env_->stopping || (env_->lease_held && failover_.next_try_ns == 0)) return;
  const bool watched = !reader_.at_segment_end() && !env_->lease_held;
  sleep_ = watched ? kSleepWatched : std::clamp(sleep_ * 2, kSleepMin, kSleepMax);
  // A takeover is due then.
  if (env_->lease_held) {
    sleep_ = absl::Nanoseconds(std::max<int64_t>(failover_.next_try_ns - env_->MonotonicNanos(), 0));
  }
  env_->wake.Wait(ticket, sleep_);
}

void ReplicaCore::LookForJournal() {
  const int64_t now = env_->MonotonicNanos();
  if (now < journal_looked_ns_ + absl::ToInt64Nanoseconds(kLookForNames)) return;
  journal_looked_ns_ = now;
  StopIfGone();
}

bool ReplicaCore::StopIfGone() {
  const absl::StatusOr<bool> named = env_->epochs.IsNamed(env_->fs());
  if (!named.ok() || *named) return false;  // a failed look proves nothing
  absl::MutexLock lock(&mutex_);
  standing_.Stop(
      absl::AbortedError(absl::StrCat(env_->options.directory, ": the journal was moved, replaced or deleted")));
  return true;
}

void ReplicaCore::StopIfMoved() {
  const int64_t now = env_->MonotonicNanos();
  if (now < named_looked_ns_ + absl::ToInt64Nanoseconds(kLookForNames)) return;
  named_looked_ns_ = now;
  const absl::StatusOr<bool> epochs_named = env_->epochs.IsNamed(env_->fs());
  const absl::StatusOr<bool> lease_named = standing_.reign.LeaseIsNamed(env_->fs());
  if (const absl::StatusOr<bool> named = standing_.reign.writer().IsNamed(); named.ok() && !*named) {
    standing_.Stop(absl::AbortedError(absl::StrCat(env_->layout.segment(standing_.reign.writer().segment()),
                                                   ": the segment was moved, replaced or deleted")));
    return;
  }
  // A failed look proves nothing.
  if (!epochs_named.ok() || !lease_named.ok() || (*epochs_named && *lease_named)) return;
  if (*epochs_named) {
    // The lock of a file that nobody else can find keeps nobody away.
    env_->LogError(absl::AbortedError(absl::StrCat(env_->layout.lease(), ": was replaced or deleted")),
                   "no longer primary");
    standing_.LeaveLease();
    standing_.EndReign();
  } else {
    standing_.Stop(
        absl::AbortedError(absl::StrCat(env_->options.directory, ": the journal was moved, replaced or deleted")));
  }
}

void ReplicaCore::LookAtClocks() {
  standing_.clock.Look();
  env_->mark.SetJournalLine(standing_.clock.Line(), env_->boot_clock);
}

void ReplicaCore::Tick() {
  std::shared_ptr<GroupCommit> commit;
  ClosedSegment closed;
  {
    absl::MutexLock lock(&mutex_);
    if (standing_.board.role() != Role::kPrimary) return;
    StopIfMoved();
    if (standing_.board.role() != Role::kPrimary) return;
    LookAtClocks();
    commit = standing_.reign.commit();
    closed = standing_.reign.TakeClosed();
  }
  if (closed.number != 0) {
    // Leave as it is what fails now, or can't be done on this file system.
    GiveBackSpace(env_->fs(), env_->layout, closed.number, closed.position).IgnoreError();
  }
  const bool enough = space_.enough();
  space_.Look(env_->fs(), env_->options.directory, env_->MonotonicNanos()).IgnoreError();
  if (enough != space_.enough()) {
    Log(env_->options.logger, LogSeverity::kWarning,
        enough ? space_.Refusal(env_->options.directory).message()
               : absl::string_view(absl::StrCat(env_->options.directory, ": there is room on the disk again")));
  }
  // Nobody may wait for what is due, and it shall not gather. A sync that fails stops this replica.
  commit->SyncDue().IgnoreError();
}

absl::Status ReplicaCore::Poll() {
  if (env_->options.threads) return absl::FailedPreconditionError("Poll() is for a replica without threads of its own");
  {
    absl::MutexLock drive(&drive_mutex_);
    if (role() == Role::kFollower && Rejoin()) {
      while (Follow()) {
      }
      if (PlaceIsGone()) StartOver().IgnoreError();
      LookForJournal();
      if (!StopIfPoisoned()) TryTakeOver();
    }
  }
  lease_watch_.Beat();
  Tick();
  snapshots_.TakeDue();
  ReportRole();
  return status();
}

}  // namespace kekbit
