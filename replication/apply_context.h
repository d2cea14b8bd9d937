// ApplyContext is all that a state may use besides its own content and the command, so that every
// replica does the same.

#ifndef KEKBIT_REPLICATION_APPLY_CONTEXT_H_
#define KEKBIT_REPLICATION_APPLY_CONTEXT_H_

#include <cstdint>

#include "absl/time/time.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/position.h"

namespace kekbit {

class ApplyContext final {
 public:
  explicit ApplyContext(const FrameHeader& header)
      : position_{.epoch = header.epoch, .seq = header.seq}, time_ns_(header.time_ns) {}
  ApplyContext(Position position, int64_t time_ns) : position_(position), time_ns_(time_ns) {}

  // Returns the position of the command's frame.
  const Position& position() const { return position_; }
  // Returns the journal's time when the primary took the command. This time never goes back and
  // never stands still. Durations are right to a tenth, whatever the machine's clock is set to:
  // compare it only with itself and Replica::Now(). See ReplicaOptions::clock_set_ahead_max.
  absl::Time time() const { return absl::FromUnixNanos(time_ns_); }
  int64_t time_ns() const { return time_ns_; }
  // Returns a seed for random numbers: different for each command, the same on each replica. Not a
  // secret.
  uint64_t random_seed() const {
    uint64_t x = position_.seq * 0x9E37'79B9'7F4A'7C15 ^ position_.epoch ^ static_cast<uint64_t>(time_ns_);
    x = (x ^ (x >> 30)) * 0xBF58'476D'1CE4'E5B9;
    x = (x ^ (x >> 27)) * 0x94D0'49BB'1331'11EB;
    return x ^ (x >> 31);
  }

 private:
  Position position_;
  int64_t time_ns_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_APPLY_CONTEXT_H_
