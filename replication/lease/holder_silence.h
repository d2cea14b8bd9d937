// HolderSilence tells for how long a holder of the lease has shown no sign of life. It is for
// observers that can only read what the holder wrote: its process can't be watched, since it is in
// another pid namespace, say. Pure: knows no clock.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_LEASE_HOLDER_SILENCE_H_
#define KEKBIT_REPLICATION_LEASE_HOLDER_SILENCE_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "kekbit/replication/lease/process_watch.h"

namespace kekbit {

class HolderSilence final {
 public:
  // Takes what a look found at `now_ns`: the holder, and the number of its last sign. Returns for
  // how long looks have found just that, in ns. Between two looks at most `step_ns` count: a
  // watcher that was stopped itself has seen nothing.
  int64_t Look(const ProcessId& holder, uint64_t beat, int64_t now_ns, int64_t step_ns) {
    if (holder_ != holder || beat_ != beat) {
      holder_ = holder;
      beat_ = beat;
      silent_ns_ = 0;
    } else {
      silent_ns_ += std::clamp<int64_t>(now_ns - looked_ns_, 0, step_ns);
    }
    looked_ns_ = now_ns;
    return silent_ns_;
  }

 private:
  std::optional<ProcessId> holder_;
  uint64_t beat_ = 0;
  int64_t looked_ns_ = 0;
  int64_t silent_ns_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_LEASE_HOLDER_SILENCE_H_
