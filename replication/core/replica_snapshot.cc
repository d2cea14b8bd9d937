// Snapshots of a replica's state: ReplicaCore's part in taking and loading them.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/retention/apply_retention.h"
#include "kekbit/replication/snapshot/snapshot_policy.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// How often it is asked whether one is due.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

// The part of the disk that segments may take for registered readers, unless the user says how much.
constexpr uint64_t kDiskShare = 4;
// How often a snapshot and the journal after it are read before a failed read stops the replica: they
// were whole when they were looked at, just now.
constexpr int kTriesToLoad = 2;

}  // namespace

absl::StatusOr<Position> ReplicaCore::TakeSnapshot() {
  if (hooks_.save == nullptr) {
    return absl::FailedPreconditionError("there can be no snapshot of this state: see state_archive.h");
  }
  KB_ASSIGN_OR_RETURN(const ChainLink last, BeginSaving());
  const int64_t begin = options_.clock->MonotonicNanos();
  const absl::Status written = WriteSnapshot(last);
  EndSaving();  // if it did not get that far
  const int64_t now = options_.clock->MonotonicNanos();
  {
    absl::MutexLock lock(&mutex_);
    taking_ = false;
    snapshot_failures_ = written.ok() ? 0 : snapshot_failures_ + 1;
    (written.ok() ? snapshot_ns_ : snapshot_failed_ns_) = now;
  }
  if (!written.ok()) {
    ReportRole();  // a sync that failed has stopped this replica
    return written;
  }
  Log(options_.logger, LogSeverity::kInfo,
      absl::StrCat(options_.directory, ": took a snapshot behind ", last.position.ToString(), " in ",
                   DurationText(absl::Nanoseconds(now - begin))));
  CutJournal(last.position.seq);
  return last.position;
}

absl::StatusOr<ChainLink> ReplicaCore::BeginSaving() {
  absl::MutexLock lock(&mutex_);
  if (role_ == Role::kStopped) return status_;
  if (taking_) return absl::UnavailableError(absl::StrCat(options_.directory, ": a snapshot is being taken"));
  if (role_ == Role::kPrimary && !options_.snapshots.on_primary) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.directory, ": a snapshot would stop the primary; let a follower take it, or set on_primary"));
  }
  if (role_ == Role::kFollower && (lease_ || rejoins_ || starting_over_)) {
    return absl::UnavailableError(
        absl::StrCat(options_.directory, ": no snapshot while the role or the state changes"));
  }
  taking_ = saving_ = true;
  snapshot_seq_ = LastApplied().position.seq;
  snapshot_bytes_ = JournalBytes();
  return LastApplied();
}

void ReplicaCore::EndSaving() {
  {
    absl::MutexLock lock(&mutex_);
    saving_ = false;
    saver_ = nullptr;
  }
  wake_.Notify();
}

void ReplicaCore::AwaitSaved() {
  const auto may_change = [this]()
                              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !saving_ || role_ != Role::kPrimary; };
  mutex_.Await(absl::Condition(&may_change));
}

absl::Status ReplicaCore::WriteSnapshot(const ChainLink& last) {
  FileSystem& fs = *options_.file_system;
  const SnapshotHeader header = {
      .last = last,
      .type = hooks_.snapshot_type,
      .compression = options_.snapshots.compressed ? SnapshotCompression::kZstd : SnapshotCompression::kNone};
  SnapshotWriterOptions options;
  options.free_bytes_min = options_.free_bytes_min.value_or(0);
  options.own_threads = options_.threads;
  if (options_.snapshots.on_progress) {
    options.progress = [this](const SnapshotProgress& progress) { options_.snapshots.on_progress(progress.raw_bytes); };
  }
  const int64_t begin = options_.clock->MonotonicNanos();
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<SnapshotWriter> writer,
                      SnapshotWriter::Begin(fs, layout_.snapshots(), header, std::move(options)));
  {
    absl::MutexLock lock(&mutex_);
    saver_ = writer.get();
    if (lease_ && role_ == Role::kFollower) writer->Cancel();  // it came between
  }
  const absl::Status saved = hooks_.save(*writer);
  EndSaving();
  KB_RETURN_IF_ERROR(saved);
  if (Planted(PlantedBug::kSnapshotNotVerified)) {
    const Seq seq = last.position.seq;
    ApplyRetention(fs, layout_, {.older_snapshot = seq, .synced = seq}).IgnoreError();
  }
  KB_RETURN_IF_ERROR(writer->Complete());
  // A snapshot is never ahead of what the disk has of the journal.
  if (!Planted(PlantedBug::kSnapshotAheadOfSync)) KB_RETURN_IF_ERROR(SyncThrough(last.position.seq));
  KB_RETURN_IF_ERROR(writer->Publish());
  stats_->AddSnapshot({.position = last.position,
                       .bytes = writer->progress().file_bytes,
                       .took_ns = options_.clock->MonotonicNanos() - begin});
  return absl::OkStatus();
}

absl::Status ReplicaCore::SyncThrough(Seq seq) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    if (role_ == Role::kPrimary) commit = commit_;
  }
  if (commit != nullptr) return commit->WaitFor(seq, absl::InfiniteFuture());
  if (mark_.synced() >= seq || Planted(PlantedBug::kFollowerSyncsNothing)) return absl::OkStatus();
  // By a follower: the same segments, by mappings of its own. The mark is the primary's to move, but for bad news.
  FileSystem& fs = *options_.file_system;
  KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs, layout_, mark_.synced()));
  return SegmentSync(fs, layout_, mark_).Sync(absl::MakeSpan(segments), SegmentSync::kWhole);
}

uint64_t ReplicaCore::RetainBytesMax() {
  if (options_.retain_bytes_max) return *options_.retain_bytes_max;
  const absl::StatusOr<uint64_t> total = options_.file_system->TotalBytes(options_.directory);
  return total.ok() ? *total / kDiskShare : 0;
}

void ReplicaCore::SayOfHolds(const std::vector<ReaderHold>& holds) {
  std::map<std::string, uint64_t> told;
  for (const ReaderHold& hold : holds) {
    const auto before = holds_told_.find(hold.name);
    // Said again when it has doubled.
    if (before != holds_told_.end() && hold.bytes < 2 * before->second) {
      told.insert(*before);
      continue;
    }
    told[hold.name] = hold.bytes;
    Log(options_.logger, LogSeverity::kWarning,
        absl::StrCat(options_.directory, ": the reader ", hold.name, hold.owned ? "" : ", which nobody has,", " holds ",
                     hold.bytes, " bytes of the journal",
                     hold.since_ns == 0
                         ? ""
                         : absl::StrCat(", from ",
                                        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(hold.since_ns),
                                                         absl::UTCTimeZone()),
                                        " on"),
                     "; if it does not come back, `kekbit cursors ", options_.directory, " --remove ", hold.name,
                     "` lets them go"));
  }
  holds_told_ = std::move(told);
}

void ReplicaCore::CutJournal(Seq synced) {
  SnapshotStore store(*options_.file_system, layout_.snapshots());
  const absl::StatusOr<SnapshotStore::Retained> retained = store.Retain();
  absl::Status status = retained.status();
  if (status.ok()) {
    for (const absl::Status& damaged : retained->damaged) LogError(damaged, "a snapshot is damaged");
    const Seq older = Planted(PlantedBug::kTrimmedByNewest) ? synced : retained->journal_may_go_up_to();
    const absl::StatusOr<RetentionReport> report = ApplyRetention(
        *options_.file_system, layout_,
        {.older_snapshot = older, .synced = std::max(synced, mark_.synced()), .cap_bytes = RetainBytesMax()});
    status = report.status();
    if (status.ok() && report->segments_cut != 0) {
      Log(options_.logger, LogSeverity::kInfo,
          absl::StrCat(options_.directory, ": cut ", report->segments_cut, " segment(s), the journal begins with seq ",
                       report->first_kept));
    }
    if (status.ok()) {
      for (const std::string& name : report->lost) {
        Log(options_.logger, LogSeverity::kWarning,
            absl::StrCat(options_.directory, ": the reader ", name, " was too far behind, and lost its place"));
      }
      SayOfHolds(report->holds);
    }
  }
  // Some of it may be done; the rest is the next snapshot's.
  if (!status.ok()) LogError(status, "the journal could not be cut");
}

bool ReplicaCore::SnapshotIsDue() {
  const SnapshotPolicy policy = {
      .frames = options_.snapshots.frames, .bytes = options_.snapshots.bytes, .time = options_.snapshots.time};
  absl::MutexLock lock(&mutex_);
  if (role_ == Role::kStopped || lease_ != std::nullopt) {
    if (role_ != Role::kPrimary || !options_.snapshots.on_primary) return false;
  }
  const int64_t now = options_.clock->MonotonicNanos();
  const Seq last = LastApplied().position.seq;
  const uint64_t bytes = JournalBytes();
  SinceSnapshot since;
  since.frames = last - std::min(snapshot_seq_, last);
  since.bytes = bytes - std::min(snapshot_bytes_, bytes);
  since.time = absl::Nanoseconds(now - snapshot_ns_);
  since.running = taking_;
  since.failures = snapshot_failures_;
  since.since_failure = absl::Nanoseconds(now - snapshot_failed_ns_);
  return kekbit::SnapshotIsDue(policy, since);
}

void ReplicaCore::TakeDueSnapshot() {
  if (!SnapshotIsDue()) return;
  const absl::Status status = TakeSnapshot().status();
  if (status.ok() || absl::IsCancelled(status) || absl::IsUnavailable(status)) return;
  LogError(status, "a snapshot failed, it will be tried again");
}

void ReplicaCore::RunSnapshots() {
  while (!stopping_ && role() != Role::kStopped) {
    TakeDueSnapshot();
    events_.snapshots.Wait(kLookEvery);
  }
}

absl::StatusOr<ReplicaCore::Source> ReplicaCore::FindSource(FileSystem& fs, const JournalLayout& layout,
                                                            const JournalContent& content, const StateHooks& hooks) {
  return FindStart(fs, layout, {.content = content, .loads = hooks.load != nullptr, .type = hooks.snapshot_type});
}

absl::StatusOr<ReplicaCore::Source> ReplicaCore::OpenSource(FileSystem& fs, const JournalLayout& layout,
                                                            const SyncMark& mark, const JournalContent& content,
                                                            const StateHooks& hooks) {
  KB_ASSIGN_OR_RETURN(Source source, FindSource(fs, layout, content, hooks));
  KB_RETURN_IF_ERROR(CheckSegments(fs, layout, mark, source.snapshot_seq()));
  return source;
}

absl::StatusOr<bool> ReplicaCore::LoadSnapshot(SnapshotStore::Found found, JournalReader reader) {
  for (const absl::Status& skipped : found.passed_over) {
    LogError(skipped, "a snapshot is passed over");
    absl::MutexLock lock(&mutex_);
    recovery_.skipped.push_back(std::string(skipped.message()));
  }
  const auto read_on = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) {
    reader_ = std::move(reader);
    pending_ = {};
  };
  if (found.snapshot == nullptr) {
    read_on();
    return false;
  }
  const ChainLink last = found.snapshot->header().last;
  absl::MutexLock lock(&mutex_);
  if (last.position.seq <= applied_.seq && applied_.seq != 0) return false;
  // With the lock held until the state is whole again, or this replica ends: nobody sees it half loaded.
  absl::Status loaded = hooks_.load(*found.snapshot);
  for (int tries = 1; !loaded.ok() && tries < kTriesToLoad; ++tries) {
    LogError(loaded, "a snapshot could not be loaded, it is tried again");
    KB_ASSIGN_OR_RETURN(found.snapshot, SnapshotReader::Open(*options_.file_system, found.snapshot->path()));
    loaded = hooks_.load(*found.snapshot);
  }
  KB_RETURN_IF_ERROR(loaded);
  read_on();
  applied_ = last.position;
  followed_ = last;
  journal_clock_.Follow(last.time_ns, /*live=*/false);
  stats_->SetApplied(last.position, last.time_ns);
  snapshot_seq_ = last.position.seq;
  recovery_.snapshot = found.snapshot->path();
  recovery_.snapshot_seq = last.position.seq;
  return true;
}

absl::Status ReplicaCore::StartOver() {
  const absl::Status gone = WithRepairHint(*options_.file_system, layout_, reader_.status());
  {
    absl::MutexLock lock(&mutex_);
    if (saver_ != nullptr) saver_->Cancel();
    if (saving_) return absl::UnavailableError("the state is being saved");  // whoever does reads it without a lock
    starting_over_ = true;
  }
  absl::StatusOr<bool> loaded = false;
  if (hooks_.load != nullptr) {
    absl::StatusOr<Source> source = FindSource(*options_.file_system, layout_, content_, hooks_);
    // A device that did not give some bytes once may give them when it is asked again.
    for (int tries = 1; absl::IsDataLoss(source.status()) && tries < kTriesToLoad; ++tries) {
      LogError(source.status(), "can't start over from a snapshot, it is tried again");
      source = FindSource(*options_.file_system, layout_, content_, hooks_);
    }
    if (IsTransient(source.status())) {
      // The state is as it was.
      absl::MutexLock lock(&mutex_);
      starting_over_ = false;
      Note(source.status(), "can't start over from a snapshot, it is tried again");
      return source.status();
    }
    loaded = source.ok() ? LoadSnapshot(std::move(source->found), std::move(source->reader)) : source.status();
  }
  absl::MutexLock lock(&mutex_);
  starting_over_ = false;
  if (!loaded.ok()) {
    Stop(loaded.status());
  } else if (!*loaded) {
    Stop(gone);
  } else {
    Log(options_.logger, LogSeverity::kWarning,
        absl::StrCat(options_.directory, ": too far behind, started over from a snapshot: ", gone.message()));
  }
  return loaded.status();
}

}  // namespace kekbit
