// LeaseWatch waits for the death of the lease's holder in a thread of its own, and takes the lease.
// While this replica has the lease, the thread shows that the replica is alive.
//
// Thread safety: AcquireLease() and Beat() any thread; Start() and Join() the owner.

#ifndef KEKBIT_REPLICATION_CORE_LEASE_WATCH_H_
#define KEKBIT_REPLICATION_CORE_LEASE_WATCH_H_

#include <cstdint>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/standing.h"
#include "kekbit/replication/journal/robust_word.h"
#include "kekbit/replication/lease/holder_silence.h"
#include "kekbit/replication/lease/lease_obstacle.h"
#include "kekbit/replication/lease/process_watch.h"

namespace kekbit {

class LeaseWatch final {
 public:
  // All of them outlive the watch; `mutex` guards `standing`.
  LeaseWatch(Environment& env, absl::Mutex& mutex, Standing& standing)
      : env_(env), mutex_(mutex), standing_(standing) {}
  LeaseWatch(const LeaseWatch&) = delete;
  LeaseWatch& operator=(const LeaseWatch&) = delete;

  // Starts the thread, which ends once env.stopping is true and env.lease_event was signalled.
  absl::Status Start();
  void Join();

  // Takes the lease if free, or that of `dead`; false: not held, and looks for the obstacle.
  bool AcquireLease(const std::optional<ProcessId>& dead = std::nullopt) ABSL_LOCKS_EXCLUDED(mutex_);
  // Shows watchers that this replica is alive.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  enum class Asked { kTaken, kHeld, kFailed };
  enum class Life { kDead, kNoSign, kOther };  // kOther: alive, or there is something else to do

  Role role() const ABSL_LOCKS_EXCLUDED(mutex_);
  Asked AskForLease(const std::optional<ProcessId>& dead) ABSL_LOCKS_EXCLUDED(mutex_);
  void LookForObstacle() ABSL_LOCKS_EXCLUDED(mutex_);
  void Run();
  // Watches the holder of the lease until it is dead, and then takes the lease, or until there is
  // something else to do. `told`, if not null, knows when the holder begins to exit.
  void WatchHolder(RobustWordWatch* told);
  // Watches the process that is just taking the lease.
  void WatchTaker();
  // Takes a look at the holder of the lease, or of its turn, that can't be watched. If it has shown
  // no sign of life for as long as this replica waits before it kills: says so.
  void LookAtUnseen(const ProcessId& process, std::optional<uint64_t> beat, HolderSilence& silence)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Says once that this process hangs, and can't be killed; forgets it once it does no more.
  void SayUnkillable(const ProcessId& process, std::optional<uint64_t> beat, const absl::Status& why)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetUnkillable(bool still_hangs) ABSL_LOCKS_EXCLUDED(mutex_);
  bool StillHangs() const;
  // Watches a process that may hang, for `patience`; looks for signs of life after each `step`.
  Life WatchForLife(const ProcessWatch& watch, absl::Duration patience, absl::Duration step,
                    absl::FunctionRef<bool()> no_sign);
  // Returns true if the process is dead. Kills it, if the options say so and it hangs.
  bool AwaitDeath(const ProcessWatch& watch, const ProcessId& holder);
  // Returns true if the holder, which began to exit, will never run again: once that is known.
  bool AwaitExit(const ProcessWatch& watch);

  Environment& env_;
  absl::Mutex& mutex_;
  Standing& standing_ ABSL_GUARDED_BY(mutex_);
  absl::Status unkillable_ ABSL_GUARDED_BY(mutex_);  // what was said of a process that can't be killed
  LeaseObstacle obstacle_;
  // The thread's own: of a holder and a taker out of sight; what unkillable_ was said of.
  HolderSilence holder_silence_;
  HolderSilence taker_silence_;
  std::optional<std::pair<ProcessId, std::optional<uint64_t>>> told_of_;
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_LEASE_WATCH_H_
