// Finds and puts manifests: what of an archive is there, and how it goes on. See archive_format.md.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_INDEX_H_
#define KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_INDEX_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

// Returns the incarnations that the archive holds, ascending by when their newest manifest was put.
absl::StatusOr<std::vector<uint64_t>> ListIncarnations(ObjectStore& store);

// Returns the manifest with the highest number, also where a listing lags; nullopt if there is
// none. DataLoss if that manifest is damaged: what it names is not known then.
absl::StatusOr<std::optional<Manifest>> NewestManifest(ObjectStore& store, uint64_t incarnation);

// Puts the manifest under its number; returns how many bytes it has. Aborted if another copier was
// first: its manifest counts. After another error nobody knows.
absl::StatusOr<uint64_t> PutManifest(ObjectStore& store, const Manifest& manifest);

// Deletes manifests that were superseded more than `age_ns` ago, by the store's times, `now_ns` and
// the numbers: those before the one that is older than that. Best effort.
absl::Status DeleteOldManifests(ObjectStore& store, const Manifest& newest, int64_t now_ns, int64_t age_ns);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_ARCHIVE_INDEX_H_
