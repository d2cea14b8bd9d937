// FakeClock: a clock that stands until a test moves it.
//
// Thread safety: any thread.

#ifndef KEKBIT_TESTS_SUPPORT_FAKE_CLOCK_H_
#define KEKBIT_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "kekbit/base/clock.h"

namespace kekbit {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(int64_t realtime_ns = 1'700'000'000'000'000'000) : realtime_ns_(realtime_ns) {}

  int64_t RealtimeNanos() const override { return realtime_ns_; }
  int64_t MonotonicNanos() const override { return monotonic_ns_; }

  // Lets time go by, on both clocks.
  void Advance(int64_t ns) {
    realtime_ns_ += ns;
    monotonic_ns_ += ns;
  }
  // Sets the machine's clock; durations don't see it.
  void SetRealtime(int64_t ns) { realtime_ns_ = ns; }

 private:
  std::atomic<int64_t> realtime_ns_;
  std::atomic<int64_t> monotonic_ns_{1'000'000'000};
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FAKE_CLOCK_H_
