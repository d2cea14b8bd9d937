// Uninterrupted: a system call that no signal cuts short.

#ifndef KEKBIT_BASE_UNINTERRUPTED_H_
#define KEKBIT_BASE_UNINTERRUPTED_H_

#include <cerrno>

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

}  // namespace kekbit

#endif  // KEKBIT_BASE_UNINTERRUPTED_H_
