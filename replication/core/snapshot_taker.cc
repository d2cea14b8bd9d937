#include "kekbit/replication/core/snapshot_taker.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/retention/apply_retention.h"
#include "kekbit/replication/snapshot/snapshot_policy.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "kekbit/replication/snapshot/snapshot_writer.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// How often it is asked whether one is due.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

// The part of the disk that segments may take for registered readers, unless the user says how much.
constexpr uint64_t kDiskShare = 4;
}  // namespace

SnapshotTaker::SnapshotTaker(Environment& env, absl::Mutex& mutex, Standing& standing)
    : env_(env), mutex_(mutex), standing_(standing), taken_ns_(env.MonotonicNanos()) {}

absl::Status SnapshotTaker::Start() {
  KB_ASSIGN_OR_RETURN(thread_, StartThread([this] { Run(); }));
  return absl::OkStatus();
}

void SnapshotTaker::Join() {
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<Position> SnapshotTaker::Take() {
  if (env_.hooks.save == nullptr) {
    return absl::FailedPreconditionError("there can be no snapshot of this state: see state_archive.h");
  }
  KB_ASSIGN_OR_RETURN(const ChainLink last, BeginSaving());
  const int64_t begin = env_.MonotonicNanos();
  const absl::Status written = WriteSnapshot(last);
  EndSaving();  // if it did not get that far
  const int64_t now = env_.MonotonicNanos();
  {
    absl::MutexLock lock(&mutex_);
    taking_ = false;
    failures_ = written.ok() ? 0 : failures_ + 1;
    (written.ok() ? taken_ns_ : failed_ns_) = now;
  }
  if (!written.ok()) {
    absl::MutexLock lock(&mutex_);
    standing_.board.TellUser(mutex_);  // a sync that failed has stopped this replica
    return written;
  }
  env_.Say(LogSeverity::kInfo, absl::StrCat("took a snapshot behind ", last.position.ToString(), " in ",
                                            DurationText(absl::Nanoseconds(now - begin))));
  CutJournal(last.position.seq);
  return last.position;
}

absl::StatusOr<ChainLink> SnapshotTaker::BeginSaving() {
  absl::MutexLock lock(&mutex_);
  if (standing_.board.role() == Role::kStopped) return standing_.board.status();
  if (taking_) return absl::UnavailableError(absl::StrCat(env_.options.directory, ": a snapshot is being taken"));
  if (standing_.board.role() == Role::kPrimary && !env_.options.snapshots.on_primary) {
    return absl::FailedPreconditionError(absl::StrCat(
        env_.options.directory, ": a snapshot would stop the primary; let a follower take it, or set on_primary"));
  }
  if (standing_.board.role() == Role::kFollower &&
      (standing_.reign.has_lease() || standing_.rejoins || standing_.saving.starting_over)) {
    return absl::UnavailableError(
        absl::StrCat(env_.options.directory, ": no snapshot while the role or the state changes"));
  }
  taking_ = standing_.saving.held = true;
  standing_.snapshot_seq = standing_.LastApplied().position.seq;
  bytes_ = standing_.JournalBytes();
  return standing_.LastApplied();
}

void SnapshotTaker::EndSaving() {
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.held = false;
    standing_.saving.writer = nullptr;
  }
  env_.wake.Notify();
}

absl::Status SnapshotTaker::WriteSnapshot(const ChainLink& last) {
  FileSystem& fs = env_.fs();
  const SnapshotHeader header = {
      .last = last,
      .type = env_.hooks.snapshot_type,
      .compression = env_.options.snapshots.compressed ? SnapshotCompression::kZstd : SnapshotCompression::kNone};
  SnapshotWriterOptions options;
  options.free_bytes_min = env_.options.free_bytes_min.value_or(0);
  options.own_threads = env_.options.threads;
  if (env_.options.snapshots.on_progress) {
    options.progress = [this](const SnapshotProgress& progress) {
      env_.options.snapshots.on_progress(progress.raw_bytes);
    };
  }
  const int64_t begin = env_.MonotonicNanos();
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<SnapshotWriter> writer,
                      SnapshotWriter::Begin(fs, env_.layout.snapshots(), header, std::move(options)));
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.writer = writer.get();
    if (standing_.reign.has_lease() && standing_.board.role() == Role::kFollower) writer->Cancel();  // it came between
  }
  const absl::Status saved = env_.hooks.save(*writer);
  EndSaving();
  KB_RETURN_IF_ERROR(saved);
  if (Planted(PlantedBug::kSnapshotNotVerified)) {
    const Seq seq = last.position.seq;
    ApplyRetention(fs, env_.layout, {.older_snapshot = seq, .synced = seq}).IgnoreError();
  }
  KB_RETURN_IF_ERROR(writer->Complete());
  // A snapshot is never ahead of what the disk has of the journal.
  if (!Planted(PlantedBug::kSnapshotAheadOfSync)) KB_RETURN_IF_ERROR(SyncThrough(last.position.seq));
  KB_RETURN_IF_ERROR(writer->Publish());
  env_.stats->AddSnapshot(
      {.position = last.position, .bytes = writer->progress().file_bytes, .took_ns = env_.MonotonicNanos() - begin});
  return absl::OkStatus();
}

absl::Status SnapshotTaker::SyncThrough(Seq seq) {
  std::shared_ptr<GroupCommit> commit;
  {
    absl::MutexLock lock(&mutex_);
    if (standing_.board.role() == Role::kPrimary) commit = standing_.reign.commit();
  }
  if (commit != nullptr) return commit->WaitFor(seq, absl::InfiniteFuture());
  if (env_.mark.synced() >= seq || Planted(PlantedBug::kFollowerSyncsNothing)) return absl::OkStatus();
  // By a follower: the same segments, by mappings of its own. The mark is the primary's to move, but for bad news.
  FileSystem& fs = env_.fs();
  KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs, env_.layout, env_.mark.synced()));
  return SegmentSync(fs, env_.layout, env_.mark).Sync(absl::MakeSpan(segments), SegmentSync::kWhole);
}

uint64_t SnapshotTaker::RetainBytesMax() {
  if (env_.options.retain_bytes_max) return *env_.options.retain_bytes_max;
  const absl::StatusOr<uint64_t> total = env_.options.file_system->TotalBytes(env_.options.directory);
  return total.ok() ? *total / kDiskShare : 0;
}

void SnapshotTaker::SayOfHolds(const std::vector<ReaderHold>& holds) {
  std::map<std::string, uint64_t> told;
  for (const ReaderHold& hold : holds) {
    const auto before = holds_told_.find(hold.name);
    // Said again when it has doubled.
    if (before != holds_told_.end() && hold.bytes < 2 * before->second) {
      told.insert(*before);
      continue;
    }
    told[hold.name] = hold.bytes;
    env_.Say(LogSeverity::kWarning,
             absl::StrCat("the reader ", hold.name, hold.owned ? "" : ", which nobody has,", " holds ", hold.bytes,
                          " bytes of the journal",
                          hold.since_ns == 0
                              ? ""
                              : absl::StrCat(", from ",
                                             absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(hold.since_ns),
                                                              absl::UTCTimeZone()),
                                             " on"),
                          "; if it does not come back, `kekbit cursors ", env_.options.directory, " --remove ",
                          hold.name, "` lets them go"));
  }
  holds_told_ = std::move(told);
}

void SnapshotTaker::CutJournal(Seq synced) {
  SnapshotStore store(env_.fs(), env_.layout.snapshots());
  const absl::StatusOr<SnapshotStore::Retained> retained = store.Retain();
  absl::Status status = retained.status();
  if (status.ok()) {
    for (const absl::Status& damaged : retained->damaged) env_.LogError(damaged, "a snapshot is damaged");
    const Seq older = Planted(PlantedBug::kTrimmedByNewest) ? synced : retained->journal_may_go_up_to();
    const absl::StatusOr<RetentionReport> report = ApplyRetention(
        env_.fs(), env_.layout,
        {.older_snapshot = older, .synced = std::max(synced, env_.mark.synced()), .cap_bytes = RetainBytesMax()});
    status = report.status();
    if (status.ok() && report->segments_cut != 0) {
      env_.Say(LogSeverity::kInfo, absl::StrCat("cut ", report->segments_cut,
                                                " segment(s), the journal begins with seq ", report->first_kept));
    }
    if (status.ok()) {
      for (const std::string& name : report->lost) {
        env_.Say(LogSeverity::kWarning, absl::StrCat("the reader ", name, " was too far behind, and lost its place"));
      }
      SayOfHolds(report->holds);
    }
  }
  // Some of it may be done; the rest is the next snapshot's.
  if (!status.ok()) env_.LogError(status, "the journal could not be cut");
}

bool SnapshotTaker::IsDue() {
  const SnapshotPolicy policy = {.frames = env_.options.snapshots.frames,
                                 .bytes = env_.options.snapshots.bytes,
                                 .time = env_.options.snapshots.time};
  absl::MutexLock lock(&mutex_);
  if (standing_.board.role() == Role::kStopped || standing_.reign.has_lease()) {
    if (standing_.board.role() != Role::kPrimary || !env_.options.snapshots.on_primary) return false;
  }
  const int64_t now = env_.MonotonicNanos();
  const Seq last = standing_.LastApplied().position.seq;
  const uint64_t bytes = standing_.JournalBytes();
  SinceSnapshot since;
  since.frames = last - std::min(standing_.snapshot_seq, last);
  since.bytes = bytes - std::min(bytes_, bytes);
  since.time = absl::Nanoseconds(now - taken_ns_);
  since.running = taking_;
  since.failures = failures_;
  since.since_failure = absl::Nanoseconds(now - failed_ns_);
  return SnapshotIsDue(policy, since);
}

void SnapshotTaker::TakeDue() {
  if (!IsDue()) return;
  const absl::Status status = Take().status();
  if (status.ok() || absl::IsCancelled(status) || absl::IsUnavailable(status)) return;
  env_.LogError(status, "a snapshot failed, it will be tried again");
}

bool SnapshotTaker::IsStopped() const {
  absl::MutexLock lock(&mutex_);
  return standing_.board.role() == Role::kStopped;
}

void SnapshotTaker::Run() {
  while (!env_.stopping && !IsStopped()) {
    TakeDue();
    env_.snapshot_event.Wait(kLookEvery);
  }
}

}  // namespace kekbit
