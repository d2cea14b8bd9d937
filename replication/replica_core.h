// ReplicaCore is the part of a Replica that knows no types: roles, lease, takeover, the loop that follows the journal.
//
// Replica<State> gives it a function that applies a frame, and appends through it. All that both share, the state
// included, is guarded by mutex(). Its loop runs in a thread of its own or inside Poll(); a second thread waits for the
// death of the primary.
//
// Takeover: the lease; the next epoch, which fences whoever had an older one; the rest of the frames; CLOSE at the end
// of each segment that was left open; a new segment, whose first frame names what it follows; primary.

#ifndef KEKBIT_REPLICATION_REPLICA_CORE_H_
#define KEKBIT_REPLICATION_REPLICA_CORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/wake_event.h"
#include "replication/epoch_store.h"
#include "replication/journal_layout.h"
#include "replication/journal_reader.h"
#include "replication/journal_writer.h"
#include "replication/lease.h"
#include "replication/process_watch.h"
#include "replication/replica_options.h"
#include "replication/segment_preparer.h"

namespace kekbit {

class ReplicaCore final {
 public:
  // Applies a frame of kind command to the state; an error ends the replica. Called with mutex() held.
  using Apply = std::function<absl::Status(const Frame&)>;

  static absl::StatusOr<std::unique_ptr<ReplicaCore>> Open(ReplicaOptions options, uint64_t data_format, Apply apply);

  ReplicaCore(const ReplicaCore&) = delete;
  ReplicaCore& operator=(const ReplicaCore&) = delete;
  // Stops the threads, closes the segment, releases the lease.
  ~ReplicaCore();

  // Applies what is published already, then starts the threads, if the options want them. Once, when everything that
  // `apply` uses is there. The error of a journal that can't be read.
  absl::Status Start() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex& mutex() ABSL_LOCK_RETURNED(mutex_) { return mutex_; }

  // Appends a command while this replica is primary; see JournalWriter::Append. FailedPrecondition if it is not
  // primary, Aborted if it has just found out that it no longer is: its outcome is unknown.
  template <typename Encode>
  absl::StatusOr<FrameHeader> Append(Encode&& encode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ABSL_PREDICT_FALSE(role_ != Role::kPrimary)) return NotPrimary();
    absl::StatusOr<Position> position = writer_->Append(std::forward<Encode>(encode), options_.clock->RealtimeNanos());
    if (ABSL_PREDICT_FALSE(!position.ok())) {
      if (absl::IsAborted(position.status())) Stop(position.status());
      return position.status();
    }
    applied_ = *position;
    FrameHeader header;
    header.epoch = position->epoch;
    header.seq = position->seq;
    header.time_ns = writer_->last().time_ns;
    return header;
  }

  // Calls the user's callback for what changed. Without mutex().
  void ReportRole() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Poll() ABSL_LOCKS_EXCLUDED(mutex_);
  bool WaitForRole(Role role, absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until the frame at `position` is applied. Unavailable if it was not in time.
  absl::Status WaitForApplied(Position position, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Role role() const ABSL_LOCKS_EXCLUDED(mutex_);
  Position applied() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);
  const ReplicaOptions& options() const { return options_; }

 private:
  ReplicaCore(ReplicaOptions options, uint64_t data_format, Apply apply, EpochStore epochs, WakeEvent wake,
              JournalReader reader);

  // The loop's steps; one thread at a time.
  // Applies what is published; returns whether there was anything.
  bool Follow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes the lease, if it is free and wanted, and becomes primary.
  void TryTakeOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BecomePrimary() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Closes what dead primaries left open; returns the number of the last segment there is.
  absl::StatusOr<SegmentNumber> SealOpenSegments() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_);
  bool AcquireLease() ABSL_LOCKS_EXCLUDED(mutex_);

  void RunFollower();
  void RunLeaseWatch();
  // Sleeps until there may be something to do.
  void Sleep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_);

  // Ends this replica: it takes no commands and applies none.
  void Stop(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NotPrimary() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ReplicaOptions options_;
  const uint64_t data_format_;
  const JournalLayout layout_;
  const Apply apply_;
  EpochStore epochs_;

  // Held by whoever runs the loop; taken before mutex_.
  absl::Mutex drive_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  WakeEvent wake_;  // for sleeping: the loop's; for waking the loop: anybody's
  JournalReader reader_ ABSL_GUARDED_BY(drive_mutex_);
  Epoch granted_ ABSL_GUARDED_BY(drive_mutex_) = 0;        // for the takeover under way; 0: none
  int64_t next_try_ns_ ABSL_GUARDED_BY(drive_mutex_) = 0;  // of a takeover; on the monotonic clock
  absl::Duration sleep_ ABSL_GUARDED_BY(drive_mutex_);     // how long the loop slept last

  mutable absl::Mutex mutex_;
  Role role_ ABSL_GUARDED_BY(mutex_) = Role::kFollower;
  Role reported_ ABSL_GUARDED_BY(mutex_) = Role::kFollower;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Position applied_ ABSL_GUARDED_BY(mutex_);
  std::optional<Lease> lease_ ABSL_GUARDED_BY(mutex_);  // released last
  std::unique_ptr<SegmentPreparer> preparer_;           // with threads, for a replica that may lead
  std::optional<JournalWriter> writer_ ABSL_GUARDED_BY(mutex_);

  std::atomic<bool> stopping_ = false;
  std::atomic<bool> lease_held_ = false;  // the loop's sign that lease_ is there
  StopEvent stop_watch_;
  std::thread follower_;
  std::thread lease_watch_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_REPLICA_CORE_H_
