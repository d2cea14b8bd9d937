// StopEvent lets one thread end another's wait, also a wait on other descriptors.
//
// Thread safety: any thread.

#ifndef KEKBIT_BASE_STOP_EVENT_H_
#define KEKBIT_BASE_STOP_EVENT_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kekbit {

class StopEvent final {
 public:
  // ResourceExhausted if the process has no descriptor left.
  static absl::StatusOr<StopEvent> Create();
  StopEvent(StopEvent&& other) noexcept;
  StopEvent& operator=(StopEvent&&) = delete;
  ~StopEvent();

  // Ends the current wait, or the next one.
  void Signal();
  // Waits for a Signal() that no wait has consumed, at most `timeout`; returns true if there was
  // one.
  bool Wait(absl::Duration timeout);

  // The descriptor that poll(2) finds readable while a Signal() waits to be consumed.
  int fd() const { return fd_; }

 private:
  explicit StopEvent(int fd) : fd_(fd) {}
  int fd_;
};

// Returns `timeout` as poll(2) takes it: whole milliseconds, rounded up, an hour at most.
int PollMillis(absl::Duration timeout);

}  // namespace kekbit

#endif  // KEKBIT_BASE_STOP_EVENT_H_
