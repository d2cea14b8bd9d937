// CheckSegments finds out whether segments are gone that a journal had: deleted, or left behind when it was moved.
//
// A journal whose segments are gone looks like a new one, or like one that ends earlier. DIR/synced knows better: it
// says up to which seq all was on the disk, and which segment was made last. The latter counts while the machine runs:
// a power failure may take a segment that was not synced, and leave the word. What no process can be told of is a
// journal of which nothing was ever synced, after a restart of the machine.
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

// Whether the machine has run without a stop since all of the journal was known to be well, and no sync has failed:
// then nothing that was written is missing. An error: it could not look.
absl::StatusOr<bool> NothingLost(FileSystem& fs, const SyncMark& mark);

// DataLoss, with what is missing and the command that shows what can be done. Other errors: it could not look.
// `snapshot`: the seq of the newest one, behind which nothing need be there; 0: there is none.
absl::Status CheckSegments(FileSystem& fs, const JournalLayout& layout, const SyncMark& mark, Seq snapshot);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_MISSING_SEGMENTS_H_
