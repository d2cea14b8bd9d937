// GiveBackSpace gives the disk what closed segments don't need: the space after their CLOSE.
//
// Each reign begins a segment of its own, most of which a short reign leaves unused. The next
// primary gives that back: a closed segment is never written to again. The file keeps its length,
// and readers that map it see zeros where they never look. Where that can't be done safely (see
// File::PunchHole) nothing is done.
//
// Thread safety: one thread, of the process that holds the lease.

#ifndef KEKBIT_REPLICATION_RECOVERY_GIVE_BACK_H_
#define KEKBIT_REPLICATION_RECOVERY_GIVE_BACK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// Gives back what stands after the CLOSE of segment `last`, at `position` of its data area. Does so
// also for short segments directly before, whose reigns may have ended before they could.
absl::Status GiveBackSpace(FileSystem& fs, const JournalLayout& layout, SegmentNumber last, uint64_t position);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_GIVE_BACK_H_
