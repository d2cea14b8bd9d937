// RecoverTail makes the end of a journal fit for a new primary, after whatever end the last primary
// had.
//
//   // The lease is held:
//   SettlePoison(fs, layout, mark, writer);      // before anything of a poisoned segment is read
//   ... apply all that the reader gives ...
//   auto outcome = RecoverTail(fs, layout, reader, mark, options);
//   // outcome->read_on: apply all that the reader gives now, then call it again
//   ... begin the next epoch in segment outcome->next_segment, after reader.last() ...
//
// A clean end is sealed. A torn tail is copied to DIR/aside, then truncated: sealed where it
// begins. Later segments that do not belong to the journal are moved there. Damage is refused and
// changes nothing: DataLoss with the file, the offset, the seq and the command that shows what can
// be done. See tail_verdict.h for what is which.
//
// Whenever the process dies or the power fails in here, the next call does what is left to do.
// Nothing is deleted, no file is shrunk, and no segment is ever appended to.
//
// Thread safety: one thread, of the process that holds the lease.

#ifndef KEKBIT_REPLICATION_RECOVERY_RECOVERY_H_
#define KEKBIT_REPLICATION_RECOVERY_RECOVERY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_seal.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery/journal_tail.h"
#include "kekbit/replication/recovery_report.h"

namespace kekbit {

struct RecoveryOptions {
  // Other evidence of what was on the disk: the newest verified snapshot, the cursors.
  std::vector<KnownSeq> known = {};
  // Whether a clean end is synced, too, with all before. If false, what was published but not
  // synced stays so, and the new primary syncs it, in order. What is not clean is always synced.
  bool sync = true;
  // An operator's word: the journal is truncated before the frame of this seq, if the damage is
  // there, though the frame was synced once. What is truncated is kept aside, like a torn tail. The
  // sync mark then still says that there was more.
  std::optional<Seq> lose_from = std::nullopt;
  // By that word the journal is truncated there though nothing is damaged: the reader stands before
  // the frame of that seq.
  bool whole = false;
  // kDead: every possible writer of the journal is known to be dead, so nobody's locks need to be
  // waited for.
  WriterIs writer = WriterIs::kAsLocked;
  const Clock* clock = &Clock::System();  // for the texts beside what is kept
};

struct RecoveryOutcome {
  // True if the reader has more to give: apply that, then call RecoverTail() again.
  bool read_on = false;
  // The segment in which the next epoch begins.
  SegmentNumber next_segment = 1;
  // True if all up to the reader's last frame is synced now. The sync mark says so, too.
  bool synced = false;

  // True if the tail was torn.
  bool torn = false;
  uint64_t bytes_cut = 0;  // in the last segment
  std::string why;
  std::vector<std::string> aside;  // paths of all that was kept
};

// Once the end is recovered, the mark is no longer poisoned.
//
// Unavailable if the mark is in_doubt(), see SettlePoison(), or some writer still lives;
// ResourceExhausted and the like if a call to the system could not be made: all of these may be
// tried again. Aborted: a sync failed, and the mark is poisoned; or the system has dropped what the
// reader has read, since a sync of it had failed. Whoever opens the journal anew may recover it.
absl::StatusOr<RecoveryOutcome> RecoverTail(FileSystem& fs, const JournalLayout& layout, JournalReader& reader,
                                            SyncMark& mark, const RecoveryOptions& options);

// After a failed sync, makes certain what the segments hold from the poisoned one on: writes what
// can be read of them once more, and syncs that. Until then two readers may find different bytes,
// since the system drops pages that the device does not have. So nobody reads these segments
// before, and others not before RecoverTail() has cut what does not fit. Does nothing if the mark
// is not in_doubt(). By the holder of the lease. Errors: see RecoverTail().
absl::Status SettlePoison(FileSystem& fs, const JournalLayout& layout, SyncMark& mark, WriterIs writer);

// Brings to the disk, in order, all segments up to `last` that may hold something unsynced, and
// their names. Then everything up to `seq`, which ends there, is synced, and the mark says so. Only
// the first `last_bytes` of the last segment's file count: syncing the touched pages after them
// would take longer than all else. Errors: see SegmentSync.
absl::Status SyncJournal(FileSystem& fs, const JournalLayout& layout, SyncMark& mark, SegmentNumber last,
                         uint64_t last_bytes, Seq seq);

// Adds to the report what a takeover cut, if anything.
void AddToReport(const RecoveryOutcome& outcome, RecoveryReport& report);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_RECOVERY_H_
