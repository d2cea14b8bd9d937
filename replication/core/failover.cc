#include "kekbit/replication/core/failover.h"

#include <algorithm>

namespace kekbit {

FailoverStep NextStep(Failover& failover, bool lease_held, int64_t now_ns) {
  if (now_ns < failover.next_try_ns) return FailoverStep::kWait;
  if (lease_held) return FailoverStep::kTakeOver;
  failover.next_try_ns = now_ns + kLookForLeaseEveryNs;
  return FailoverStep::kAskForLease;
}

void NoteLease(Failover& failover) { failover.next_try_ns = 0; }

bool NeedsEpoch(const Failover& failover, Epoch newest) { return failover.granted == 0 || newest != failover.granted; }

FailoverStep AfterFailure(Failover& failover, const TakeoverFailure& failure, int64_t now_ns) {
  const absl::Status& why = failure.why;
  if (absl::IsUnavailable(why)) failover.retry_ns = 0;
  failover.retry_ns = std::clamp(2 * failover.retry_ns, kLookForLeaseEveryNs, kRetryTakeoverEveryNs);
  failover.next_try_ns = now_ns + failover.retry_ns;
  if (failover.granted != 0 && failure.newest != failover.granted &&
      (absl::IsAlreadyExists(why) || absl::IsAborted(why))) {
    // Somebody else was granted an epoch after this replica: the lease's file must have been
    // replaced. This takeover is over, and what stands in its way is that other replica's reign.
    failover.granted = 0;
    return FailoverStep::kGiveUpLease;
  }
  // NotFound: somebody trimmed the journal's beginning meanwhile. AlreadyExists: a taker whose epoch
  // was over made the segment first.
  const bool may_pass = failure.is_transient || absl::IsNotFound(why) || absl::IsAlreadyExists(why);
  return may_pass ? FailoverStep::kTryAgain : FailoverStep::kStop;
}

void NoteReign(Failover& failover) {
  failover.granted = 0;
  failover.retry_ns = 0;
}

bool LeavesLease(const LeaseClaim& claim, Epoch newest, int64_t now_ns) {
  return claim.left_epoch != 0 && newest == claim.left_epoch && now_ns < claim.leave_until_ns;
}

bool HolderWasWriter(const LeaseClaim& claim, const Failover& failover, Epoch newest) {
  const Epoch last = failover.granted == 0 ? newest : failover.reign_before;
  return claim.succeeded != 0 && claim.succeeded == last;
}

}  // namespace kekbit
