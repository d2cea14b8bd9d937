#include "kekbit/replication/core/reign.h"

#include <utility>

#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {

void Reign::TakeLease(Lease lease, int64_t now_ns) {
  lease_ = std::move(lease);
  lease_->Beat(now_ns);
}

void Reign::Begin(JournalWriter writer, std::shared_ptr<GroupCommit> commit, ClosedSegment closed) {
  closed_ = closed;
  commit_ = std::move(commit);
  writer_.emplace(std::move(writer));
  if (lease_) lease_->SetReign(commit_->epoch());
}

void Reign::End() {
  // Close the segment before the lease: the successor finds it closed.
  writer_.reset();
  if (!Planted(PlantedBug::kLeaseKept)) lease_.reset();
}

void Reign::Beat(int64_t now_ns) {
  if (!lease_ || now_ns - beat_ns_ < absl::ToInt64Nanoseconds(kTickEvery / 2)) return;
  beat_ns_ = now_ns;
  lease_->Beat(now_ns);
}

ClosedSegment Reign::TakeClosed() { return std::exchange(closed_, {}); }

}  // namespace kekbit
