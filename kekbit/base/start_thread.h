// StartThread starts a thread, or returns the error that the machine has none to give.

#ifndef KEKBIT_BASE_START_THREAD_H_
#define KEKBIT_BASE_START_THREAD_H_

#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace kekbit {

// Runs `main` on a new thread. ResourceExhausted at a limit of threads or memory.
template <typename Main>
absl::StatusOr<std::thread> StartThread(Main&& main) {
  try {
    return std::thread(std::forward<Main>(main));
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat("a thread could not be started: ", error.what()));
  }
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_START_THREAD_H_
