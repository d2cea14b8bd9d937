// SnapshotPolicy says when to take a snapshot. Pure: no clock, no file, no state of its own.
//
//   SnapshotPolicy policy{.frames = 1'000'000, .time = absl::Hours(1)};      // whichever comes first
//   if (SnapshotIsDue(policy, {.frames = applied - last_snapshot, ...})) ...
//
// Thread safety: plain functions.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_POLICY_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_POLICY_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace kekbit {

// Each field that is not 0 is a reason to take a snapshot as soon as so much has come since the
// last. All 0: only when the service asks for it.
struct SnapshotPolicy {
  uint64_t frames = 0;
  uint64_t bytes = 0;  // of the journal
  absl::Duration time = absl::ZeroDuration();
};

// SinceSnapshot is what has happened since the last good snapshot, or the journal's beginning.
struct SinceSnapshot {
  uint64_t frames = 0;
  uint64_t bytes = 0;
  absl::Duration time = absl::ZeroDuration();

  bool running = false;  // one is being taken
  int failures = 0;      // attempts that failed, one after the other
  absl::Duration since_failure = absl::ZeroDuration();
};

// Returns how long to wait after so many failures: a second, two, four, ... up to five minutes. A
// full disk does not get emptier by being written to.
inline absl::Duration SnapshotRetryDelay(int failures) {
  if (failures <= 0) return absl::ZeroDuration();
  return std::min(absl::Seconds(int64_t{1} << std::min(failures - 1, 16)), absl::Minutes(5));
}

// Returns whether to take a snapshot now. Never while another is being taken, nor of a state that has
// one already, nor before the delay after a failure is over.
inline bool SnapshotIsDue(const SnapshotPolicy& policy, const SinceSnapshot& since) {
  if (since.running || since.frames == 0) return false;
  if (since.since_failure < SnapshotRetryDelay(since.failures)) return false;
  if (policy.frames != 0 && since.frames >= policy.frames) return true;
  if (policy.bytes != 0 && since.bytes >= policy.bytes) return true;
  return policy.time > absl::ZeroDuration() && since.time >= policy.time;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_POLICY_H_
