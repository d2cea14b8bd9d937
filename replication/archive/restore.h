// Restore makes a journal from an archive, as it was at some moment. See archive_format.md.
//
//   KB_ASSIGN_OR_RETURN(const RestoreReport report, Restore(store, fs, "/var/lib/ledger", {}));
//
// The journal appears in its directory whole or not at all: until then all is in DIRECTORY.restoring.
// A restore that was killed is begun again by the next one. Each object, each checksum and each
// link of the chain is checked on the way.
//
// The restored journal is another one than the archived: it has a new incarnation, which says from
// where it comes, and its next epoch is later than all epochs of the archive.
//
// Thread safety: any thread; of several restores into one directory one goes on.

#ifndef KEKBIT_REPLICATION_ARCHIVE_RESTORE_H_
#define KEKBIT_REPLICATION_ARCHIVE_RESTORE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/archive/restore_plan.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct RestoreProgress {
  uint64_t bytes = 0;  // read of the archive
  uint64_t of = 0;     // as far as is known now
  Seq seq = 0;         // restored up to here
};

struct RestoreOptions {
  RestoreTarget target = {};
  // Which incarnation, if the archive holds several; nullopt: the one that was archived last.
  std::optional<uint64_t> incarnation = std::nullopt;
  // Capacity of the longest segments, as ReplicaOptions::segment_bytes. Longer where a record needs
  // it.
  uint32_t segment_bytes = 64u << 20;
  // Called after each object.
  std::function<void(const RestoreProgress&)> on_progress = {};
};

struct RestoreReport {
  uint64_t from_incarnation = 0;
  uint64_t incarnation = 0;
  Position last;             // the last frame that was restored
  int64_t last_time_ns = 0;  // its time
  Seq snapshot = 0;          // the snapshot that the journal begins with; 0: none
  uint64_t frames = 0;       // after that
};

// Returns once the journal is there, on stable storage. OutOfRange: that moment can't be restored;
// DataLoss: an object is missing or damaged; both name it, and what can be restored instead.
// NotFound: no such archive. FailedPrecondition: the directory is not empty, or somebody restores
// into it; or written by a newer kekbit.
absl::StatusOr<RestoreReport> Restore(ObjectStore& store, FileSystem& fs, const std::string& directory,
                                      const RestoreOptions& options);

// Returns the newest manifest of the incarnation, or of the one that was archived last. NotFound if
// there is none.
absl::StatusOr<Manifest> FindManifest(ObjectStore& store, std::optional<uint64_t> incarnation);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_RESTORE_H_
