// Failover is what a follower that may lead remembers between its tries to take over, and what it
// does next. Pure: knows no clock, no file and no thread.
//
//   switch (NextStep(failover, lease_held, now_ns)) ...    // now and then
//   switch (AfterFailure(failover, {...}, now_ns)) ...     // after a takeover that failed
//
// LeaseClaim is the part that also counts where the lease is asked for, which is another thread.
//
// Thread safety: plain structs. Failover is guarded by the mutex of the loop, LeaseClaim by that of
// the replica.

#ifndef KEKBIT_REPLICATION_CORE_FAILOVER_H_
#define KEKBIT_REPLICATION_CORE_FAILOVER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// Period at which a follower asks for the lease without being told, and looks whether a writer that
// keeps a takeover waiting is gone: it may have been killed in a takeover of its own, and its
// memory is being freed.
inline constexpr int64_t kLookForLeaseEveryNs = 1'000'000;
// After a takeover failed for another reason the follower tries again less and less often, down to
// this.
inline constexpr int64_t kRetryTakeoverEveryNs = 100'000'000;

// Times are of the monotonic clock.
struct Failover {
  Epoch granted = 0;        // for the takeover under way; 0: none
  Epoch reign_before = 0;   // the newest epoch before that
  int64_t next_try_ns = 0;  // 0: as soon as possible
  int64_t retry_ns = 0;     // how long after the last try that failed
};

enum class FailoverStep {
  kWait,         // there is nothing to do yet
  kAskForLease,  // if it is had, take over at once
  kTakeOver,
  kTryAgain,     // note the error, which may pass
  kGiveUpLease,  // another replica has taken over meanwhile: follow that one
  kStop,         // the error is for good
};

// Returns what to do at `now_ns`: kWait, kAskForLease or kTakeOver.
FailoverStep NextStep(Failover& failover, bool lease_held, int64_t now_ns);

// Notes that the lease was had: the takeover begins at once.
void NoteLease(Failover& failover);

// Returns true if a takeover needs an epoch of its own: one that is tried again goes on in the epoch
// that it has, unless `newest`, the newest epoch granted, is another.
bool NeedsEpoch(const Failover& failover, Epoch newest);

struct TakeoverFailure {
  absl::Status why;
  bool is_transient = false;  // IsTransient(why)
  Epoch newest = 0;           // the newest epoch granted to anybody
};

// Returns what to do after a takeover that began at `now_ns` and failed: kTryAgain, kGiveUpLease or
// kStop.
FailoverStep AfterFailure(Failover& failover, const TakeoverFailure& failure, int64_t now_ns);

// Notes that the takeover is done.
void NoteReign(Failover& failover);

struct LeaseClaim {
  Epoch left_epoch = 0;        // the reign that this replica ended itself
  int64_t leave_until_ns = 0;  // until then the lease is for others
  int64_t holder_gone_ns = 0;  // when the lease was seen to come free; 0: it was not
  absl::Duration waited = {};  // from then to having it
  Epoch succeeded = 0;         // the reign of the dead holder whose lease this was
};

// Returns true if this replica leaves the lease to others, none of which has had it yet.
bool LeavesLease(const LeaseClaim& claim, Epoch newest, int64_t now_ns);

// Returns true if the dead holder had begun its reign, and so was the journal's only writer. Of a
// holder that had not, nobody knows whose locks there are otherwise.
bool HolderWasWriter(const LeaseClaim& claim, const Failover& failover, Epoch newest);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_FAILOVER_H_
