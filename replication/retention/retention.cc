#include "kekbit/replication/retention/retention.h"

#include <algorithm>

#include "kekbit/base/check.h"

namespace kekbit {

namespace {

// Returns true if a reader that still has its place wants something of a segment with the frames
// (follows, last].
bool IsWanted(const std::vector<ReaderPlace>& readers, Seq follows, Seq last) {
  return std::any_of(readers.begin(), readers.end(), [&](const ReaderPlace& reader) {
    return reader.unknown || (!reader.lost && reader.done >= follows && reader.done < last);
  });
}

// The bytes of the segments [cut, end) from the first one on that the reader wants something of.
uint64_t HeldBytes(const std::vector<KeptSegment>& segments, size_t cut, size_t end, const ReaderPlace& reader) {
  uint64_t bytes = 0;
  for (size_t i = cut; i < end; ++i) {
    const bool wanted = IsWanted({reader}, segments[i].follows.seq, segments[i + 1].follows.seq);
    if (wanted || bytes != 0) bytes += segments[i].bytes;
  }
  return bytes;
}

}  // namespace

RetentionPlan PlanRetention(const std::vector<KeptSegment>& segments, const std::vector<ReaderPlace>& readers,
                            const RetentionLimits& limits) {
  RetentionPlan plan;
  for (const KeptSegment& segment : segments) plan.bytes_kept += segment.bytes;
  const Seq safe = std::min(limits.older_snapshot, limits.synced);
  // A reader that wants a segment which goes has lost its place, and no longer holds later
  // segments.
  for (; plan.cut + 1 < segments.size(); ++plan.cut) {
    const KeptSegment& segment = segments[plan.cut];
    const Seq last = segments[plan.cut + 1].follows.seq;
    if (last > safe || segment.number == limits.written_segment) break;
    const bool over_cap = limits.cap_bytes != 0 && plan.bytes_kept > limits.cap_bytes;
    if (!over_cap && IsWanted(readers, segment.follows.seq, last)) break;
    plan.bytes_kept -= segment.bytes;
  }
  // The last segment stays, and nothing goes that the older snapshot or a sync does not cover.
  KB_CHECK(plan.cut == 0 || plan.cut < segments.size());
  const Seq before = segments.empty() ? 0 : segments[plan.cut].follows.seq;
  KB_CHECK(plan.cut == 0 || before <= safe);
  plan.first_kept = before + 1;
  for (size_t i = 0; i < readers.size(); ++i) {
    if (!readers[i].unknown && !readers[i].lost && readers[i].done < before) plan.losers.push_back(i);
  }
  size_t end = plan.cut;  // of what snapshots and syncs don't need
  while (end + 1 < segments.size() && segments[end + 1].follows.seq <= safe &&
         segments[end].number != limits.written_segment) {
    ++end;
  }
  for (const ReaderPlace& reader : readers) plan.held_bytes.push_back(HeldBytes(segments, plan.cut, end, reader));
  return plan;
}

}  // namespace kekbit
