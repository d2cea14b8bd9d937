#include "kekbit/base/stop_event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "kekbit/base/check.h"

namespace kekbit {

absl::StatusOr<StopEvent> StopEvent::Create() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, "eventfd");
  return StopEvent(fd);
}

StopEvent::StopEvent(StopEvent&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

StopEvent::~StopEvent() {
  if (fd_ >= 0) ::close(fd_);
}

void StopEvent::Signal() { KB_CHECK(::eventfd_write(fd_, 1) == 0); }

bool StopEvent::Wait(absl::Duration timeout) {
  pollfd poll = {.fd = fd_, .events = POLLIN, .revents = 0};
  ::poll(&poll, 1, PollMillis(timeout));
  eventfd_t count = 0;
  return ::eventfd_read(fd_, &count) == 0;
}

int PollMillis(absl::Duration timeout) {
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))), 0, 3'600'000));
}

}  // namespace kekbit
