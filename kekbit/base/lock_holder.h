// Whose lock is on a file: for errors that name the process in the way.
//
// kekbit's own locks are exclusive ones of open files, and of those the kernel does not tell the process. It stands in
// /proc/PID/fdinfo of a process that this one may look into: its own user's, or any for root.
//
// Thread safety: any thread. Errors: what can't be seen is left out.

#ifndef KEKBIT_BASE_LOCK_HOLDER_H_
#define KEKBIT_BASE_LOCK_HOLDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

// Whether no part of kekbit takes such a lock.
inline bool IsForeign(const FileLock& lock) { return !lock.exclusive || !lock.of_open_file; }

// The processes that have a lock on the file, as far as they can be seen; ascending. Looks at every descriptor of the
// machine, which takes milliseconds, at most once a second while the same processes hold it.
std::vector<uint64_t> LockHolders(FileSystem& fs, File& file);

// "a read lock of process 4711 (cat)".
std::string LockText(FileSystem& fs, File& file, const FileLock& lock);

// Why the lock of `file` can't be had: FailedPrecondition that names the lock and its process. `holder` is what has a
// lock of kekbit's own kind: "a living writer".
absl::Status LockedError(FileSystem& fs, File& file, absl::string_view holder);

// Takes the lock of `file`, which was opened by `path`, against writers. A read lock of somebody else is no writer's:
// then the file stays unlocked, and all is well. FailedPrecondition if a writer lives, Unavailable as LockNamedFile.
absl::Status LockFromWriters(FileSystem& fs, File& file, const std::string& path);

}  // namespace kekbit

#endif  // KEKBIT_BASE_LOCK_HOLDER_H_
