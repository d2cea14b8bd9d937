// Retention decides which segments of a journal may be unlinked, and which registered readers lose
// their place. The decision is pure: no clock, no file, no thread; apply_retention.h is its hands.
//
// A segment may go when all its frames are at or before
//   the older of two verified snapshots: a replica that finds the newer one damaged starts from there;
//   what is synced: the journal's beginning must not be all of it that is safe;
//   and the slowest registered reader that has its place, unless the segments take more bytes than the
//   operator allows: then readers lose their place, the slowest first, as few as will do.
// The segment that is written to, and the last one, stay. The oldest go first, so no hole is left.

#ifndef KEKBIT_REPLICATION_RETENTION_RETENTION_H_
#define KEKBIT_REPLICATION_RETENTION_RETENTION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// ReaderPlace is a registered reader, done with all frames up to `done`.
struct ReaderPlace {
  std::string name;
  Seq done = 0;
  bool lost = false;     // its place was taken away already: it holds nothing
  bool unknown = false;  // its cursor can't be read: it may want anything, and holds all that the cap allows
};

struct RetentionLimits {
  // The seq of the older of two snapshots that were read back and verified; 0: there are no two,
  // nothing may go.
  Seq older_snapshot = 0;
  // Every frame up to this one is on stable storage.
  Seq synced = 0;
  // The segment that is written to; 0: not known, take the last.
  uint64_t written_segment = 0;
  // Beyond so many bytes of segments, readers no longer hold what the snapshots don't need. 0: they
  // hold it for ever.
  uint64_t cap_bytes = 0;
};

struct RetentionPlan {
  size_t cut = 0;      // so many of the segments go, from the first on
  Seq first_kept = 1;  // the first frame that is there afterwards
  uint64_t bytes_kept = 0;
  // Indices of the readers that lose their place: by the cap, or because what they want next was
  // gone before.
  std::vector<size_t> losers;
  // By reader: the bytes of segments that would go, were it not for what that reader wants.
  std::vector<uint64_t> held_bytes;
};

// REQUIRES: `segments` are in order, without a hole; none follows less than its predecessor.
RetentionPlan PlanRetention(const std::vector<KeptSegment>& segments, const std::vector<ReaderPlace>& readers,
                            const RetentionLimits& limits);

// Whether an operator should look after a reader that holds so much of `bytes_kept`: nobody has it,
// or it holds most.
inline bool HoldIsWorrying(bool owned, uint64_t held_bytes, uint64_t bytes_kept) {
  return held_bytes != 0 && (!owned || held_bytes > bytes_kept / 2);
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RETENTION_RETENTION_H_
