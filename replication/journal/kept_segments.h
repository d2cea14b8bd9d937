// The segments that a journal still has, as their extension blocks tell: no frame is read, nothing is mapped.
//
// Thread safety: any thread. Others may cut the journal meanwhile.

#ifndef KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_
#define KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// A segment that is there: it holds the frames behind `follows`, up to what the next one follows.
struct KeptSegment {
  uint64_t number = 0;
  Position follows;
  uint64_t bytes = 0;  // on the disk
};

// One segment. NotFound if it is gone; DataLoss if it is none, or is another one.
absl::StatusOr<KeptSegment> LookAtSegment(FileSystem& fs, const JournalLayout& layout, SegmentNumber number);

// All of them, in order. DataLoss if one is missing in the middle, is no segment, or follows less than the one before;
// Unavailable if they were cut faster than they could be looked at.
absl::StatusOr<std::vector<KeptSegment>> ListKeptSegments(FileSystem& fs, const JournalLayout& layout);

// What the first frame that is kept follows: {0, 0} in a journal from which nothing was cut.
absl::StatusOr<Position> BeforeFirstKept(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_KEPT_SEGMENTS_H_
