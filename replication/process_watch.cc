#include "replication/process_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kekbit/bytes.h"
#include "kekbit/check.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424  // Linux 5.1
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif

namespace kekbit {
namespace {

int PollMillis(absl::Duration timeout) {
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))), 0, 3'600'000));
}

// 0 if there is no such process.
uint64_t StartTime(FileSystem& fs, uint64_t pid) {
  auto file = fs.Open(absl::StrCat("/proc/", pid, "/stat"), Access::kRead);
  if (!file.ok()) return 0;
  std::vector<uint8_t> text(4096);
  const absl::StatusOr<size_t> size = (*file)->ReadAt(0, MutableBytes(text.data(), text.size()));
  if (!size.ok()) return 0;
  // The second field is the program's name in parentheses, which may hold anything; the third follows the last ')'.
  const absl::string_view stat = AsText(Bytes(text.data(), *size));
  const size_t name_end = stat.rfind(") ");
  if (name_end == absl::string_view::npos) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(stat.substr(name_end + 2), ' ');
  constexpr size_t kStartTime = 22 - 3;
  uint64_t ticks = 0;
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &ticks)) return 0;
  return ticks;
}

uint64_t PidNamespace(FileSystem& fs) {
  const absl::StatusOr<FileInfo> info = fs.Info("/proc/self/ns/pid");
  return info.ok() ? info->inode : 0;
}

}  // namespace

ProcessId ProcessId::Self(FileSystem& fs) {
  const auto pid = static_cast<uint64_t>(::getpid());
  return {.pid = pid, .start_time = StartTime(fs, pid), .pid_namespace = PidNamespace(fs)};
}

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

std::optional<ProcessWatch> ProcessWatch::Open(FileSystem& fs, const ProcessId& process) {
  if (process.pid == 0 || process.pid_namespace == 0 || process.pid_namespace != PidNamespace(fs)) return std::nullopt;
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.pid), 0));
  if (fd < 0) return std::nullopt;
  ProcessWatch watch(fd);
  // Looked at after the process is held: if the start time fits now, the descriptor is of the right one.
  if (StartTime(fs, process.pid) != process.start_time) return std::nullopt;
  return watch;
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0) ::close(fd_);
}

bool ProcessWatch::Wait(StopEvent& stop, absl::Duration timeout) {
  pollfd polls[] = {{.fd = fd_, .events = POLLIN, .revents = 0}, {.fd = stop.fd_, .events = POLLIN, .revents = 0}};
  ::poll(polls, 2, PollMillis(timeout));
  eventfd_t count = 0;
  ::eventfd_read(stop.fd_, &count);
  return (polls[0].revents & POLLIN) != 0;
}

absl::Status ProcessWatch::Kill() {
  if (::syscall(SYS_pidfd_send_signal, fd_, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "pidfd_send_signal(SIGKILL)");
}

}  // namespace kekbit
