// SyncDirectoriesAbove brings the names of a directory, and of those above it, to stable storage: what was made by
// FileSystem::CreateDirectories() may be gone after a power failure, with all that was synced in it.

#ifndef KEKBIT_REPLICATION_JOURNAL_DIRECTORIES_ABOVE_H_
#define KEKBIT_REPLICATION_JOURNAL_DIRECTORIES_ABOVE_H_

#include <string>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

// Returns once every name on the way to `directory` is on stable storage. One above that this process may not open ends
// it without an error: whoever made the directory for this process has synced that.
inline absl::Status SyncDirectoriesAbove(FileSystem& fs, const std::string& directory) {
  std::string below = directory;
  for (std::string above = DirectoryOf(below); above != below; above = DirectoryOf(below)) {
    const absl::Status synced = fs.SyncDirectory(above);
    if (absl::IsPermissionDenied(synced)) return absl::OkStatus();
    KB_RETURN_IF_ERROR(synced);
    below = above;
  }
  return absl::OkStatus();
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_DIRECTORIES_ABOVE_H_
