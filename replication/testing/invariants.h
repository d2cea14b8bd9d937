// Invariants of a journal and its replicas, as pure checks of what was seen at one moment, and of two moments in order.
//
//   absl::Status wrong = CheckReplica({.role = replica.role(), .applied = replica.applied(), ...});
//   wrong = CheckReplicaStep(before, now);
//
// Each returns OK, or Internal with the invariant and both values that disagree. They are for tests and
// simulators: what is seen must be of one moment.
//
//   snapshot <= applied <= published, synced <= published     design: "Always"
//   the journal begins no later than after its older snapshot  P9
//   positions, epochs, marks and the journal's beginning never go back while the machine runs     P1, P3, P7
//   the journal's time never goes back and never stands still  P15
//
// Thread safety: plain functions.

#ifndef KEKBIT_REPLICATION_TESTING_INVARIANTS_H_
#define KEKBIT_REPLICATION_TESTING_INVARIANTS_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/role.h"

namespace kekbit {

// A replica at one moment.
struct ReplicaSample {
  Role role = Role::kFollower;
  Position applied;
  // The last frame of the journal, if that is known.
  std::optional<Position> published = std::nullopt;
  // Of the snapshot that it took or loaded last; 0: none.
  Seq snapshot = 0;
};

// A journal at one moment.
struct JournalSample {
  Epoch epoch = 0;          // the newest that was granted
  Seq synced = 0;           // as DIR/synced says
  Seq begins_after = 0;     // the frame before the first one kept
  Seq newest_snapshot = 0;  // 0: there is none
  Seq older_snapshot = 0;   // 0: there are no two
  // The last frame, if that is known.
  std::optional<Position> published = std::nullopt;
};

// A frame's time, and between which moments of a clock that nobody sets the primary stamped it.
struct StampSample {
  int64_t time_ns = 0;
  int64_t after_ns = 0;
  int64_t before_ns = 0;
};

absl::Status CheckReplica(const ReplicaSample& now);
// Of one replica, from its opening on.
absl::Status CheckReplicaStep(const ReplicaSample& before, const ReplicaSample& now);

absl::Status CheckJournal(const JournalSample& now);
// While the machine runs, no sync fails and nobody repairs the journal.
absl::Status CheckJournalStep(const JournalSample& before, const JournalSample& now);

// Of two frames of one run of the machine, the later one second.
absl::Status CheckStamps(const StampSample& before, const StampSample& now);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_TESTING_INVARIANTS_H_
