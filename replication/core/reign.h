// Reign is what makes a replica the primary: the lease, the journal's writer, and the commit that
// brings to the disk what is written.
//
// A replica that takes over has the lease before it has a writer. The commit stays when a reign is
// over: what was submitted can still be awaited.
//
// Thread safety: guarded by the replica's mutex.

#ifndef KEKBIT_REPLICATION_CORE_REIGN_H_
#define KEKBIT_REPLICATION_CORE_REIGN_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/lease/lease.h"

namespace kekbit {

// Period at which a primary shows that it is alive, and does what else it does now and then.
inline constexpr absl::Duration kTickEvery = absl::Milliseconds(50);

// ClosedSegment is the last segment of the reign before, whose CLOSE this replica wrote: what the
// segment does not need is given back. Number 0: there is none.
struct ClosedSegment {
  SegmentNumber number = 0;
  uint64_t position = 0;  // of its CLOSE
};

class Reign final {
 public:
  Reign() = default;
  Reign(const Reign&) = delete;
  Reign& operator=(const Reign&) = delete;
  ~Reign() { End(); }

  bool has_lease() const { return lease_.has_value(); }
  bool has_writer() const { return writer_.has_value(); }
  // REQUIRES: has_writer().
  JournalWriter& writer() { return *writer_; }
  const JournalWriter& writer() const { return *writer_; }
  // Returns the commit of the last reign; null: there was none.
  const std::shared_ptr<GroupCommit>& commit() const { return commit_; }

  // Takes over a lease that was had at `now_ns`, and gives a sign of life.
  void TakeLease(Lease lease, int64_t now_ns);
  void DropLease() { lease_.reset(); }
  // Begins the reign, in the epoch of the commit.
  void Begin(JournalWriter writer, std::shared_ptr<GroupCommit> commit, ClosedSegment closed);
  // Closes the segment and releases the lease, as far as there are any.
  void End();

  // Shows watchers that this replica is alive, but not more often than they look.
  void Beat(int64_t now_ns);
  // Returns true if the lease's file still has its name. REQUIRES: has_lease().
  absl::StatusOr<bool> LeaseIsNamed(FileSystem& fs) const { return lease_->IsNamed(fs); }
  // Returns the segment whose space is to be given back, once.
  ClosedSegment TakeClosed();

 private:
  std::optional<Lease> lease_;  // released last
  int64_t beat_ns_ = 0;         // when that was shown last to be alive
  ClosedSegment closed_;
  std::shared_ptr<GroupCommit> commit_;
  std::optional<JournalWriter> writer_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_REIGN_H_
