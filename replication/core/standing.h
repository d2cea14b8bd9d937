// Standing is how a replica stands just now: its role, its reign, and how far its state is. All that
// the replica's mutex guards is here, but for the state itself.
//
// Thread safety: guarded by the replica's mutex.

#ifndef KEKBIT_REPLICATION_CORE_STANDING_H_
#define KEKBIT_REPLICATION_CORE_STANDING_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/failover.h"
#include "kekbit/replication/core/reign.h"
#include "kekbit/replication/core/role_board.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_clock.h"
#include "kekbit/replication/journal/segment_preparer.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery_report.h"
#include "kekbit/replication/snapshot/snapshot_writer.h"
#include "kekbit/replication/testing/invariants.h"

namespace kekbit {

// Saving says who may touch the state while a snapshot is taken or loaded.
struct Saving {
  bool held = false;           // the state is being saved: it must not change
  bool starting_over = false;  // the state is being replaced: it must not be saved
  SnapshotWriter* writer = nullptr;

  // Makes whoever saves the state end within moments.
  void Cancel() {
    if (writer != nullptr) writer->Cancel();
  }
};

struct Standing {
  // `environment` outlives this.
  explicit Standing(Environment& environment);

  // Ends this replica: it takes no commands and applies none.
  void Stop(const absl::Status& why);
  // Ends this replica since a sync of that segment failed, in whatever process.
  void StopPoisoned(SegmentNumber segment);
  // Leaves the lease to others for some time, or until one of them has had it.
  void LeaveLease();
  // Ends the reign: the segment is closed, the lease released; from now on this replica follows.
  void EndReign();
  // Checks "snapshot <= applied", and that neither goes back: see replication/testing/invariants.h.
  void CheckInvariants();
  // Returns the last frame that the state holds.
  ChainLink LastApplied() const { return reign.has_writer() ? reign.writer().last() : followed; }
  // Returns how many bytes of records the state has taken, since this replica began.
  uint64_t JournalBytes() const { return followed_bytes + (reign.has_writer() ? reign.writer().written_bytes() : 0); }

  Environment& env;
  RoleBoard board;
  Position applied;
  JournalClock clock;
  ChainLink followed;           // the last frame applied by following
  uint64_t followed_bytes = 0;  // of the records up to there, since this replica began
  bool rejoins = false;         // the follower's reader stands where a reign began
  RecoveryReport recovery;
  Saving saving;
  Seq snapshot_seq = 0;                  // of the last snapshot, taken or loaded
  std::optional<ReplicaSample> checked;  // by CheckInvariants(), the last time
  LeaseClaim claim;
  std::unique_ptr<SegmentPreparer> preparer;  // with threads, for a replica that may lead
  Reign reign;                                // ends before the preparer

 private:
  // Closes the segment and releases the lease, as far as there are any.
  void LetGo();
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_STANDING_H_
