// ReplicaCore is the part of a Replica that knows no types: it joins the units of this room to roles,
// following and takeover.
//
// Replica<State> gives the core a function that applies a frame, and appends through the core. All
// that both share, the state included, is guarded by mutex(), and so is Standing. The loop runs in a
// thread of its own or inside Poll(), and owns the Follower. LeaseWatch and SnapshotTaker have a
// thread each.
//
// Takeover (replica_takeover.cc) takes these steps: the lease; the next epoch, which fences holders
// of older ones; the rest of the frames; CLOSE at the end of each segment that was left open; a new
// segment, whose first frame names what it follows; primary. A primary that steps down, or was
// fenced, closes its segment and follows again after its last frame: its state is that of the
// journal up to there.

#ifndef KEKBIT_REPLICATION_CORE_REPLICA_CORE_H_
#define KEKBIT_REPLICATION_CORE_REPLICA_CORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <typeinfo>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/apply_context.h"
#include "kekbit/replication/core/state_hooks.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery_report.h"
#include "kekbit/replication/replica_options.h"
#include "kekbit/replication/role.h"

namespace kekbit {

class ArchiveCopier;
class Follower;
class GroupCommit;
class LeaseWatch;
class SnapshotTaker;
enum class WriterIs;
struct Environment;
struct RecoveryOutcome;
struct ReplicaStart;
struct Standing;

class ReplicaCore final {
 public:
  // `data_format` and `state_name`: what the journal's commands are and shall be; see JournalContent.
  static absl::StatusOr<std::unique_ptr<ReplicaCore>> Open(ReplicaOptions options, uint64_t data_format,
                                                           std::string state_name, StateHooks hooks);

  ReplicaCore(const ReplicaCore&) = delete;
  ReplicaCore& operator=(const ReplicaCore&) = delete;
  // Stops the threads, closes the segment, releases the lease.
  ~ReplicaCore();

  // Loads the newest snapshot, applies what was published before, then starts the threads, if the
  // options want them. Call once, when everything that the hooks use exists. Returns why the
  // journal can't be read.
  absl::Status Start() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex& mutex() ABSL_LOCK_RETURNED(mutex_) { return mutex_; }

  // Appends a command while this replica is primary; see JournalWriter::Append. FailedPrecondition
  // if it is not primary. Aborted if it has just found out that it no longer is: the outcome is
  // unknown. ResourceExhausted also while the disk is nearly full.
  absl::StatusOr<ApplyContext> Append(absl::FunctionRef<absl::StatusOr<size_t>(MutableBytes to)> encode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Appends `count` commands as one publication; see JournalWriter::AppendBatch. The context is the
  // first command's; the others differ in seq alone.
  absl::StatusOr<ApplyContext> AppendBatch(size_t count,
                                           absl::FunctionRef<absl::StatusOr<size_t>(size_t i, MutableBytes to)> encode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Waits until the command at `position`, which this replica appended, has reached the stage.
  absl::Status WaitFor(Position position, Ack stage, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the process for the exception being handled, which `function` of the state threw for the
  // command at `position`. Says so before: in the log, on standard error and in the statistics, and
  // what gets round it.
  [[noreturn]] void EndForException(absl::string_view function, Position position, const std::type_info& command);

  // Calls the user's callbacks for what changed. Without mutex().
  void ReportRole() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Poll() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a snapshot of the state as it is now, and trims the journal. Returns its position.
  absl::StatusOr<Position> TakeSnapshot() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status StepDown(Successor successor) ABSL_LOCKS_EXCLUDED(mutex_);
  bool WaitForRole(Role role, absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until the frame at `position` is applied. Unavailable if that took too long.
  absl::Status WaitForApplied(Position position, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Role role() const ABSL_LOCKS_EXCLUDED(mutex_);
  Position applied() const ABSL_LOCKS_EXCLUDED(mutex_);
  Position state_position() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // The journal's time; see Replica::Now().
  int64_t JournalNow() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);
  const ReplicaOptions& options() const { return options_; }
  RecoveryReport recovery() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Measure how long some of the calls of Execute() take; see ReplicaStats::StartSample().
  int64_t StartSample();
  void AddExecute(int64_t start_ns) {
    if (ABSL_PREDICT_FALSE(start_ns != 0)) AddExecuteSince(start_ns);
  }

 private:
  ReplicaCore(std::unique_ptr<Environment> env, ReplicaStart start);

  // Open(), whose errors say nothing yet of what to do.
  static absl::StatusOr<std::unique_ptr<ReplicaCore>> OpenJournal(ReplicaOptions options, uint64_t data_format,
                                                                  std::string state_name, StateHooks hooks);
  absl::Status CatchUpAndStart() ABSL_LOCKS_EXCLUDED(mutex_);
  // Settles a poisoned journal, if nobody else does. Without the lease: waits for its holder.
  absl::Status SettleAtStart() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns what the lease says of the journal's last writer. REQUIRES: the lease is held.
  WriterIs LastWriter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Recovers the journal's end, if it does not fit, and there is no primary.
  absl::Status MendAtStart() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status StartThreads();

  // Returns the context of the last frame of the writer, which is published, and about to be applied.
  ApplyContext Appended() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AppendFailed(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Takes the lease, if it is free and wanted, and becomes primary.
  void TryTakeOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tries again later, gives the lease up, or stops.
  void TakeoverFailed(const absl::Status& status, int64_t begun_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BecomePrimary() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Applies what is left, and makes the journal's end fit for a new primary, torn or not.
  absl::StatusOr<RecoveryOutcome> Recover() ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns the new reign's GroupCommit, with all segments that hold unsynced frames, if any.
  absl::StatusOr<std::shared_ptr<GroupCommit>> MakeCommit(bool all_synced) ABSL_EXCLUSIVE_LOCKS_REQUIRED(drive_mutex_);

  // Returns once this replica is no primary whose state is being saved.
  void AwaitSaved() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void RunLoop();
  // Does a primary's work of now and then: checks that its journal still exists, looks for room on
  // the disk, and has closed segments synced.
  void Tick() ABSL_LOCKS_EXCLUDED(mutex_);
  // Compares the clocks, and leaves the journal's time to a successor.
  void LookAtClocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes a primary whose lease file was replaced follow, and stops one whose journal is gone.
  void StopIfMoved() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns FailedPrecondition if nobody is seen to stand by.
  absl::Status FindStandby() const;
  void AddExecuteSince(int64_t start_ns);
  void OnSyncPutOff(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnSyncError(Epoch epoch, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::unique_ptr<Environment> env_;
  const ReplicaOptions& options_;  // those of env_

  mutable absl::Mutex mutex_;
  const std::unique_ptr<Standing> standing_ ABSL_PT_GUARDED_BY(mutex_);
  int64_t named_looked_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // when it was seen last that the journal is in its place

  // Held by the thread that runs the loop; taken before mutex_.
  absl::Mutex drive_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  const std::unique_ptr<Follower> follower_ ABSL_PT_GUARDED_BY(drive_mutex_);

  const std::unique_ptr<LeaseWatch> lease_watch_;
  const std::unique_ptr<SnapshotTaker> snapshots_;
  const std::unique_ptr<ArchiveCopier> archive_;
  std::thread loop_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_REPLICA_CORE_H_
