// Follower reads the journal of another replica, and applies it to the state.
//
// A follower whose place in the journal was trimmed starts over from a snapshot. After a reign of its
// own it reads on after the last frame that the state holds: it rejoins.
//
// Thread safety: one thread at a time, which holds the mutex of the loop.

#ifndef KEKBIT_REPLICATION_CORE_FOLLOWER_H_
#define KEKBIT_REPLICATION_CORE_FOLLOWER_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/failover.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/recovery/start.h"
#include "kekbit/replication/role.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {

class Follower final {
 public:
  // All of them outlive the follower; `mutex` guards `standing`.
  Follower(Environment& env, absl::Mutex& mutex, Standing& standing, ReplicaStart start);
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Loads the snapshot.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);
  // Applies what was published before. What does not fit then is not an error yet: until EndStart()
  // it may be mended.
  absl::Status CatchUpAtStart() ABSL_LOCKS_EXCLUDED(mutex_);
  void EndStart() { starting_ = false; }

  // Returns false while the journal is poisoned, since this replica opened it: nothing is read.
  bool settled() const { return poisoned_ == 0 || settled_; }
  // Returns true if the holder of the lease has settled the journal by now.
  bool LookIfSettled();
  // Settles the journal: by the holder of the lease. See SettlePoison().
  absl::Status Settle(WriterIs writer);
  // Notes that the journal is recovered, or that this replica no longer holds the lease.
  void ForgetSettled();
  // Notes, for the user, that nothing is read yet.
  void SayUnsettled() ABSL_LOCKS_EXCLUDED(mutex_);

  // Follows until this replica is no follower any more, or env.stopping is true. Calls
  // `try_take_over` whenever a takeover may be due; sleeps until there may be something to do.
  void Run(absl::FunctionRef<void()> try_take_over) ABSL_LOCKS_EXCLUDED(mutex_);
  // Does once what there is to do, without waiting.
  void RunOnce(absl::FunctionRef<void()> try_take_over) ABSL_LOCKS_EXCLUDED(mutex_);

  // Applies what is published; returns whether there was anything.
  bool Follow() ABSL_LOCKS_EXCLUDED(mutex_);
  JournalReader& reader() { return reader_; }
  // Returns what is known of this follower's tries to take over.
  Failover& failover() { return failover_; }
  // Stops if the pages that this replica has read may not be what the disk has. A replica that has
  // read none since the journal was poisoned waits until that is settled.
  bool StopIfPoisoned() ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops if the journal is gone.
  bool StopIfGone() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Role role() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Applies what is there, up to the end of the last segment of now: a busy primary may be as fast
  // as this.
  absl::Status CatchUp() ABSL_LOCKS_EXCLUDED(mutex_);
  // Applies what JournalReader::NextBatch() returned.
  absl::Status Apply(absl::Span<const Frame> frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads on after this replica's last frame when a reign ends. False: has to wait, or failed.
  bool Rejoin() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns true if the journal no longer holds what the reader wants next.
  bool PlaceIsGone();
  // The place where the next frame would stand is gone, `why` says how: starts over from a snapshot,
  // or stops. At the start it returns false for the latter: the end may yet be
  // mended. An error that IsTransient(): not this time.
  absl::StatusOr<bool> StartOver(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes that snapshot the state, and reads on by `reader`, which stands after it. False if there
  // is none, or it is no newer than the state.
  absl::StatusOr<bool> LoadSnapshot(SnapshotStore::Found found, JournalReader reader) ABSL_LOCKS_EXCLUDED(mutex_);
  // Sleeps until there may be something to do.
  void Sleep() ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops if what the reader can't read is not mended in time: whoever has the lease, or is about to
  // take it, may cut it as a torn tail.
  void LookAtMisfit() ABSL_LOCKS_EXCLUDED(mutex_);
  // Checks, now and then, that the journal is there, and has what this follower applied.
  void LookForJournal() ABSL_LOCKS_EXCLUDED(mutex_);

  Environment& env_;
  absl::Mutex& mutex_;
  Standing& standing_ ABSL_GUARDED_BY(mutex_);
  JournalReader reader_;
  Failover failover_;
  SnapshotStore::Found found_;       // to start with
  absl::Span<const Frame> pending_;  // read, not applied yet; reader_'s last batch
  bool starting_ = false;            // what does not fit may yet be mended
  SegmentNumber poisoned_;           // not 0: nothing is read until that is settled
  bool settled_ = false;             // by this replica
  int64_t misfit_since_ns_ = 0;      // since when something does not fit; 0: no
  int64_t misfit_looked_ns_ = 0;     // when it was read again
  int64_t journal_looked_ns_ = 0;    // when the journal was seen last to be there
  absl::Duration sleep_;             // how long the loop slept last
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_FOLLOWER_H_
