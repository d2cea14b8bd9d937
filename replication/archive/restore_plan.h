// The restore plan says which part of an archive a restore takes, by the manifest alone. The
// decision is pure: no store, no clock.

#ifndef KEKBIT_REPLICATION_ARCHIVE_RESTORE_PLAN_H_
#define KEKBIT_REPLICATION_ARCHIVE_RESTORE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// RestoreTarget is the moment that is wanted: the last archived frame if both are nullopt.
struct RestoreTarget {
  std::optional<Seq> seq = std::nullopt;          // the last frame that is restored
  std::optional<int64_t> time_ns = std::nullopt;  // or: the last frame whose time is not later
};

// RestorableRange is a run of moments, each of which can be restored.
struct RestorableRange {
  Seq first = 0;  // the state after this frame, and after each later one up to `last`; 0: the empty state
  Seq last = 0;
  int64_t first_time_ns = 0;
  int64_t last_time_ns = 0;
};

// Returns what can be restored, ascending. Several ranges have gaps between them.
std::vector<RestorableRange> RestorableRanges(const Manifest& manifest);
// Writes them for people: "seq 1 to 9000 (2026-01-02T03:04:05.25Z to ...), ...".
std::string RangesText(const std::vector<RestorableRange>& ranges);
// Writes a time of a frame, to the last digit: it is the time that a restore takes.
std::string TimeText(int64_t time_ns);

struct RestorePlan {
  std::optional<SnapshotEntry> snapshot;  // nullopt: begins with the first frame of all
  Seq first = 0;                          // frames from this one on, which begins an object
  Seq last = 0;                           // up to this one; with a time as the target, or up to an earlier one
};

// OutOfRange if the moment can't be restored, with what can be; `archive` is for messages.
absl::StatusOr<RestorePlan> PlanRestore(absl::string_view archive, const Manifest& manifest,
                                        const RestoreTarget& target);

// Returns the entry that holds the frame; nullptr if there is none.
const FramesEntry* EntryWith(const Manifest& manifest, Seq seq);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_RESTORE_PLAN_H_
