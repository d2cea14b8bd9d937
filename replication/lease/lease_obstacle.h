// LeaseObstacle finds out why nobody gets the lease, when no replica is the reason: a stranger's
// lock on its files.
//
//   if (the lease could not be taken) status = obstacle.Look(fs, path, now_ns);
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_LEASE_LEASE_OBSTACLE_H_
#define KEKBIT_REPLICATION_LEASE_LEASE_OBSTACLE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

class LeaseObstacle final {
 public:
  // Returns OK, or the error of Lease::CheckLocks(). Looks once a second, and says the same in
  // between. Asks for the owners of kekbit's own kind of locks only while the holder shows no sign
  // of life.
  absl::Status Look(FileSystem& fs, const std::string& path, int64_t now_ns) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  std::optional<int64_t> looked_ns_ ABSL_GUARDED_BY(mutex_);
  std::optional<uint64_t> beat_ ABSL_GUARDED_BY(mutex_);  // of the holder, then
  absl::Status found_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_LEASE_LEASE_OBSTACLE_H_
