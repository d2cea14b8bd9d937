// SnapshotTaker takes snapshots of a replica's state, by itself in a thread of its own or when it is
// told to, and trims the journal after each.
//
// A follower applies nothing while its state is saved; a takeover ends the saving at once.
//
// Thread safety: Take() and TakeDue() any thread; Start() and Join() the owner.

#ifndef KEKBIT_REPLICATION_CORE_SNAPSHOT_TAKER_H_
#define KEKBIT_REPLICATION_CORE_SNAPSHOT_TAKER_H_

#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/apply_retention.h"

namespace kekbit {

class SnapshotTaker final {
 public:
  // All of them outlive the taker; `mutex` guards `standing`.
  SnapshotTaker(Environment& env, absl::Mutex& mutex, Standing& standing);
  SnapshotTaker(const SnapshotTaker&) = delete;
  SnapshotTaker& operator=(const SnapshotTaker&) = delete;

  // Starts the thread, which ends once env.stopping is true and env.snapshot_event was signalled.
  absl::Status Start();
  void Join();

  // Takes a snapshot of the state as it is now, and trims the journal. Returns its position.
  absl::StatusOr<Position> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a snapshot, if due; notes and logs the outcome.
  void TakeDue() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run();
  bool IsStopped() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsDue() ABSL_LOCKS_EXCLUDED(mutex_);
  // Holds the state as of the returned frame: no change from OK until EndSaving().
  absl::StatusOr<ChainLink> BeginSaving() ABSL_LOCKS_EXCLUDED(mutex_);
  void EndSaving() ABSL_LOCKS_EXCLUDED(mutex_);
  // Does everything of Take() but the turn-taking. Calls EndSaving() as soon as possible.
  absl::Status WriteSnapshot(const ChainLink& last) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns once the journal is synced up to that frame, which this replica has applied.
  absl::Status SyncThrough(Seq seq) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns the cap of ReplicaOptions::retain_bytes_max; 0: none.
  uint64_t RetainBytesMax();
  // Logs who holds the journal, but not each time that it is the same. By whoever takes a snapshot.
  void SayOfHolds(const std::vector<ReaderHold>& holds);
  void CutJournal(Seq synced) ABSL_LOCKS_EXCLUDED(mutex_);

  Environment& env_;
  absl::Mutex& mutex_;
  Standing& standing_ ABSL_GUARDED_BY(mutex_);
  bool taking_ ABSL_GUARDED_BY(mutex_) = false;  // a snapshot is being taken
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;   // Standing::JournalBytes() at the last one
  int64_t taken_ns_ ABSL_GUARDED_BY(mutex_);     // when, on the monotonic clock
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;     // in a row
  int64_t failed_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, uint64_t> holds_told_;  // bytes by reader, as logged; by whoever has made taking_ true
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_SNAPSHOT_TAKER_H_
