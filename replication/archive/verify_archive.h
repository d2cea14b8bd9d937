// VerifyArchive reads all of an archive, and says what of it can be restored. Nothing is written.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_ARCHIVE_VERIFY_ARCHIVE_H_
#define KEKBIT_REPLICATION_ARCHIVE_VERIFY_ARCHIVE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/archive/restore_plan.h"

namespace kekbit {

struct ArchiveVerdict {
  Manifest manifest;  // as it is
  // Each object that is missing or damaged, with the reason.
  std::vector<absl::Status> bad;
  uint64_t objects = 0;  // that were read
  uint64_t unnamed = 0;  // objects of this incarnation that the manifest does not name
  uint64_t bytes = 0;
  // What can be restored without the bad ones.
  std::vector<RestorableRange> ranges;
  // Every moment from this time on, up to the archive's end, can be restored; nullopt: not even the
  // end.
  std::optional<int64_t> whole_since_ns;
};

// Verifies the newest manifest of the incarnation, or of the one that was archived last, with all
// that it names. `on_object` is called before each object, with its name. NotFound if there is no
// archive; other errors: the store could not be asked.
absl::StatusOr<ArchiveVerdict> VerifyArchive(ObjectStore& store, std::optional<uint64_t> incarnation,
                                             const std::function<void(const std::string& name)>& on_object = {});

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_VERIFY_ARCHIVE_H_
