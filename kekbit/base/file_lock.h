// LeadsTo and LockNamedFile are for files that may no longer be the ones their names lead to.

#ifndef KEKBIT_BASE_FILE_LOCK_H_
#define KEKBIT_BASE_FILE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

// Returns true if `path` leads to `file`: false if somebody moved, replaced or deleted the file.
inline absl::StatusOr<bool> LeadsTo(FileSystem& fs, const std::string& path, File& file) {
  KB_ASSIGN_OR_RETURN(const FileInfo held, file.Info());
  const absl::StatusOr<FileInfo> named = fs.Info(path);
  if (absl::IsNotFound(named.status())) return false;
  KB_RETURN_IF_ERROR(named.status());
  return held.SameFile(*named);
}

// Takes the lock of `file`, which was opened by `path`; returns false if somebody else has the
// lock. A lock is on a file, not on a name: if the name has gone to another file, somebody could
// hold that file's lock. In that case returns Unavailable: open the path again.
inline absl::StatusOr<bool> LockNamedFile(FileSystem& fs, File& file, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const bool locked, file.TryLock());
  if (!locked) return false;
  KB_ASSIGN_OR_RETURN(const FileInfo held, file.Info());
  KB_ASSIGN_OR_RETURN(const FileInfo named, fs.Info(path));
  if (held.SameFile(named)) return true;
  return absl::UnavailableError(
      absl::StrCat(path, ": the name leads to inode ", named.inode, ", the lock is on inode ", held.inode));
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_FILE_LOCK_H_
