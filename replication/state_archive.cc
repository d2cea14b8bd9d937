#include "kekbit/replication/state_archive.h"

namespace kekbit::internal {

absl::Status ExplainLoaded(const absl::Status& loaded, SnapshotReader& snapshot, const SnapshotType& known) {
  if (absl::IsDataLoss(loaded)) {
    // This may be the state's own word for its input. The file's checksums tell; they have told, if
    // that failed.
    KB_RETURN_IF_ERROR(snapshot.CheckRest());
  } else if (!absl::IsFailedPrecondition(loaded)) {
    return loaded;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      loaded.message(), "; the snapshot is whole: it holds ", snapshot.header().type.ToString(),
      ", which this program can't load as ", known.ToString(), ": another version of the service took it"));
}

}  // namespace kekbit::internal
