// Files that are still the ones their names lead to: LeadsTo, and LockNamedFile, the lock of such a file.

#ifndef KEKBIT_BASE_FILE_LOCK_H_
#define KEKBIT_BASE_FILE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

// Whether `path` leads to `file`: not if somebody moved, replaced or deleted it.
inline absl::StatusOr<bool> LeadsTo(FileSystem& fs, const std::string& path, File& file) {
  KB_ASSIGN_OR_RETURN(const FileInfo held, file.Info());
  const absl::StatusOr<FileInfo> named = fs.Info(path);
  if (absl::IsNotFound(named.status())) return false;
  KB_RETURN_IF_ERROR(named.status());
  return held.SameFile(*named);
}

// Takes the lock of `file`, which was opened by `path`; false if somebody else has it. A lock is on a file, not on a
// name: had the name gone to another file since, somebody could hold the lock of that one. So then it is Unavailable:
// open the path again.
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
