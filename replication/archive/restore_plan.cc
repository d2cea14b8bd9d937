#include "kekbit/replication/archive/restore_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace kekbit {
namespace {

// Returns the index of the first entry of the run without a gap that ends with `entry`.
size_t BeginOfRun(const Manifest& manifest, size_t entry) {
  while (entry > 0 && manifest.frames[entry].Follows(manifest.frames[entry - 1])) --entry;
  return entry;
}

}  // namespace

std::string TimeText(int64_t time_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromUnixNanos(time_ns), absl::UTCTimeZone());
}

std::vector<RestorableRange> RestorableRanges(const Manifest& manifest) {
  std::vector<RestorableRange> ranges;
  for (size_t end = manifest.frames.size(); end > 0;) {
    const size_t begin = BeginOfRun(manifest, end - 1);
    const FramesEntry& front = manifest.frames[begin];
    const FramesEntry& back = manifest.frames[end - 1];
    end = begin;
    RestorableRange range = {.first = front.after_seq,
                             .last = back.last_seq,
                             .first_time_ns = front.first_time_ns,
                             .last_time_ns = back.last_time_ns};
    if (front.after_seq != 0) {
      // What was before is gone: a snapshot has to stand for it.
      const auto in_run = [&](const SnapshotEntry& snapshot) {
        return snapshot.seq >= front.after_seq && snapshot.seq <= back.last_seq;
      };
      const auto snapshot = std::find_if(manifest.snapshots.begin(), manifest.snapshots.end(), in_run);
      if (snapshot == manifest.snapshots.end()) continue;
      range.first = snapshot->seq;
      range.first_time_ns = snapshot->time_ns;
    }
    ranges.insert(ranges.begin(), range);
  }
  return ranges;
}

std::string RangesText(const std::vector<RestorableRange>& ranges) {
  if (ranges.empty()) return "nothing";
  return absl::StrJoin(ranges, ", ", [](std::string* text, const RestorableRange& range) {
    absl::StrAppend(text, "seq ", std::max<Seq>(range.first, 1), " to ", range.last, " (",
                    TimeText(range.first_time_ns), " to ", TimeText(range.last_time_ns), ")");
  });
}

const FramesEntry* EntryWith(const Manifest& manifest, Seq seq) {
  const auto entry = std::partition_point(manifest.frames.begin(), manifest.frames.end(),
                                          [&](const FramesEntry& each) { return each.last_seq < seq; });
  return entry == manifest.frames.end() || entry->after_seq >= seq ? nullptr : &*entry;
}

absl::StatusOr<RestorePlan> PlanRestore(absl::string_view archive, const Manifest& manifest,
                                        const RestoreTarget& target) {
  const std::vector<RestorableRange> ranges = RestorableRanges(manifest);
  const auto unknown = [&](absl::string_view what) {
    return absl::OutOfRangeError(absl::StrCat(archive, ": ", what, "; what can be restored: ", RangesText(ranges)));
  };
  if (manifest.frames.empty()) return unknown("there are no frames in the archive");
  RestorePlan plan = {.snapshot = std::nullopt, .first = 0, .last = manifest.end().position.seq};
  if (target.time_ns) {
    // The entry in which the last frame that is not later stands.
    const auto later =
        std::partition_point(manifest.frames.begin(), manifest.frames.end(),
                             [&](const FramesEntry& entry) { return entry.first_time_ns <= *target.time_ns; });
    if (later == manifest.frames.begin()) {
      return unknown(absl::StrCat("begins after ", TimeText(*target.time_ns)));
    }
    plan.last = std::prev(later)->last_seq;
  } else if (target.seq) {
    plan.last = *target.seq;
  }
  const FramesEntry* const entry = EntryWith(manifest, plan.last);
  if (entry == nullptr) return unknown(absl::StrCat("there is no frame of seq ", plan.last));
  const size_t begin = BeginOfRun(manifest, static_cast<size_t>(entry - manifest.frames.data()));
  const FramesEntry& front = manifest.frames[begin];
  for (const SnapshotEntry& snapshot : manifest.snapshots) {
    const bool late = target.time_ns ? snapshot.time_ns > *target.time_ns : snapshot.seq > plan.last;
    if (late || snapshot.seq < front.after_seq || snapshot.seq > plan.last) continue;
    plan.snapshot = snapshot;
  }
  if (!plan.snapshot && front.after_seq != 0) {
    return unknown(absl::StrCat("seq ", plan.last, " can't be restored: there is no snapshot between seq ",
                                front.after_seq, ", before which the archive has a gap or its beginning, and that"));
  }
  plan.first = front.after_seq + 1;
  if (plan.snapshot && plan.snapshot->seq > front.after_seq) {
    plan.first = EntryWith(manifest, plan.snapshot->seq)->after_seq + 1;
  }
  return plan;
}

}  // namespace kekbit
