// Tells what the file systems of Linux can't do, by the type that statfs() returns.

#ifndef KEKBIT_BASE_FILE_SYSTEM_TYPES_H_
#define KEKBIT_BASE_FILE_SYSTEM_TYPES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace kekbit {

// Returns FailedPrecondition if the file `path`, open as `fd` on a file system of that type, can't
// hold what kekbit promises: see File::CheckSupported.
absl::Status CheckFileSystemType(int fd, uint32_t type, const std::string& path);

// Returns FailedPrecondition if a mapping of a hole can't be read there when the disk is full: see
// File::PunchHole.
absl::Status CheckHolesCanBeRead(uint32_t type, const std::string& path);

}  // namespace kekbit

#endif  // KEKBIT_BASE_FILE_SYSTEM_TYPES_H_
