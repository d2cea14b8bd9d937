#include "kekbit/base/errno_code.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kekbit {

absl::StatusCode CodeOfErrno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:  // of a directory in the middle of the path; see List() for the last one
    case ESRCH:
      return absl::StatusCode::kNotFound;
    case EEXIST:
    case ENOTEMPTY:
      return absl::StatusCode::kAlreadyExists;
    // Nothing was done. It may be done later, when something is given back, or a limit raised.
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOLCK:
    case ENOBUFS:
    case EMLINK:
    case EUSERS:
    case E2BIG:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOKEY:  // of an encrypted directory
    case EKEYEXPIRED:
    case EKEYREVOKED:
    case EKEYREJECTED:
      return absl::StatusCode::kPermissionDenied;
    // Passes by itself.
    case EINTR:
    case EAGAIN:
    case EBUSY:
    case EDEADLK:
    case ETIMEDOUT:
    // The device could not read or change a name or a size: nothing was done. See ReadAt() for
    // bytes.
    case EIO:
      return absl::StatusCode::kUnavailable;
    // The bytes do not fit what the file system or the device says.
    case EUCLEAN:
    case EBADMSG:
    case EHWPOISON:
    case EREMOTEIO:
    case ENODATA:
      return absl::StatusCode::kDataLoss;
    // Something of another kind stands there (EISDIR, ELOOP, ENXIO, ...), or the file system or the
    // kernel lacks the call (EOPNOTSUPP, ENOSYS, EXDEV, ...).
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

absl::Status ErrorOf(int error, absl::string_view operation, absl::string_view about) {
  const char* advice = "";
  if (error == EXDEV) {
    advice = "; both must lie on one file system: keep a journal's directory on one, with all that is in it";
  }
  return absl::Status(CodeOfErrno(error), absl::StrCat(about, ": ", operation, ": ", std::strerror(error), advice));
}

absl::Status SyncErrorOf(int error, absl::string_view operation, absl::string_view about) {
  return absl::AbortedError(ErrorOf(error, operation, about).message());
}

}  // namespace kekbit
