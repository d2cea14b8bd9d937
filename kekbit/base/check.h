// KB_CHECK aborts when a caller broke a documented contract (a REQUIRES line) or an invariant does
// not hold.
//
// The check is on in every build: going on with a broken invariant is how a journal gets damaged.
// What the outside world can cause is an absl::Status instead, never a KB_CHECK: a full disk, a
// damaged file, a wrong value.

#ifndef KEKBIT_BASE_CHECK_H_
#define KEKBIT_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#include "absl/base/optimization.h"

namespace kekbit::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: broken contract: %s\n", file, line, condition);
  std::abort();
}

}  // namespace kekbit::internal

#define KB_CHECK(condition)                                            \
  do {                                                                 \
    if (ABSL_PREDICT_FALSE(!(condition))) {                            \
      ::kekbit::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                                  \
  } while (false)

#endif  // KEKBIT_BASE_CHECK_H_
