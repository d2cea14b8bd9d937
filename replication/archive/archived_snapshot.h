// CheckArchivedSnapshot reads a snapshot of an archive back.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_ARCHIVE_ARCHIVED_SNAPSHOT_H_
#define KEKBIT_REPLICATION_ARCHIVE_ARCHIVED_SNAPSHOT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

// OK if the object has the checksum that the snapshot's file had, which was verified before it was
// copied. NotFound; DataLoss; other errors: the store could not be asked.
absl::Status CheckArchivedSnapshot(ObjectStore& store, uint64_t incarnation, const SnapshotEntry& entry);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_ARCHIVED_SNAPSHOT_H_
