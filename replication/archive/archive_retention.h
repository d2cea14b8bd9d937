// Archive retention decides which snapshots of an archive stay, and which frames. The decision is
// pure: no store, no clock; Archiver is its hands.
//
// The newest snapshots stay, and those that are young enough; at least kSnapshotsKeptMin, since a
// snapshot may turn out to be damaged. Frames stay from the oldest of these on: every later moment
// can be restored. Without any limit all stays.

#ifndef KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_RETENTION_H_
#define KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_RETENTION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kekbit/replication/archive/manifest.h"

namespace kekbit {

inline constexpr size_t kSnapshotsKeptMin = 2;

struct ArchiveRetention {
  // So many of the newest snapshots stay; 0: this is no reason for one to go.
  size_t snapshots = 0;
  // Snapshots that were archived in the last so many ns stay, too; 0: this is no reason for one to
  // stay.
  int64_t age_ns = 0;

  bool is_set() const { return snapshots != 0 || age_ns != 0; }
};

struct ArchiveRetentionPlan {
  // How many of the manifest's first snapshots and frames entries go.
  size_t snapshots = 0;
  size_t frames = 0;

  bool nothing() const { return snapshots == 0 && frames == 0; }
};

inline ArchiveRetentionPlan PlanArchiveRetention(const Manifest& manifest, const ArchiveRetention& retention,
                                                 int64_t now_ns) {
  ArchiveRetentionPlan plan;
  const size_t count = manifest.snapshots.size();
  const size_t least = std::max(retention.snapshots, kSnapshotsKeptMin);
  if (!retention.is_set() || count <= least) return plan;
  const auto is_young = [&](const SnapshotEntry& snapshot) {
    return retention.age_ns != 0 && snapshot.archived_ns > now_ns - retention.age_ns;
  };
  while (plan.snapshots < count - least && !is_young(manifest.snapshots[plan.snapshots])) ++plan.snapshots;
  if (plan.snapshots == 0) return plan;
  // The entry with the snapshot's own frame stays, too: it shows that the snapshot is of this history.
  const uint64_t oldest = manifest.snapshots[plan.snapshots].seq;
  while (plan.frames < manifest.frames.size() && manifest.frames[plan.frames].last_seq < oldest) ++plan.frames;
  return plan;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_RETENTION_H_
