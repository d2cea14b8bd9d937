// Futexes wait until somebody changes a word of 32 bits, and wake those that wait (futex(2)).
//
// Every wait may end for no reason: the caller looks again at what is waited for.

#ifndef KEKBIT_BASE_FUTEX_H_
#define KEKBIT_BASE_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <ctime>

#include "absl/time/time.h"

namespace kekbit {

// For a word that several processes share; a mapping for reading will do.

// Sleeps while the word is `value`, at most `timeout`.
inline void FutexWait(const void* word, uint32_t value, absl::Duration timeout) {
  const timespec relative = absl::ToTimespec(timeout);
  const timespec* const limit = timeout == absl::InfiniteDuration() ? nullptr : &relative;
  ::syscall(SYS_futex, word, FUTEX_WAIT, value, limit, nullptr, 0);
}
inline void FutexWakeAll(const void* word) { ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

// For a word of this process. Each wait names a set of bits, and a waking is for waits whose set
// has one of its bits.

// Sleeps while the word is `value`, until `deadline`.
inline void PrivateFutexWait(const void* word, uint32_t value, uint32_t bits, absl::Time deadline) {
  const timespec absolute = absl::ToTimespec(deadline);
  const timespec* const limit = deadline == absl::InfiniteFuture() ? nullptr : &absolute;
  ::syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, value, limit, nullptr,
            bits);
}
inline void PrivateFutexWake(const void* word, uint32_t bits, int count = INT_MAX) {
  ::syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, bits);
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_FUTEX_H_
