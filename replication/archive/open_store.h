// OpenStore opens the object store that an operator names.

#ifndef KEKBIT_REPLICATION_ARCHIVE_OPEN_STORE_H_
#define KEKBIT_REPLICATION_ARCHIVE_OPEN_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

// Opens the store at `location`: a directory, which the first put makes, or s3://BUCKET/PREFIX (see
// s3_location.h). `fs` outlives the store. InvalidArgument for a location of another kind.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(FileSystem& fs, absl::string_view location);

// Returns true if the location holds, or can hold, nothing but an archive: no journal, no channel.
bool IsArchive(FileSystem& fs, absl::string_view location);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_OPEN_STORE_H_
