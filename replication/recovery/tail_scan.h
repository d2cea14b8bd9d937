// ScanTail looks for whole frames in bytes that a reader of the journal could not read on: behind a place that does not
// fit, or in a segment that does not follow what was read. What they say is evidence of what is missing before them.
//
// A frame is checked by the checksum of the one before it, which it was seeded with; so it takes a frame in front of it
// whose stored checksum is still there, even if the rest of that is not. Any bytes at all give an answer; what looks
// like a frame and is not costs time only.

#ifndef KEKBIT_REPLICATION_RECOVERY_TAIL_SCAN_H_
#define KEKBIT_REPLICATION_RECOVERY_TAIL_SCAN_H_

#include <cstdint>

#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct TailScan {
  uint64_t frames = 0;  // whole frames that were found
  Seq last_seq = 0;     // the greatest seq of them
  // The greatest seq up to which one of them says that everything was synced, and where that frame stands in the data
  // area.
  Seq synced = 0;
  uint64_t synced_offset = 0;
  // Behind the last byte that is not zero, rounded up to 8: up to here there is something to keep.
  uint64_t end = 0;
};

// Scans the data area `data` of a segment from `from` on, a multiple of 8, where a frame that follows `last` should
// stand. `payload_max`: the longest record of the channel. `counts_unsynced`: see SegmentCountsUnsynced().
TailScan ScanTail(Bytes data, uint64_t from, const ChainLink& last, uint64_t payload_max, bool counts_unsynced);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_TAIL_SCAN_H_
