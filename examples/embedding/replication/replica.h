// The tally's replica, by kekbit's: see frame.h about the names of these files.

#ifndef REPLICATION_REPLICA_H_
#define REPLICATION_REPLICA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kekbit/replication/replica.h"
#include "tally.h"

namespace tally {

using Replica = kekbit::Replica<Tally>;

// A follower that takes over when it may, with all of the journal in `directory` applied.
inline absl::StatusOr<std::unique_ptr<Replica>> OpenReplica(const std::string& directory) {
  return Replica::Open({.directory = directory});
}

}  // namespace tally

#endif  // REPLICATION_REPLICA_H_
