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
