#include "kekbit/replication/lease/process_watch.h"

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
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424  // Linux 5.1
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif

namespace kekbit {
namespace {

// Fields of /proc/PID/stat, by their numbers in proc(5).
constexpr size_t kState = 3;
constexpr size_t kFlags = 9;
constexpr size_t kNumThreads = 20;
constexpr size_t kStartTime = 22;

// Flags of a thread that never returns from the kernel: PF_EXITING; PF_DUMPCORE, of the thread that
// writes the dump; PF_POSTCOREDUMP (Linux 5.16), of the others, which wait for the dump before they
// exit. Before 5.16 those have begun to exit, and the bit has another meaning only for such
// threads.
constexpr uint64_t kNeverReturns = 0x4 | 0x200 | 0x8;

// Reads what /proc says of a process or a thread, all of one moment; nullopt if that can't be read.
std::optional<ThreadStat> StatOf(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  uint8_t text[4096];
  const absl::StatusOr<size_t> size = (*file)->ReadAt(0, MutableBytes(text, sizeof text));
  if (!size.ok()) return std::nullopt;
  return ParseThreadStat(AsText(Bytes(text, *size)));
}

std::optional<ThreadStat> StatOf(FileSystem& fs, uint64_t pid) {
  return StatOf(fs, absl::StrCat("/proc/", pid, "/stat"));
}

// Returns 0 if there is no such process.
uint64_t StartTime(FileSystem& fs, uint64_t pid) { return StatOf(fs, pid).value_or(ThreadStat{}).start_time; }

// Whether no thread that a look finds will ever run again.
bool AllThreadsEnd(FileSystem& fs, uint64_t pid) {
  const std::optional<ThreadStat> first = StatOf(fs, pid);
  // One look tells of nearly every process that lives.
  if (!first || !first->never_returns()) return false;
  const std::string directory = absl::StrCat("/proc/", pid, "/task");
  const absl::StatusOr<std::vector<std::string>> threads = fs.List(directory);
  // The kernel ends the list where a thread vanishes meanwhile: the list is then shorter than the
  // earlier count.
  if (first->threads == 0 || !threads.ok() || threads->size() < first->threads) return false;
  for (const std::string& thread : *threads) {
    const std::string path = absl::StrCat(directory, "/", thread, "/stat");
    const std::optional<ThreadStat> stat = StatOf(fs, path);
    // A thread that can't be read is gone, unless its file exists.
    if (stat ? !stat->never_returns() : fs.Info(path).ok()) return false;
  }
  return true;
}

uint64_t PidNamespace(FileSystem& fs) {
  const absl::StatusOr<FileInfo> info = fs.Info("/proc/self/ns/pid");
  return info.ok() ? info->inode : 0;
}

// The inode of a living namespace belongs to no other namespace.
bool IsOfThisNamespace(FileSystem& fs, const ProcessId& process) {
  return process.pid != 0 && process.pid_namespace != 0 && process.pid_namespace == PidNamespace(fs);
}

int OpenPidFd(const ProcessId& process) {
  return static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.pid), 0));
}

}  // namespace

uint64_t TimeNamespace(FileSystem& fs) {
  const absl::StatusOr<FileInfo> info = fs.Info("/proc/self/ns/time");
  return info.ok() ? info->inode : 0;
}

bool ThreadStat::never_returns() const { return (flags & kNeverReturns) != 0; }

std::optional<ThreadStat> ParseThreadStat(absl::string_view text) {
  // The second field is the program's name in parentheses, which may hold anything; the third
  // follows the last ')'.
  const size_t name_end = text.rfind(") ");
  if (name_end == absl::string_view::npos) return std::nullopt;
  const std::vector<absl::string_view> fields = absl::StrSplit(text.substr(name_end + 2), ' ');
  ThreadStat stat;
  if (fields.size() <= kStartTime - kState || fields.front().size() != 1) return std::nullopt;
  stat.state = fields.front().front();
  if (!absl::SimpleAtoi(fields[kFlags - kState], &stat.flags) ||
      !absl::SimpleAtoi(fields[kNumThreads - kState], &stat.threads) ||
      !absl::SimpleAtoi(fields[kStartTime - kState], &stat.start_time)) {
    return std::nullopt;
  }
  return stat;
}

ProcessId ProcessId::Self(FileSystem& fs) {
  const auto pid = static_cast<uint64_t>(::getpid());
  return {.pid = pid, .start_time = StartTime(fs, pid), .pid_namespace = PidNamespace(fs)};
}

std::optional<ProcessWatch> ProcessWatch::Open(FileSystem& fs, const ProcessId& process) {
  if (!IsOfThisNamespace(fs, process)) return std::nullopt;
  const int fd = OpenPidFd(process);
  if (fd < 0) return std::nullopt;
  ProcessWatch watch(fd, process);
  // Check after the process is held: if the start time fits now, the descriptor is of the right
  // process.
  if (StartTime(fs, process.pid) != process.start_time) return std::nullopt;
  return watch;
}

bool ProcessWatch::IsGone(FileSystem& fs, const ProcessId& process) {
  if (!IsOfThisNamespace(fs, process)) return false;
  const int fd = OpenPidFd(process);
  if (fd < 0) return errno == ESRCH;
  ::close(fd);
  // The process that has the pid now may be hidden from this process.
  const uint64_t start_time = StartTime(fs, process.pid);
  // A process that could not read its own start time, for want of descriptors say, does not differ
  // from itself.
  return start_time != 0 && process.start_time != 0 && start_time != process.start_time;
}

bool ProcessWatch::IsStopped(FileSystem& fs, const ProcessId& process) {
  if (!IsOfThisNamespace(fs, process)) return false;
  const std::optional<ThreadStat> stat = StatOf(fs, process.pid);
  return stat && stat->start_time == process.start_time && (stat->state == 'T' || stat->state == 't');
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), process_(other.process_) {}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0) ::close(fd_);
}

bool ProcessWatch::Wait(StopEvent& stop, absl::Duration timeout) const {
  pollfd polls[] = {{.fd = fd_, .events = POLLIN, .revents = 0}, {.fd = stop.fd(), .events = POLLIN, .revents = 0}};
  ::poll(polls, 2, PollMillis(timeout));
  eventfd_t count = 0;
  ::eventfd_read(stop.fd(), &count);
  return (polls[0].revents & POLLIN) != 0;
}

bool ProcessWatch::IsDead() const {
  pollfd poll = {.fd = fd_, .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1 && (poll.revents & POLLIN) != 0;
}

bool ProcessWatch::IsExiting(FileSystem& fs) const {
  if (IsDead()) return true;
  // Look twice: a thread that the first look missed was started by a thread that had not begun to
  // exit then.
  if (!AllThreadsEnd(fs, process_.pid) || !AllThreadsEnd(fs, process_.pid)) return IsDead();
  // The threads were those of the right process: it was not gone when the looks were over, or is
  // dead.
  return StartTime(fs, process_.pid) == process_.start_time || IsDead();
}

absl::Status ProcessWatch::Kill() const {
  if (::syscall(SYS_pidfd_send_signal, fd_, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "pidfd_send_signal(SIGKILL)");
}

}  // namespace kekbit
