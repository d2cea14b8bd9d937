// Clock is where kekbit reads the time from, so that tests and simulations can control time.
//
// Thread safety: every method may be called by any thread at any time.

#ifndef KEKBIT_BASE_CLOCK_H_
#define KEKBIT_BASE_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace kekbit {

class Clock {
 public:
  virtual ~Clock() = default;

  // Returns nanoseconds since the Unix epoch, which jump when the machine's clock is set.
  virtual int64_t RealtimeNanos() const { return Read(CLOCK_REALTIME); }

  // Returns nanoseconds since some moment in the past, which never go back. For timeouts and
  // durations.
  virtual int64_t MonotonicNanos() const { return Read(CLOCK_MONOTONIC); }

  // Returns nanoseconds like MonotonicNanos(), but goes on while the machine sleeps. For durations
  // that outlast a sleep.
  virtual int64_t BootNanos() const { return MonotonicNanos(); }

  // Returns the machine's own clock, which lives as long as the process.
  static const Clock& System();

 protected:
  static int64_t Read(clockid_t id) {
    timespec now;
    ::clock_gettime(id, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  }
};

inline const Clock& Clock::System() {
  class SystemClock final : public Clock {
   public:
    int64_t BootNanos() const override { return Read(CLOCK_BOOTTIME); }
  };
  static const SystemClock clock;
  return clock;
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_CLOCK_H_
