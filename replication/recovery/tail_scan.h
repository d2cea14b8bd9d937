// ScanTail looks for whole frames in bytes where a reader of the journal could not read on. Such
// bytes follow a place that does not fit, or are a segment that does not follow what was read.
// Whole frames there are evidence of what is missing before them.
//
// A frame is checked by the checksum of its predecessor, which is its seed. So the stored checksum
// of a frame before must still be there, even if the rest of that frame is not. Any bytes at all
// give an answer; what looks like a frame and is not costs time only.

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
  // The greatest seq up to which a frame found says that everything was synced, and where that
  // frame stands in the data area.
  Seq synced = 0;
  uint64_t synced_offset = 0;
  // The end of the last byte that is not zero, rounded up to 8: up to here there is something to
  // keep.
  uint64_t end = 0;
};

// Scans the data area `data` of a segment from `from` on, where a frame that follows `last` should
// stand. `from`: a multiple of 8. `payload_max`: the longest record of the channel.
// `counts_unsynced`: see SegmentCountsUnsynced().
TailScan ScanTail(Bytes data, uint64_t from, const ChainLink& last, uint64_t payload_max, bool counts_unsynced);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_TAIL_SCAN_H_
