#include "kekbit/replication/lease/lease_obstacle.h"

#include "kekbit/replication/lease/lease.h"

namespace kekbit {
namespace {

constexpr int64_t kLookEveryNs = 1'000'000'000;

}  // namespace

absl::Status LeaseObstacle::Look(FileSystem& fs, const std::string& path, int64_t now_ns) {
  const absl::MutexLock lock(&mutex_);
  if (looked_ns_ && now_ns < *looked_ns_ + kLookEveryNs) return found_;
  const std::optional<uint64_t> beat = Lease::LastBeat(fs, path);
  const bool silent = looked_ns_ && beat == beat_;
  looked_ns_ = now_ns;
  beat_ = beat;
  found_ = Lease::CheckLocks(fs, path, silent ? LockSearch::kProcesses : LockSearch::kKinds);
  return found_;
}

}  // namespace kekbit
