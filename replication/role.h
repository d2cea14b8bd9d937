// Words for what a replica is, and for how far a command has got.

#ifndef KEKBIT_REPLICATION_ROLE_H_
#define KEKBIT_REPLICATION_ROLE_H_

#include "absl/strings/string_view.h"

namespace kekbit {

enum class Role {
  kFollower,  // applies what the primary publishes, and takes over when it may
  kPrimary,   // takes commands
  kStopped,   // can't go on: Replica::status() says why
};

// "follower", "primary" or "stopped".
absl::string_view RoleName(Role role);

// Ack says how far a command has got when it is acknowledged.
enum class Ack {
  kPublished,  // readers can see the command, which survives the death of the process, not of the machine
  kSynced,     // the command is on stable storage and survives power loss, on a disk that honours flush
};

// "published" or "synced".
absl::string_view AckName(Ack ack);

// Successor says to whom a primary that steps down leaves the lease.
enum class Successor {
  kStandby,  // another living replica that may lead; if none is seen, it stays primary
  kAnybody,  // whoever comes
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ROLE_H_
