#include "kekbit/replication/core/replica_core.h"

#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/header.h"
#include "kekbit/replication/journal/segment_size.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Looks, a millisecond apart, of a starting replica that waits for another to have recovered the
// journal's end.
constexpr int kLooksAtRecovery = 2'000;

// How long an error that lasts is left out before it is noted again.
constexpr absl::Duration kNoteAgainAfter = absl::Minutes(1);

// A primary shows a sign of life each 50 ms, if it gets a processor.
constexpr absl::Duration kKillAfterMin = absl::Milliseconds(200);

uint64_t ResumeBytes(uint64_t floor) { return floor + floor / 8; }

// Names the boot clock of this process: of this start of the machine, and of this time namespace.
// 0: not known.
uint64_t BootClockName(FileSystem& fs) {
  const uint64_t boot = SyncMark::CurrentBoot(fs).value_or(0);
  return boot == 0 ? 0 : boot ^ (TimeNamespace(fs) << 32);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicaCore>> ReplicaCore::Open(ReplicaOptions options, JournalContent content,
                                                               StateHooks hooks) {
  FileSystem& fs = *options.file_system;
  const JournalLayout layout(options.directory);
  absl::StatusOr<std::unique_ptr<ReplicaCore>> core =
      OpenJournal(std::move(options), std::move(content), std::move(hooks));
  if (!core.ok()) return WithRepairHint(fs, layout, core.status());
  return core;
}

absl::StatusOr<std::unique_ptr<ReplicaCore>> ReplicaCore::OpenJournal(ReplicaOptions options, JournalContent content,
                                                                      StateHooks hooks) {
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
  // Take the capacity that a segment will have.
  KB_ASSIGN_OR_RETURN(const Header segment, Header::Make({.capacity = options.segment_bytes}));
  options.segment_bytes = segment.capacity();
  FileSystem& fs = *options.file_system;
  const JournalLayout layout(options.directory);
  KB_RETURN_IF_ERROR(fs.CreateDirectories(options.directory));
  KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs, layout.epoch()));
  KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs, layout.synced()));
  KB_ASSIGN_OR_RETURN(StopEvent loop, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(StopEvent lease_watch, StopEvent::Create());
  KB_ASSIGN_OR_RETURN(StopEvent snapshots_event, StopEvent::Create());
  Events events = {
      .loop = std::move(loop), .lease_watch = std::move(lease_watch), .snapshots = std::move(snapshots_event)};
  KB_ASSIGN_OR_RETURN(WakeEvent wake, WakeEvent::OpenForWriter(fs, layout.wake()));
  std::unique_ptr<ReplicaStats> stats = ReplicaStats::Create(fs, layout, options.may_lead, *options.clock);
  absl::StatusOr<Source> source = OpenSource(fs, layout, mark, content, hooks);
  if (!source.ok()) {
    stats->SetError(source.status());
    return source.status();
  }
  return absl::WrapUnique(new ReplicaCore(std::move(options), std::move(content), std::move(hooks), std::move(epochs),
                                          std::move(mark), std::move(stats), std::move(wake), *std::move(source),
                                          std::move(events)));
}

ReplicaCore::ReplicaCore(ReplicaOptions options, JournalContent content, StateHooks hooks, EpochStore epochs,
                         SyncMark mark, std::unique_ptr<ReplicaStats> stats, WakeEvent wake, Source source,
                         Events events)
    : options_(std::move(options)),
      content_(std::move(content)),
      layout_(options_.directory),
      hooks_(std::move(hooks)),
      epochs_(std::move(epochs)),
      mark_(std::move(mark)),
      boot_clock_(BootClockName(*options_.file_system)),
      space_({.floor_bytes = options_.free_bytes_min.value_or(options_.segment_bytes),
              .resume_bytes = ResumeBytes(options_.free_bytes_min.value_or(options_.segment_bytes))}),
      stats_(std::move(stats)),
      wake_(std::move(wake)),
      reader_(std::move(source.reader)),
      found_(std::move(source.found)),
      poisoned_(mark_.poisoned()),
      journal_clock_({.clock = options_.clock,
                      .set_ahead_max = options_.clock_set_ahead_max,
                      .say = [this](const ClockNote& note) { SayOfClocks(note); }}),
      events_(std::move(events)) {
  snapshot_ns_ = options_.clock->MonotonicNanos();
}

ReplicaCore::~ReplicaCore() {
  {
    absl::MutexLock lock(&mutex_);  // whose conditions look at it
    stopping_ = true;
    if (saver_ != nullptr) saver_->Cancel();
  }
  events_.loop.Signal();
  events_.lease_watch.Signal();
  events_.snapshots.Signal();
  wake_.Notify();
  if (snapshots_.joinable()) snapshots_.join();
  if (lease_watch_.joinable()) lease_watch_.join();
  if (loop_.joinable()) loop_.join();
  absl::MutexLock lock(&mutex_);
  writer_.reset();
  lease_.reset();
}

absl::Status ReplicaCore::Start() {
  absl::Status started = WithRepairHint(*options_.file_system, layout_, CatchUpAndStart());
  // For callers that ask why this replica ended.
  if (!started.ok() && role() != Role::kStopped) stats_->SetError(started);
  return started;
}

absl::Status ReplicaCore::CatchUpAndStart() {
  const int64_t begin = options_.clock->MonotonicNanos();
  {
    absl::MutexLock drive(&drive_mutex_);
    KB_RETURN_IF_ERROR(LoadSnapshot(std::move(found_), std::move(reader_)).status());
    starting_ = true;
    KB_RETURN_IF_ERROR(CatchUp());
    // The place was trimmed meanwhile, up to a newer snapshot.
    while (PlaceIsGone() && role() == Role::kFollower) {
      KB_RETURN_IF_ERROR(StartOver());
      KB_RETURN_IF_ERROR(CatchUp());
    }
    KB_RETURN_IF_ERROR(MendAtStart());
    starting_ = false;
  }
  KB_RETURN_IF_ERROR(status());
  {
    absl::MutexLock lock(&mutex_);
    recovery_.frames = applied_.seq - recovery_.snapshot_seq;
    recovery_.duration = absl::Nanoseconds(options_.clock->MonotonicNanos() - begin);
    Log(options_.logger, recovery_.bytes_cut == 0 ? LogSeverity::kInfo : LogSeverity::kWarning,
        absl::StrCat(options_.directory, ": ", recovery_.ToString()));
  }
  return options_.threads ? StartThreads() : absl::OkStatus();
}

absl::Status ReplicaCore::CatchUp() {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(*options_.file_system));
  const SegmentNumber last = segments.empty() ? 0 : segments.back();
  while (Follow() && reader_.segment() <= last) {
  }
  return absl::OkStatus();
}

absl::Status ReplicaCore::MendAtStart() {
  // A frame that does not fit is torn, or damage. The holder of the lease tells, or may be about
  // to: then there is more to read.
  for (int looks = 1; absl::IsDataLoss(reader_.status()) && options_.may_lead; ++looks) {
    if (AcquireLease()) return Recover().status();
    // A replica without threads waits for nobody.
    if (!options_.threads || looks == kLooksAtRecovery) {
      return absl::UnavailableError(absl::StrCat("another process holds the lease and has not recovered the journal's ",
                                                 "end yet: try again; ", reader_.status().message()));
    }
    absl::SleepFor(absl::Milliseconds(1));
    KB_RETURN_IF_ERROR(reader_.LookAgain());
    while (Follow()) {
    }
  }
  if (IsTransient(reader_.status())) return absl::OkStatus();
  // Nobody can mend it as long as nobody gets the lease: then the journal's end is not what is
  // wrong.
  if (absl::IsDataLoss(reader_.status())) KB_RETURN_IF_ERROR(status());
  return reader_.status();
}

absl::Status ReplicaCore::StartThreads() {
  if (options_.may_lead) {
    // Be ready for a takeover from the beginning on.
    preparer_ = std::make_unique<SegmentPreparer>(*options_.file_system, options_.directory, kSegmentTouchBytes,
                                                  options_.ack == Ack::kSynced);
    preparer_->Prepare(FirstSegmentBytes(options_.segment_bytes));
    KB_ASSIGN_OR_RETURN(lease_watch_, StartThread([this] { RunLeaseWatch(); }));
  }
  if (options_.snapshots.has_reason()) {
    KB_ASSIGN_OR_RETURN(snapshots_, StartThread([this] { RunSnapshots(); }));
  }
  KB_ASSIGN_OR_RETURN(loop_, StartThread([this] { RunLoop(); }));
  return absl::OkStatus();
}

absl::Status ReplicaCore::AppendFailed(const absl::Status& status) {
  if (!absl::IsAborted(status)) return status;
  // Fenced by a newer epoch of this journal: there is a primary to follow. Otherwise the journal is
  // not there any more. Who can't look does not know, and looks again as a follower.
  const absl::StatusOr<bool> named = epochs_.IsNamed(*options_.file_system);
  if (!named.ok() || *named) {
    EndReign();
  } else {
    Stop(status);
  }
  return status;
}

absl::Status ReplicaCore::WaitFor(Position position, Ack stage, absl::Time deadline) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    commit = commit_;
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
  if (reporter_ != std::thread::id()) return;  // whoever reports goes on, in order
  reporter_ = std::this_thread::get_id();
  while (!changes_.empty()) {
    const Change change = changes_.front();
    changes_.pop_front();
    mutex_.Unlock();
    if (change.takeover && options_.on_takeover) options_.on_takeover(*change.takeover);
    if (options_.on_role_change) options_.on_role_change(change.role, change.epoch);
    mutex_.Lock();
  }
  reporter_ = std::thread::id();
}

bool ReplicaCore::WaitForRole(Role role, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  // A callback can't wait for itself.
  const bool in_callback = reporter_ == std::this_thread::get_id();
  const auto told = [this, in_callback]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return in_callback || (changes_.empty() && reporter_ == std::thread::id());
  };
  const auto reached = [this, role, &told]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return (role_ == role || role_ == Role::kStopped) && told();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  return role_ == role && told();
}

absl::Status ReplicaCore::WaitForApplied(Position position, absl::Duration timeout) {
  const auto reached = [this, position]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return (applied_.seq >= position.seq && applied_.epoch >= position.epoch) || role_ == Role::kStopped;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  if (applied_.seq >= position.seq && applied_.epoch >= position.epoch) return absl::OkStatus();
  if (role_ == Role::kStopped) return status_;
  return absl::UnavailableError(absl::StrCat(options_.directory, ": ", position.ToString(), " is not applied in time, ",
                                             applied_.ToString(), " is"));
}

Role ReplicaCore::role() const {
  absl::MutexLock lock(&mutex_);
  return role_;
}

Position ReplicaCore::applied() const {
  absl::MutexLock lock(&mutex_);
  return applied_;
}

RecoveryReport ReplicaCore::recovery() const {
  absl::MutexLock lock(&mutex_);
  return recovery_;
}

absl::Status ReplicaCore::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ReplicaCore::SetRole(Role role, Epoch epoch, std::optional<TakeoverReport> takeover) {
  stats_->SetRole(role, epoch);
  if (takeover) {
    stats_->AddTakeover(*takeover);
    Log(options_.logger, LogSeverity::kInfo, absl::StrCat(options_.directory, ": primary, ", takeover->ToString()));
  } else if (role == Role::kFollower) {
    Log(options_.logger, LogSeverity::kInfo,
        absl::StrCat(options_.directory, ": a follower again, behind ", applied_.ToString()));
  }
  role_ = role;
  changes_.push_back({.role = role, .epoch = epoch, .takeover = takeover});
}

void ReplicaCore::Stop(const absl::Status& why) {
  if (role_ != Role::kStopped) SetRole(Role::kStopped, applied_.epoch);
  status_ = why;
  LogError(why, "the replica stops");
  LetGo();
}

void ReplicaCore::LetGo() {
  if (writer_) {
    followed_bytes_ += writer_->written_bytes();
    // Not the long one that this reign would have gone on in.
    if (preparer_ != nullptr) preparer_->Prepare(FirstSegmentBytes(options_.segment_bytes));
  }
  // Close the segment before the lease: the successor finds it closed.
  writer_.reset();
  if (!Planted(PlantedBug::kLeaseKept)) lease_.reset();
  lease_held_ = false;
  events_.loop.Signal();
}

void ReplicaCore::LeaveLease() {
  claim_.left_epoch = writer_->epoch();
  claim_.leave_until_ns = options_.clock->MonotonicNanos() + absl::ToInt64Nanoseconds(options_.step_down_for);
}

void ReplicaCore::EndReign() {
  rejoins_ = true;
  SetRole(Role::kFollower, applied_.epoch);
  LetGo();
  events_.lease_watch.Signal();
}

void ReplicaCore::LogError(const absl::Status& error, absl::string_view what) {
  stats_->SetError(error);
  Log(options_.logger, LogSeverity::kError, absl::StrCat(what, ": ", error.ToString()));
}

void ReplicaCore::Note(const absl::Status& error, absl::string_view what) {
  status_ = error;
  LogNowAndThen(error, what);
}

void ReplicaCore::LogNowAndThen(const absl::Status& error, absl::string_view what) {
  const int64_t now = options_.clock->MonotonicNanos();
  if (error == noted_ && now < noted_ns_ + absl::ToInt64Nanoseconds(kNoteAgainAfter)) return;
  noted_ = error;
  noted_ns_ = now;
  LogError(error, what);
}

absl::Status ReplicaCore::NotPrimary() const {
  if (role_ == Role::kStopped) return status_;
  return absl::FailedPreconditionError(
      absl::StrCat(options_.directory, ": this replica is a ", RoleName(role_), ", only the primary takes commands"));
}

}  // namespace kekbit
