#include "kekbit/replication/core/replica_core.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/free_space.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/header.h"
#include "kekbit/replication/core/archive_copier.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/follower.h"
#include "kekbit/replication/core/lease_watch.h"
#include "kekbit/replication/core/snapshot_taker.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/segment_preparer.h"
#include "kekbit/replication/journal/segment_size.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/recovery/start.h"
#include "kekbit/replication/stats/replica_stats.h"

namespace kekbit {
namespace {

// Looks, a millisecond apart, of a starting replica that waits for another to have recovered the
// journal's end.
constexpr int kLooksAtRecovery = 2'000;

// A primary shows a sign of life each 50 ms, if it gets a processor.
constexpr absl::Duration kKillAfterMin = absl::Milliseconds(200);
constexpr absl::Duration kArchiveEveryMin = absl::Milliseconds(50);

FreeSpaceLimits SpaceLimits(const ReplicaOptions& options) {
  const uint64_t floor = options.free_bytes_min.value_or(options.segment_bytes);
  return {.floor_bytes = floor, .resume_bytes = floor + floor / 8};
}

// Names the boot clock of this process: of this start of the machine, and of this time namespace.
// 0: not known.
uint64_t BootClockName(FileSystem& fs) {
  const uint64_t boot = SyncMark::CurrentBoot(fs).value_or(0);
  return boot == 0 ? 0 : boot ^ (TimeNamespace(fs) << 32);
}

// InvalidArgument for an option that can't be meant so.
absl::Status CheckOptions(const ReplicaOptions& options, const StateHooks& hooks) {
  if (options.directory.empty()) return absl::InvalidArgumentError("ReplicaOptions::directory is not set");
  const SnapshotOptions& snapshots = options.snapshots;
  if (hooks.save == nullptr && snapshots.is_set()) {
    return absl::InvalidArgumentError(
        "ReplicaOptions::snapshots: there can be none of this state: see state_archive.h");
  }
  if (snapshots.time < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("ReplicaOptions::snapshots.time is less than nothing");
  }
  if (options.kill_hung_primary_after < kKillAfterMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("ReplicaOptions::kill_hung_primary_after is ", DurationText(options.kill_hung_primary_after),
                     ", less than ", DurationText(kKillAfterMin), ": it would kill a primary that is well"));
  }
  if (options.archive.interval < kArchiveEveryMin) {
    return absl::InvalidArgumentError(absl::StrCat("ReplicaOptions::archive.interval is ",
                                                   DurationText(options.archive.interval), ", less than ",
                                                   DurationText(kArchiveEveryMin)));
  }
  if (options.step_down_for < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("ReplicaOptions::step_down_for is less than nothing");
  }
  if (options.clock_set_ahead_max < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("ReplicaOptions::clock_set_ahead_max is less than nothing");
  }
  if (options.segment_bytes < kCapacityMin || options.segment_bytes > kCapacityMax) {
    return absl::InvalidArgumentError(absl::StrCat("ReplicaOptions::segment_bytes is ", options.segment_bytes,
                                                   ", not in ", kCapacityMin, " to ", kCapacityMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicaCore>> ReplicaCore::Open(ReplicaOptions options, uint64_t data_format,
                                                               std::string state_name, StateHooks hooks) {
  FileSystem& fs = *options.file_system;
  const JournalLayout layout(options.directory);
  absl::StatusOr<std::unique_ptr<ReplicaCore>> core =
      OpenJournal(std::move(options), data_format, std::move(state_name), std::move(hooks));
  if (!core.ok()) return WithRepairHint(fs, layout, core.status());
  return core;
}

absl::StatusOr<std::unique_ptr<ReplicaCore>> ReplicaCore::OpenJournal(ReplicaOptions options, uint64_t data_format,
                                                                      std::string state_name, StateHooks hooks) {
  const JournalContent content(data_format, std::move(state_name));
  KB_RETURN_IF_ERROR(CheckOptions(options, hooks));
  // Take the capacity that a segment will have.
  KB_ASSIGN_OR_RETURN(const Header segment, Header::Make({.capacity = options.segment_bytes}));
  options.segment_bytes = segment.capacity();
  FileSystem& fs = *options.file_system;
  const JournalLayout layout(options.directory);
  KB_RETURN_IF_ERROR(fs.CreateDirectories(options.directory));
  KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs, layout.epoch()));
  KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs, layout.synced()));
  KB_ASSIGN_OR_RETURN(StopEvent loop_event, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(StopEvent lease_event, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(StopEvent snapshot_event, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(StopEvent archive_event, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(WakeEvent wake, WakeEvent::OpenForWriter(fs, layout.wake()));
  std::unique_ptr<ReplicaStats> stats = ReplicaStats::Create(fs, layout, options.may_lead, *options.clock);
  absl::StatusOr<ReplicaStart> start = FindStart(fs, layout, RulesFor(content, hooks));
  absl::Status found = start.status();
  if (found.ok()) found = CheckSegments(fs, layout, mark, start->snapshot_seq());
  if (!found.ok()) {
    stats->SetError(found);
    return found;
  }
  const uint64_t boot_clock = BootClockName(fs);
  const FreeSpaceLimits space = SpaceLimits(options);
  std::unique_ptr<Environment> env(new Environment{.options = std::move(options),
                                                   .content = content,
                                                   .layout = layout,
                                                   .hooks = std::move(hooks),
                                                   .epochs = std::move(epochs),
                                                   .mark = std::move(mark),
                                                   .boot_clock = boot_clock,
                                                   .stats = std::move(stats),
                                                   .space = FreeSpace(space),
                                                   .wake = std::move(wake),
                                                   .loop_event = std::move(loop_event),
                                                   .lease_event = std::move(lease_event),
                                                   .snapshot_event = std::move(snapshot_event),
                                                   .archive_event = std::move(archive_event)});
  return absl::WrapUnique(new ReplicaCore(std::move(env), *std::move(start)));
}

ReplicaCore::ReplicaCore(std::unique_ptr<Environment> env, ReplicaStart start)
    : env_(std::move(env)),
      options_(env_->options),
      standing_(std::make_unique<Standing>(*env_)),
      follower_(std::make_unique<Follower>(*env_, mutex_, *standing_, std::move(start))),
      lease_watch_(std::make_unique<LeaseWatch>(*env_, mutex_, *standing_)),
      snapshots_(std::make_unique<SnapshotTaker>(*env_, mutex_, *standing_)),
      archive_(std::make_unique<ArchiveCopier>(*env_, mutex_, *standing_)) {}

ReplicaCore::~ReplicaCore() {
  {
    absl::MutexLock lock(&mutex_);  // whose conditions look at it
    env_->stopping = true;
    standing_->saving.Cancel();
  }
  env_->loop_event.Signal();
  env_->lease_event.Signal();
  env_->snapshot_event.Signal();
  env_->archive_event.Signal();
  env_->wake.Notify();
  archive_->Join();
  snapshots_->Join();
  lease_watch_->Join();
  if (loop_.joinable()) loop_.join();
  absl::MutexLock lock(&mutex_);
  standing_->reign.End();
}

absl::Status ReplicaCore::Start() {
  absl::Status started = WithRepairHint(env_->fs(), env_->layout, CatchUpAndStart());
  // For callers that ask why this replica ended.
  if (!started.ok() && role() != Role::kStopped) env_->stats->SetError(started);
  return started;
}

absl::Status ReplicaCore::CatchUpAndStart() {
  const int64_t begin = env_->MonotonicNanos();
  {
    absl::MutexLock drive(&drive_mutex_);
    KB_RETURN_IF_ERROR(follower_->Load());
    KB_RETURN_IF_ERROR(SettleAtStart());
    KB_RETURN_IF_ERROR(follower_->CatchUpAtStart());
    KB_RETURN_IF_ERROR(MendAtStart());
    follower_->EndStart();
    KB_RETURN_IF_ERROR(status());
    if (!follower_->settled()) follower_->SayUnsettled();
  }
  {
    absl::MutexLock lock(&mutex_);
    standing_->recovery.frames = standing_->applied.seq - standing_->recovery.snapshot_seq;
    standing_->recovery.duration = absl::Nanoseconds(env_->MonotonicNanos() - begin);
    env_->Say(standing_->recovery.bytes_cut == 0 ? LogSeverity::kInfo : LogSeverity::kWarning,
              standing_->recovery.ToString());
  }
  return options_.threads ? StartThreads() : absl::OkStatus();
}

absl::Status ReplicaCore::SettleAtStart() {
  for (int looks = 1; !follower_->LookIfSettled(); ++looks) {
    if (options_.may_lead && lease_watch_->AcquireLease()) {
      absl::Status settled = follower_->Settle(LastWriter());
      if (!IsTransient(settled)) return settled;
      break;  // the takeover tries it again
    }
    if (!options_.threads || looks == kLooksAtRecovery) break;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return absl::OkStatus();
}

absl::Status ReplicaCore::MendAtStart() {
  // A frame that does not fit, or a segment that is not there, is torn, or damage. The holder of the
  // lease tells, or may be about to: then there is more to read.
  const auto misfit = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) {
    const absl::Status& status = follower_->reader().status();
    return absl::IsDataLoss(status) || absl::IsOutOfRange(status);
  };
  for (int looks = 1; misfit() && options_.may_lead; ++looks) {
    if (lease_watch_->AcquireLease()) return Recover().status();
    // A replica without threads waits for nobody.
    if (!options_.threads || looks == kLooksAtRecovery) {
      return absl::UnavailableError(absl::StrCat("another process holds the lease and has not recovered the journal's ",
                                                 "end yet: try again; ", follower_->reader().status().message()));
    }
    absl::SleepFor(absl::Milliseconds(1));
    KB_RETURN_IF_ERROR(follower_->reader().LookAgain());
    while (follower_->Follow()) {
    }
  }
  if (IsTransient(follower_->reader().status())) return absl::OkStatus();
  // Nobody can mend it as long as nobody gets the lease: then the journal's end is not what is
  // wrong.
  if (misfit()) KB_RETURN_IF_ERROR(status());
  return follower_->reader().status();
}

absl::Status ReplicaCore::StartThreads() {
  if (options_.may_lead) {
    // Be ready for a takeover from the beginning on.
    auto preparer = std::make_unique<SegmentPreparer>(env_->fs(), options_.directory, kSegmentTouchBytes,
                                                      options_.ack == Ack::kSynced);
    preparer->Prepare(FirstSegmentBytes(options_.segment_bytes));
    {
      absl::MutexLock lock(&mutex_);
      standing_->preparer = std::move(preparer);
    }
    KB_RETURN_IF_ERROR(lease_watch_->Start());
  }
  if (options_.snapshots.has_reason()) {
    KB_RETURN_IF_ERROR(snapshots_->Start());
  }
  if (options_.archive.store != nullptr) KB_RETURN_IF_ERROR(archive_->Start());
  KB_ASSIGN_OR_RETURN(loop_, StartThread([this] { RunLoop(); }));
  return absl::OkStatus();
}

absl::StatusOr<ApplyContext> ReplicaCore::Append(absl::FunctionRef<absl::StatusOr<size_t>(MutableBytes to)> encode) {
  Standing& standing = *standing_;
  if (ABSL_PREDICT_FALSE(standing.saving.held)) AwaitSaved();
  if (ABSL_PREDICT_FALSE(standing.board.role() != Role::kPrimary)) return standing.board.NotPrimary();
  if (ABSL_PREDICT_FALSE(!env_->space.enough())) return env_->space.Refusal(options_.directory);
  absl::StatusOr<Position> position = standing.reign.writer().Append(encode, standing.clock.Stamp());
  if (ABSL_PREDICT_FALSE(!position.ok())) return AppendFailed(position.status());
  return Appended();
}

absl::StatusOr<ApplyContext> ReplicaCore::AppendBatch(
    size_t count, absl::FunctionRef<absl::StatusOr<size_t>(size_t i, MutableBytes to)> encode) {
  Standing& standing = *standing_;
  if (ABSL_PREDICT_FALSE(standing.saving.held)) AwaitSaved();
  if (ABSL_PREDICT_FALSE(standing.board.role() != Role::kPrimary)) return standing.board.NotPrimary();
  if (ABSL_PREDICT_FALSE(!env_->space.enough())) return env_->space.Refusal(options_.directory);
  absl::StatusOr<Position> first = standing.reign.writer().AppendBatch(count, encode, standing.clock.Stamp());
  if (ABSL_PREDICT_FALSE(!first.ok())) return AppendFailed(first.status());
  return ApplyContext(*first, Appended().time_ns());
}

ApplyContext ReplicaCore::Appended() {
  const ChainLink& last = standing_->reign.writer().last();
  standing_->applied = last.position;
  if (ABSL_PREDICT_FALSE(env_->beat_waits)) standing_->reign.Beat(env_->MonotonicNanos());
  env_->stats->SetPublished(last.position, last.time_ns);
  return ApplyContext(last.position, last.time_ns);
}

void ReplicaCore::AwaitSaved() {
  const auto may_change = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !standing_->saving.held || standing_->board.role() != Role::kPrimary;
  };
  mutex_.Await(absl::Condition(&may_change));
}

absl::Status ReplicaCore::AppendFailed(const absl::Status& status) {
  if (!absl::IsAborted(status)) return status;
  // Fenced by a newer epoch of this journal: there is a primary to follow. Otherwise the journal is
  // not there any more. Who can't look does not know, and looks again as a follower.
  const absl::StatusOr<bool> named = env_->epochs.IsNamed(env_->fs());
  if (!named.ok() || *named) {
    standing_->EndReign();
  } else {
    standing_->Stop(status);
  }
  return status;
}

absl::Status ReplicaCore::WaitFor(Position position, Ack stage, absl::Time deadline) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    commit = standing_->reign.commit();
  }
  if (commit == nullptr || commit->epoch() != position.epoch) {
    return absl::FailedPreconditionError(absl::StrCat(options_.directory, ": ", position.ToString(),
                                                      " is not of this replica's last reign, ",
                                                      commit == nullptr ? "which is still to come" : "epoch ",
                                                      commit == nullptr ? "" : absl::StrCat(commit->epoch())));
  }
  if (stage == Ack::kPublished && position.seq <= commit->published()) return absl::OkStatus();
  absl::Status status = commit->WaitFor(position.seq, deadline);
  if (absl::IsAborted(status)) ReportRole();
  return status;
}

void ReplicaCore::ReportRole() {
  absl::MutexLock lock(&mutex_);
  standing_->board.TellUser(mutex_);
}

bool ReplicaCore::WaitForRole(Role role, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return standing_->board.WaitForRole(role, timeout, mutex_);
}

absl::Status ReplicaCore::WaitForApplied(Position position, absl::Duration timeout) {
  const auto reached = [this, position]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return (standing_->applied.seq >= position.seq && standing_->applied.epoch >= position.epoch) ||
           standing_->board.role() == Role::kStopped;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  if (standing_->applied.seq >= position.seq && standing_->applied.epoch >= position.epoch) return absl::OkStatus();
  if (standing_->board.role() == Role::kStopped) return standing_->board.status();
  return absl::UnavailableError(absl::StrCat(options_.directory, ": ", position.ToString(), " is not applied in time, ",
                                             standing_->applied.ToString(), " is"));
}

Role ReplicaCore::role() const {
  absl::MutexLock lock(&mutex_);
  return standing_->board.role();
}

Position ReplicaCore::applied() const {
  absl::MutexLock lock(&mutex_);
  return standing_->applied;
}

RecoveryReport ReplicaCore::recovery() const {
  absl::MutexLock lock(&mutex_);
  return standing_->recovery;
}

absl::Status ReplicaCore::status() const {
  absl::MutexLock lock(&mutex_);
  return standing_->board.status();
}

Position ReplicaCore::state_position() const { return standing_->applied; }

int64_t ReplicaCore::JournalNow() const { return standing_->clock.Now(env_->mark.journal_line(env_->boot_clock)); }

absl::StatusOr<Position> ReplicaCore::TakeSnapshot() { return snapshots_->Take(); }

int64_t ReplicaCore::StartSample() { return env_->stats->StartSample(); }

void ReplicaCore::AddExecuteSince(int64_t start_ns) { env_->stats->AddExecute(start_ns); }

}  // namespace kekbit
