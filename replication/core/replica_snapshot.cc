#include "kekbit/replication/core/replica_snapshot.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/recovery/repair_hint.h"

namespace kekbit {
namespace {

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

absl::StatusOr<StateSource> FindSource(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                       const StateHooks& hooks) {
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
    if (reader.ok()) return StateSource{.found = std::move(found), .reader = *std::move(reader)};
    // The journal may have been cut meanwhile: between two looks at a segment, or behind snapshots that are newer
    // still.
    if (absl::IsNotFound(reader.status()) && looks < kLooksAtCut) continue;
    if (hooks.load == nullptr) return NoSource(reader.status(), found, layout);
    KB_ASSIGN_OR_RETURN(const Seq newest_now, NewestOf(store));
    if (newest_now == newest) return NoSource(reader.status(), found, layout);
  }
}

absl::StatusOr<StateSource> OpenSource(FileSystem& fs, const JournalLayout& layout, const SyncMark& mark,
                                       const JournalContent& content, const StateHooks& hooks) {
  KB_RETURN_IF_ERROR(PrepareForTrust(fs, layout, mark));
  KB_ASSIGN_OR_RETURN(StateSource source, FindSource(fs, layout, content, hooks));
  const auto& snapshot = source.found.snapshot;
  KB_RETURN_IF_ERROR(CheckSegments(fs, layout, mark, snapshot == nullptr ? 0 : snapshot->header().last.position.seq));
  return source;
}

}  // namespace kekbit
