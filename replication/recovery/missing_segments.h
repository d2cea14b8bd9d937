// CheckSegments finds out whether segments that a journal had are gone: deleted, or lost when the
// journal was moved.
//
// A journal whose segments are gone looks like a new one, or like one that ends earlier. DIR/synced
// knows better: the mark says up to which seq all was on the disk, and which segment was made last.
// The latter counts while the machine runs: a power failure may take a segment that was not synced,
// and leave the word. A journal of which nothing was ever synced can't be told from a new one after
// a restart of the machine.
//
// Thread safety: any thread, also while others write.

#ifndef KEKBIT_REPLICATION_RECOVERY_MISSING_SEGMENTS_H_
#define KEKBIT_REPLICATION_RECOVERY_MISSING_SEGMENTS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// Returns true if the machine has run without a stop since all of the journal was known to be well,
// and no sync has failed. Then nothing that was written is missing. An error: the look failed.
absl::StatusOr<bool> NothingLost(FileSystem& fs, const SyncMark& mark);

// Returns DataLoss, with what is missing and the command that shows what can be done. Other errors:
// the look failed. `snapshot`: the seq of the newest snapshot, up to which no segment need exist;
// 0: there is none.
absl::Status CheckSegments(FileSystem& fs, const JournalLayout& layout, const SyncMark& mark, Seq snapshot);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_MISSING_SEGMENTS_H_
