// Backoff waits between looks at something that another thread or process will change. First come a
// few processor pauses, then twice as many each time; at last the processor is given away.
//
// Backoff is the default way to wait for a writer. A reader that looks again at once takes the
// cache line with the next length away from the writer each time. The writer then is several times
// slower. A reader that pauses leaves the line alone, and then takes what has gathered as a batch.
//
//   Backoff backoff;
//   while (!(payload = reader.TryRead())) backoff.Pause();
//   backoff.Reset();
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_BASE_BACKOFF_H_
#define KEKBIT_BASE_BACKOFF_H_

#include <sched.h>

#include <cstdint>

namespace kekbit {

// Tells the processor that this is a waiting loop.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

class Backoff final {
 public:
  // Waits a little, longer each time, up to some 10 us; then yields the processor.
  void Pause() {
    if (step_ <= kSpinSteps) {
      for (uint32_t i = 0; i < (1u << step_); ++i) SpinPause();
    } else {
      ::sched_yield();
    }
    if (step_ < kSteps) ++step_;
  }

  // Returns true after so long a wait that the caller should sleep or give up.
  bool completed() const { return step_ == kSteps; }

  // Tells that what was waited for has come. The next wait begins with the shortest pause, some 25
  // ns. Where the first pause was long enough each time, things come in a stream: the next wait
  // then begins with a longer pause, up to some 2 us.
  void Reset() {
    if (step_ == first_) return;
    if (step_ > first_ + 1) {
      first_ -= first_ > 0 ? 1 : 0;
    } else if (first_ < kFirstMax) {
      ++first_;
    }
    step_ = first_;
  }

 private:
  static constexpr uint32_t kSpinSteps = 8;  // a pause of 2^8
  static constexpr uint32_t kSteps = 12;
  static constexpr uint32_t kFirstMax = 6;

  uint32_t first_ = 0;  // the step that a wait begins with
  uint32_t step_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_BASE_BACKOFF_H_
