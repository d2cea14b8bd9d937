// System calls as the POSIX file system makes them: no signal cuts them short, and what they make
// has the modes of a GroupAccess.
//
// Thread safety: plain functions.

#ifndef KEKBIT_BASE_POSIX_CALLS_H_
#define KEKBIT_BASE_POSIX_CALLS_H_

#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "kekbit/base/errno_code.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

// Runs a system call until no signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

inline mode_t FileMode(GroupAccess group) {
  return group == GroupAccess::kNone ? 0600 : group == GroupAccess::kRead ? 0640 : 0660;
}
inline mode_t DirectoryMode(GroupAccess group) {
  return group == GroupAccess::kNone ? 0700 : group == GroupAccess::kRead ? 0750 : 0770;
}

// Gives what was just made the bits that the umask took from it. Those that it inherited, as its set-group-id bit,
// stay.
inline absl::Status AddMode(int fd, mode_t mode, const std::string& path) {
  struct stat stat;
  if (::fstat(fd, &stat) != 0) return ErrorOf(errno, "fstat", path);
  if ((stat.st_mode & mode) == mode) return absl::OkStatus();
  if (::fchmod(fd, (stat.st_mode & 07777) | mode) != 0) return ErrorOf(errno, "fchmod", path);
  return absl::OkStatus();
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_POSIX_CALLS_H_
