// FindSource and OpenSource find where a replica's state begins: the newest good snapshot, if any,
// and the later journal.
//
// Thread safety: plain functions.

#ifndef KEKBIT_REPLICATION_CORE_REPLICA_SNAPSHOT_H_
#define KEKBIT_REPLICATION_CORE_REPLICA_SNAPSHOT_H_

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/core/state_hooks.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {

struct StateSource {
  SnapshotStore::Found found;
  JournalReader reader;
};

absl::StatusOr<StateSource> FindSource(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                       const StateHooks& hooks);

// Returns the source of a journal that can be trusted, and is all there.
absl::StatusOr<StateSource> OpenSource(FileSystem& fs, const JournalLayout& layout, const SyncMark& mark,
                                       const JournalContent& content, const StateHooks& hooks);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_REPLICA_SNAPSHOT_H_
