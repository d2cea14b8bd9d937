// FindStart finds where a replica begins with a journal, and which snapshots keep it from doing so.
// Replica::Open goes by the same rules; here they are applied to every snapshot, and to the journal
// after each.
//
//   auto start = FindStart(fs, layout);
//   if (!start->opens().ok()) Say(start->opens().message());   // no replica opens this journal
//   auto end = FindEnd(fs, layout, mark, base);             // where the frames end for a new primary
//
// Thread safety: one thread at a time. Nothing here changes anything. A journal that lives may be
// trimmed meanwhile, and its snapshots replaced: then all is looked at anew.

#ifndef KEKBIT_TOOLS_KEKBIT_START_H_
#define KEKBIT_TOOLS_KEKBIT_START_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/journal_tail.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {

// SnapshotSeen is a file that is named as a snapshot.
struct SnapshotSeen {
  Seq seq = 0;
  std::string path;
  // OK if the snapshot is whole; DataLoss with path and offset if it is damaged, another code if
  // this version can't read it.
  absl::Status good;
  ChainLink last;  // the last frame of its state, if the snapshot is good
  // OK if the journal goes on after that frame. DataLoss if it has another history, or ends before.
  // OutOfRange if what comes after is no longer kept. FailedPrecondition if this version can't read
  // the journal.
  absl::Status joins;
};

struct JournalStart {
  std::vector<SnapshotSeen> snapshots;  // newest first
  Seq first_kept = 1;                   // of the first segment; 0: it can't be read
  // OK if a replica finds a place to begin: after the newest good snapshot, or, if there is none,
  // with seq 1.
  absl::Status begins;
  // OK if the segments exist that must exist.
  absl::Status there;

  // OK if a replica opens the journal, or begins to.
  absl::Status opens() const { return begins.ok() ? there : begins; }

  // Returns the snapshot that a replica begins with; null: there is no good one.
  const SnapshotSeen* newest_good() const;
};
// Reads every snapshot from the first byte to the last.
absl::StatusOr<JournalStart> FindStart(FileSystem& fs, const JournalLayout& layout);

// JournalBase is something to go on from: a snapshot, or the empty state.
struct JournalBase {
  std::optional<SnapshotSeen> snapshot;
  // Whether the journal's frames go on from there. False without a snapshot if the first frames are
  // gone.
  bool joins = true;

  absl::StatusOr<JournalReader> Open(FileSystem& fs, const JournalLayout& layout) const;
};
// Returns the base from which the most is left: as a rule where a replica begins. Of equally good
// ones, returns the newest. FailedPrecondition if something is in the way that this version can't
// read.
absl::StatusOr<JournalBase> ChooseBase(FileSystem& fs, const JournalLayout& layout, const JournalStart& start);

// JournalEnd is where the frames end for a new primary that begins with `base`.
struct JournalEnd {
  JournalTail tail;
  ChainLink last;
};
// `mark`: as it was before anything was read; null: none.
absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark,
                                   const JournalBase& base);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_START_H_
