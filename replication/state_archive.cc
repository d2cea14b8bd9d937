#include "kekbit/replication/state_archive.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"

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

absl::Status LoadChecked(SnapshotReader& snapshot, const SnapshotType& known,
                         absl::FunctionRef<absl::Status(SnapshotInput&)> load) {
  const auto in_snapshot = [&snapshot](const absl::Status& status) {
    if (status.ok() || status.message().find(snapshot.path()) != absl::string_view::npos) return status;
    return absl::Status(status.code(), absl::StrCat(snapshot.path(), ": ", status.message()));
  };
  KB_RETURN_IF_ERROR(in_snapshot(CheckSnapshotType(snapshot.header().type, known)));
  absl::Status loaded = load(snapshot);
  // The snapshot's own error says more than what became of it.
  if (absl::Status read = snapshot.Read(MutableBytes()); !read.ok()) loaded = read;
  if (loaded.ok()) loaded = snapshot.Finish();
  return in_snapshot(ExplainLoaded(loaded, snapshot, known));
}

}  // namespace kekbit::internal
