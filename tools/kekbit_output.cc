#include "tools/kekbit_output.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace kekbit {

Output::Output() { ::signal(SIGPIPE, SIG_IGN); }

void Output::Line(absl::string_view line) {
  if (!open()) return;
  const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) >= 0;
  if (!written) error_ = errno;
}

void Output::Flush() {
  if (open() && std::fflush(stdout) != 0) error_ = errno;
}

void Output::Wait(absl::Duration time) {
  pollfd output{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  const int64_t millis = std::clamp<int64_t>(absl::ToInt64Milliseconds(time), 0, std::numeric_limits<int>::max());
  if (open() && ::poll(&output, 1, static_cast<int>(millis)) > 0 && (output.revents & POLLERR) != 0) error_ = EPIPE;
}

absl::Status Output::status() const {
  if (error_ == 0 || error_ == EPIPE) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("writing to standard output: ", std::strerror(error_)));
}

}  // namespace kekbit
