// SimulatedClock: the clocks of a simulated machine. Both stand until somebody moves them, each by itself.
//
// Thread safety: one thread.

#ifndef KEKBIT_TESTS_SUPPORT_SIMULATED_CLOCK_H_
#define KEKBIT_TESTS_SUPPORT_SIMULATED_CLOCK_H_

#include <cstdint>

#include "kekbit/base/clock.h"

namespace kekbit {

class SimulatedClock final : public Clock {
 public:
  int64_t RealtimeNanos() const override { return realtime_ns_; }
  int64_t MonotonicNanos() const override { return monotonic_ns_; }

  // Lets time go by, on both clocks.
  void Advance(int64_t ns) {
    realtime_ns_ += ns;
    monotonic_ns_ += ns;
  }
  // Sets the machine's clock ahead or back; durations don't see it.
  void StepRealtime(int64_t ns) { realtime_ns_ += ns; }
  void SetRealtime(int64_t ns) { realtime_ns_ = ns; }
  // The machine starts anew: what it measures durations by begins at its beginning.
  void Reboot() { monotonic_ns_ = kBootNs; }

 private:
  static constexpr int64_t kBootNs = 1'000'000'000;

  int64_t realtime_ns_ = 1'700'000'000'000'000'000;
  int64_t monotonic_ns_ = kBootNs;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_SIMULATED_CLOCK_H_
