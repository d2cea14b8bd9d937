// CodeOfErrno says what an error of the system means, for every error number. This is the only
// table of such codes.
//
// Never Unknown. A number that no call on files gives is FailedPrecondition: the system can't do
// that here.

#ifndef KEKBIT_BASE_ERRNO_CODE_H_
#define KEKBIT_BASE_ERRNO_CODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekbit {

// REQUIRES: `error` is not 0.
absl::StatusCode CodeOfErrno(int error);

// Returns an error with that code: "`about`: `operation`: the system's reason", and what to do,
// where that is known.
absl::Status ErrorOf(int error, absl::string_view operation, absl::string_view about);

// Returns the error of a sync that was made and failed: Aborted, whatever the number is. What the
// sync should have written may count as written from now on. See SyncFailed() in file_system.h.
absl::Status SyncErrorOf(int error, absl::string_view operation, absl::string_view about);

}  // namespace kekbit

#endif  // KEKBIT_BASE_ERRNO_CODE_H_
