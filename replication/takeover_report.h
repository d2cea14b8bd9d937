// TakeoverReport tells how a replica became primary, and how long each step took.

#ifndef KEKBIT_REPLICATION_TAKEOVER_REPORT_H_
#define KEKBIT_REPLICATION_TAKEOVER_REPORT_H_

#include <string>

#include "absl/time/time.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct TakeoverReport {
  Epoch epoch = 0;
  Seq follows = 0;                                  // the last frame of the reign before; 0: there was none
  absl::Duration lease = absl::ZeroDuration();      // from when it saw the lease free, or its holder die, to having it
  absl::Duration drained = absl::ZeroDuration();    // granting the epoch, and applying what was left
  absl::Duration recovered = absl::ZeroDuration();  // closing, or cutting, what the last primary left open
  absl::Duration synced = absl::ZeroDuration();     // bringing it to stable storage; with Ack::kSynced
  absl::Duration first_append = absl::ZeroDuration();  // opening a segment, and publishing its first frame

  absl::Duration total() const { return lease + drained + recovered + synced + first_append; }
  std::string ToString() const;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_TAKEOVER_REPORT_H_
