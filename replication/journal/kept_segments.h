// Lists the segments that a journal still has, as their extension blocks tell. No frame is read,
// nothing is mapped.
//
// Thread safety: any thread. Others may trim the journal meanwhile.

#ifndef KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_
#define KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// KeptSegment is a segment that exists. It holds the frames after `follows`, up to what the next
// segment follows.
struct KeptSegment {
  uint64_t number = 0;
  Position follows;
  uint64_t bytes = 0;  // on the disk
};

// Returns that segment. NotFound if it is gone; DataLoss if it is none, or has another number.
absl::StatusOr<KeptSegment> LookAtSegment(FileSystem& fs, const JournalLayout& layout, SegmentNumber number);

// Lists all segments, in order. DataLoss if one is missing in the middle, is no segment, or follows
// less than its predecessor. Unavailable if they were trimmed faster than they could be looked at.
absl::StatusOr<std::vector<KeptSegment>> ListKeptSegments(FileSystem& fs, const JournalLayout& layout);

// Returns what the first frame that is kept follows: {0, 0} in a journal that was never trimmed.
absl::StatusOr<Position> BeforeFirstKept(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_
