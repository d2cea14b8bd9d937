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
#include "kekbit/replication/recovery/repair_hint.h"
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

// How often a segment that was cut while the journal was being opened is put down to that.
constexpr int kLooksAtCut = 100;

// Of the newest snapshot, good or not; 0: there is none.
absl::StatusOr<Seq> NewestOf(const SnapshotStore& store) {
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, store.List());
  return seqs.empty() ? 0 : seqs.back();
}

// What an operator needs to know of a journal in which there is no place to begin.
absl::Status NoSource(const absl::Status& status, const SnapshotStore::Found& found, const JournalLayout& layout) {
  if (!absl::IsOutOfRange(status) && !absl::IsDataLoss(status)) return status;
  std::string text(status.message());
  if (found.snapshot != nullptr) absl::StrAppend(&text, "; the newest good snapshot is ", found.snapshot->path());
  if (found.snapshot == nullptr) absl::StrAppend(&text, "; there is no good snapshot to begin with");
  for (const absl::Status& skipped : found.passed_over) {
    absl::StrAppend(&text, "; passed over was ", skipped.message());
  }
  return absl::Status(status.code(), absl::StrCat(text, RepairHint(layout)));
}

}  // namespace

absl::StatusOr<Position> ReplicaCore::TakeSnapshot() {
  if (env_->hooks.save == nullptr) {
    return absl::FailedPreconditionError("there can be no snapshot of this state: see state_archive.h");
  }
  KB_ASSIGN_OR_RETURN(const ChainLink last, BeginSaving());
  const int64_t begin = env_->MonotonicNanos();
  const absl::Status written = WriteSnapshot(last);
  EndSaving();  // if it did not get that far
  const int64_t now = env_->MonotonicNanos();
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
  env_->Say(LogSeverity::kInfo, absl::StrCat("took a snapshot behind ", last.position.ToString(), " in ",
                                             DurationText(absl::Nanoseconds(now - begin))));
  CutJournal(last.position.seq);
  return last.position;
}

absl::StatusOr<ChainLink> ReplicaCore::BeginSaving() {
  absl::MutexLock lock(&mutex_);
  if (standing_.board.role() == Role::kStopped) return standing_.board.status();
  if (taking_) return absl::UnavailableError(absl::StrCat(env_->options.directory, ": a snapshot is being taken"));
  if (standing_.board.role() == Role::kPrimary && !env_->options.snapshots.on_primary) {
    return absl::FailedPreconditionError(absl::StrCat(
        env_->options.directory, ": a snapshot would stop the primary; let a follower take it, or set on_primary"));
  }
  if (standing_.board.role() == Role::kFollower &&
      (standing_.reign.has_lease() || standing_.rejoins || standing_.saving.starting_over)) {
    return absl::UnavailableError(
        absl::StrCat(env_->options.directory, ": no snapshot while the role or the state changes"));
  }
  taking_ = standing_.saving.held = true;
  standing_.snapshot_seq = standing_.LastApplied().position.seq;
  snapshot_bytes_ = standing_.JournalBytes();
  return standing_.LastApplied();
}

void ReplicaCore::EndSaving() {
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.held = false;
    standing_.saving.writer = nullptr;
  }
  env_->wake.Notify();
}

void ReplicaCore::AwaitSaved() {
  const auto may_change = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !standing_.saving.held || standing_.board.role() != Role::kPrimary;
  };
  mutex_.Await(absl::Condition(&may_change));
}

absl::Status ReplicaCore::WriteSnapshot(const ChainLink& last) {
  FileSystem& fs = env_->fs();
  const SnapshotHeader header = {
      .last = last,
      .type = env_->hooks.snapshot_type,
      .compression = env_->options.snapshots.compressed ? SnapshotCompression::kZstd : SnapshotCompression::kNone};
  SnapshotWriterOptions options;
  options.free_bytes_min = env_->options.free_bytes_min.value_or(0);
  options.own_threads = env_->options.threads;
  if (env_->options.snapshots.on_progress) {
    options.progress = [this](const SnapshotProgress& progress) {
      env_->options.snapshots.on_progress(progress.raw_bytes);
    };
  }
  const int64_t begin = env_->MonotonicNanos();
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<SnapshotWriter> writer,
                      SnapshotWriter::Begin(fs, env_->layout.snapshots(), header, std::move(options)));
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.writer = writer.get();
    if (standing_.reign.has_lease() && standing_.board.role() == Role::kFollower) writer->Cancel();  // it came between
  }
  const absl::Status saved = env_->hooks.save(*writer);
  EndSaving();
  KB_RETURN_IF_ERROR(saved);
  if (Planted(PlantedBug::kSnapshotNotVerified)) {
    const Seq seq = last.position.seq;
    ApplyRetention(fs, env_->layout, {.older_snapshot = seq, .synced = seq}).IgnoreError();
  }
  KB_RETURN_IF_ERROR(writer->Complete());
  // A snapshot is never ahead of what the disk has of the journal.
  if (!Planted(PlantedBug::kSnapshotAheadOfSync)) KB_RETURN_IF_ERROR(SyncThrough(last.position.seq));
  KB_RETURN_IF_ERROR(writer->Publish());
  env_->stats->AddSnapshot(
      {.position = last.position, .bytes = writer->progress().file_bytes, .took_ns = env_->MonotonicNanos() - begin});
  return absl::OkStatus();
}

absl::Status ReplicaCore::SyncThrough(Seq seq) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    if (standing_.board.role() == Role::kPrimary) commit = standing_.reign.commit();
  }
  if (commit != nullptr) return commit->WaitFor(seq, absl::InfiniteFuture());
  if (env_->mark.synced() >= seq || Planted(PlantedBug::kFollowerSyncsNothing)) return absl::OkStatus();
  // By a follower: the same segments, by mappings of its own. The mark is the primary's to move, but for bad news.
  FileSystem& fs = env_->fs();
  KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs, env_->layout, env_->mark.synced()));
  return SegmentSync(fs, env_->layout, env_->mark).Sync(absl::MakeSpan(segments), SegmentSync::kWhole);
}

uint64_t ReplicaCore::RetainBytesMax() {
  if (env_->options.retain_bytes_max) return *env_->options.retain_bytes_max;
  const absl::StatusOr<uint64_t> total = env_->options.file_system->TotalBytes(env_->options.directory);
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
    env_->Say(LogSeverity::kWarning,
              absl::StrCat("the reader ", hold.name, hold.owned ? "" : ", which nobody has,", " holds ", hold.bytes,
                           " bytes of the journal",
                           hold.since_ns == 0
                               ? ""
                               : absl::StrCat(", from ",
                                              absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(hold.since_ns),
                                                               absl::UTCTimeZone()),
                                              " on"),
                           "; if it does not come back, `kekbit cursors ", env_->options.directory, " --remove ",
                           hold.name, "` lets them go"));
  }
  holds_told_ = std::move(told);
}

void ReplicaCore::CutJournal(Seq synced) {
  SnapshotStore store(env_->fs(), env_->layout.snapshots());
  const absl::StatusOr<SnapshotStore::Retained> retained = store.Retain();
  absl::Status status = retained.status();
  if (status.ok()) {
    for (const absl::Status& damaged : retained->damaged) env_->LogError(damaged, "a snapshot is damaged");
    const Seq older = Planted(PlantedBug::kTrimmedByNewest) ? synced : retained->journal_may_go_up_to();
    const absl::StatusOr<RetentionReport> report = ApplyRetention(
        env_->fs(), env_->layout,
        {.older_snapshot = older, .synced = std::max(synced, env_->mark.synced()), .cap_bytes = RetainBytesMax()});
    status = report.status();
    if (status.ok() && report->segments_cut != 0) {
      env_->Say(LogSeverity::kInfo, absl::StrCat("cut ", report->segments_cut,
                                                 " segment(s), the journal begins with seq ", report->first_kept));
    }
    if (status.ok()) {
      for (const std::string& name : report->lost) {
        env_->Say(LogSeverity::kWarning, absl::StrCat("the reader ", name, " was too far behind, and lost its place"));
      }
      SayOfHolds(report->holds);
    }
  }
  // Some of it may be done; the rest is the next snapshot's.
  if (!status.ok()) env_->LogError(status, "the journal could not be cut");
}

bool ReplicaCore::SnapshotIsDue() {
  const SnapshotPolicy policy = {.frames = env_->options.snapshots.frames,
                                 .bytes = env_->options.snapshots.bytes,
                                 .time = env_->options.snapshots.time};
  absl::MutexLock lock(&mutex_);
  if (standing_.board.role() == Role::kStopped || standing_.reign.has_lease()) {
    if (standing_.board.role() != Role::kPrimary || !env_->options.snapshots.on_primary) return false;
  }
  const int64_t now = env_->MonotonicNanos();
  const Seq last = standing_.LastApplied().position.seq;
  const uint64_t bytes = standing_.JournalBytes();
  SinceSnapshot since;
  since.frames = last - std::min(standing_.snapshot_seq, last);
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
  env_->LogError(status, "a snapshot failed, it will be tried again");
}

void ReplicaCore::RunSnapshots() {
  while (!env_->stopping && role() != Role::kStopped) {
    TakeDueSnapshot();
    env_->snapshot_event.Wait(kLookEvery);
  }
}

absl::StatusOr<ReplicaCore::Source> ReplicaCore::FindSource(FileSystem& fs, const JournalLayout& layout,
                                                            const JournalContent& content, const StateHooks& hooks) {
  SnapshotStore store(fs, layout.snapshots());
  for (int looks = 1;; ++looks) {
    SnapshotStore::Found found;
    Seq newest = 0;
    if (hooks.load != nullptr) {
      KB_ASSIGN_OR_RETURN(newest, NewestOf(store));
      KB_ASSIGN_OR_RETURN(found, store.FindNewest(hooks.snapshot_type));
    }
    absl::StatusOr<JournalReader> reader =
        found.snapshot == nullptr ? JournalReader::Open(fs, layout, content)
                                  : JournalReader::OpenAfter(fs, layout, content, found.snapshot->header().last);
    if (reader.ok()) return Source{.found = std::move(found), .reader = *std::move(reader)};
    // The journal may have been cut meanwhile: between two looks at a segment, or behind snapshots that are newer
    // still.
    if (absl::IsNotFound(reader.status()) && looks < kLooksAtCut) continue;
    if (hooks.load == nullptr) return NoSource(reader.status(), found, layout);
    KB_ASSIGN_OR_RETURN(const Seq newest_now, NewestOf(store));
    if (newest_now == newest) return NoSource(reader.status(), found, layout);
  }
}

absl::StatusOr<ReplicaCore::Source> ReplicaCore::OpenSource(FileSystem& fs, const JournalLayout& layout,
                                                            const SyncMark& mark, const JournalContent& content,
                                                            const StateHooks& hooks) {
  KB_RETURN_IF_ERROR(PrepareForTrust(fs, layout, mark));
  KB_ASSIGN_OR_RETURN(Source source, FindSource(fs, layout, content, hooks));
  const auto& snapshot = source.found.snapshot;
  KB_RETURN_IF_ERROR(CheckSegments(fs, layout, mark, snapshot == nullptr ? 0 : snapshot->header().last.position.seq));
  return source;
}

absl::StatusOr<bool> ReplicaCore::LoadSnapshot(SnapshotStore::Found found, JournalReader reader) {
  for (const absl::Status& skipped : found.passed_over) {
    env_->LogError(skipped, "a snapshot is passed over");
    absl::MutexLock lock(&mutex_);
    standing_.recovery.skipped.push_back(std::string(skipped.message()));
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
  if (last.position.seq <= standing_.applied.seq && standing_.applied.seq != 0) return false;
  // With the lock held until the state is whole again, or this replica ends: nobody sees it half loaded.
  absl::Status loaded = env_->hooks.load(*found.snapshot);
  for (int tries = 1; !loaded.ok() && tries < kTriesToLoad; ++tries) {
    env_->LogError(loaded, "a snapshot could not be loaded, it is tried again");
    KB_ASSIGN_OR_RETURN(found.snapshot, SnapshotReader::Open(env_->fs(), found.snapshot->path()));
    loaded = env_->hooks.load(*found.snapshot);
  }
  KB_RETURN_IF_ERROR(loaded);
  read_on();
  standing_.applied = last.position;
  standing_.followed = last;
  standing_.clock.Follow(last.time_ns, /*live=*/false);
  env_->stats->SetApplied(last.position, last.time_ns);
  standing_.snapshot_seq = last.position.seq;
  standing_.recovery.snapshot = found.snapshot->path();
  standing_.recovery.snapshot_seq = last.position.seq;
  return true;
}

absl::Status ReplicaCore::StartOver() {
  const absl::Status gone = WithRepairHint(env_->fs(), env_->layout, reader_.status());
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.Cancel();
    if (standing_.saving.held)
      return absl::UnavailableError("the state is being saved");  // whoever does reads it without a lock
    standing_.saving.starting_over = true;
  }
  absl::StatusOr<bool> loaded = false;
  if (env_->hooks.load != nullptr) {
    absl::StatusOr<Source> source = FindSource(env_->fs(), env_->layout, env_->content, env_->hooks);
    // A device that did not give some bytes once may give them when it is asked again.
    for (int tries = 1; absl::IsDataLoss(source.status()) && tries < kTriesToLoad; ++tries) {
      env_->LogError(source.status(), "can't start over from a snapshot, it is tried again");
      source = FindSource(env_->fs(), env_->layout, env_->content, env_->hooks);
    }
    if (IsTransient(source.status())) {
      // The state is as it was.
      absl::MutexLock lock(&mutex_);
      standing_.saving.starting_over = false;
      standing_.board.Note(source.status(), "can't start over from a snapshot, it is tried again");
      return source.status();
    }
    loaded = source.ok() ? LoadSnapshot(std::move(source->found), std::move(source->reader)) : source.status();
  }
  absl::MutexLock lock(&mutex_);
  standing_.saving.starting_over = false;
  if (!loaded.ok()) {
    standing_.Stop(loaded.status());
  } else if (!*loaded) {
    standing_.Stop(gone);
  } else {
    env_->Say(LogSeverity::kWarning, absl::StrCat("too far behind, started over from a snapshot: ", gone.message()));
  }
  return loaded.status();
}

}  // namespace kekbit
