// StateHooks: what ReplicaCore can do with a state whose type it does not know.

#ifndef KEKBIT_REPLICATION_CORE_STATE_HOOKS_H_
#define KEKBIT_REPLICATION_CORE_STATE_HOOKS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_stream.h"

namespace kekbit {

class SnapshotReader;

// StateHooks is what the core can do with the state, whose type it does not know.
struct StateHooks {
  // Applies frames of kind command, and moves `applied` on to each applied frame; an error ends the
  // replica. Called with mutex() held.
  std::function<absl::Status(absl::Span<const Frame> frames, Position& applied)> apply;
  // Snapshots; null if there can be none. save: while nobody applies anything. load: with mutex()
  // held.
  SnapshotType snapshot_type;  // names the state as `content` does
  std::function<absl::Status(SnapshotOutput&)> save;
  std::function<absl::Status(SnapshotReader&)> load;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_STATE_HOOKS_H_
