// ApplyRetention trims the beginning of a journal, as PlanRetention decides.
//
//   absl::StatusOr<RetentionReport> report =
//       ApplyRetention(fs, layout, {.older_snapshot = snapshots[0].seq, ...});
//
// Order: what readers are done with is synced. Then readers that lose their place are told. Then
// segments are unlinked, oldest first; each name is gone from stable storage before the next is
// taken. So whatever stops this, an error, a kill or a power loss, the journal begins a little
// later than before and has no hole.
//
// Readers without a cursor that stand before what is kept get OutOfRange from their JournalReader.
//
// Thread safety: any thread; several processes may do it at once.

#ifndef KEKBIT_REPLICATION_RETENTION_APPLY_RETENTION_H_
#define KEKBIT_REPLICATION_RETENTION_APPLY_RETENTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/retention/retention.h"

namespace kekbit {

// Returns what retention needs to know of a cursor.
ReaderPlace PlaceOf(const CursorView& cursor);

// ReaderHold is a registered reader that keeps segments from going.
struct ReaderHold {
  std::string name;
  bool owned = false;    // somebody has it now
  uint64_t bytes = 0;    // of these segments
  int64_t since_ns = 0;  // the time of the frame that it wants next; 0: not known
};

// Returns the time of the frame after `done`; 0 if that can't be read.
int64_t WaitingSince(FileSystem& fs, const JournalLayout& layout, Seq done);

struct RetentionReport {
  uint64_t segments_cut = 0;
  uint64_t bytes_cut = 0;
  uint64_t bytes_kept = 0;
  Seq first_kept = 1;
  // Names of the readers that lost their place now.
  std::vector<std::string> lost;
  // Cursors that can't be read, each with its reason. They hold all that is kept, up to the cap,
  // until they are removed.
  std::vector<std::string> unreadable;
  // Holds that an operator should look after (see HoldIsWorrying).
  std::vector<ReaderHold> holds;
};

// Does once what can be done. After an error some of it may be done; call again later. DataLoss if
// the journal is damaged: then nothing is trimmed. REQUIRES: limits.older_snapshot was read back
// and verified by somebody, and so was a newer one; limits.synced is true.
absl::StatusOr<RetentionReport> ApplyRetention(FileSystem& fs, const JournalLayout& layout,
                                               const RetentionLimits& limits);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RETENTION_APPLY_RETENTION_H_
