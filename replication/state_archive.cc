#include "kekbit/replication/state_archive.h"

namespace kekbit::internal {

absl::Status ExplainLoaded(const absl::Status& loaded, SnapshotReader& snapshot, const SnapshotType& known) {
  if (absl::IsDataLoss(loaded)) {
    // That may be the state's own word for what it was given. The file's checksums tell; they have, if it failed.
    KB_RETURN_IF_ERROR(snapshot.CheckRest());
  } else if (!absl::IsFailedPrecondition(loaded)) {
    return loaded;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      loaded.message(), "; the snapshot is whole: it holds ", snapshot.header().type.ToString(),
      ", which this program can't load as ", known.ToString(), ": another version of the service took it"));
}

}  // namespace kekbit::internal
