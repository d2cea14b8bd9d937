// The merge plan keeps an archive's objects few: small ones at its end are joined to one, as the
// digits of a counter carry over. So there are some log2(kFramesBytesMax / smallest) small objects
// at most, and a frame is put as often at most. The decision is pure: no store, no clock.

#ifndef KEKBIT_REPLICATION_ARCHIVE_MERGE_PLAN_H_
#define KEKBIT_REPLICATION_ARCHIVE_MERGE_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/manifest.h"

namespace kekbit {

// Returns how many of the last entries are joined with an object of `entry`, which comes next: those
// that are not larger than what is joined already, as far as all are one run of frames with the same
// content, and fit into one object.
inline size_t EntriesToMerge(absl::Span<const FramesEntry> entries, const FramesEntry& entry) {
  uint64_t total = entry.raw_bytes;
  const FramesEntry* next = &entry;
  size_t merged = 0;
  while (merged < entries.size()) {
    const FramesEntry& before = entries[entries.size() - 1 - merged];
    if (!next->Follows(before) || before.content != next->content || before.raw_bytes > total) break;
    if (total + before.raw_bytes > kFramesBytesMax) break;
    total += before.raw_bytes;
    next = &before;
    ++merged;
  }
  return merged;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_MERGE_PLAN_H_
