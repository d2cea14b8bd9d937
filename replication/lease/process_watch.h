// ProcessWatch notices the death of another process at once, and costs nothing until then.

#ifndef KEKBIT_REPLICATION_LEASE_PROCESS_WATCH_H_
#define KEKBIT_REPLICATION_LEASE_PROCESS_WATCH_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/stop_event.h"

namespace kekbit {

// ProcessId names a process, told apart from any later process of the same pid.
struct ProcessId {
  uint64_t pid = 0;
  uint64_t start_time = 0;     // field 22 of /proc/PID/stat: clock ticks since boot
  uint64_t pid_namespace = 0;  // inode of /proc/self/ns/pid: pids mean something only inside one

  static ProcessId Self(FileSystem& fs);

  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

// The inode of /proc/self/ns/time: which monotonic and boot clocks this process has. 0: the kernel
// has one of each.
uint64_t TimeNamespace(FileSystem& fs);

// Fields that the kernel shows of a thread in /proc/PID/task/TID/stat, and of a process in
// /proc/PID/stat; see proc(5).
struct ThreadStat {
  char state = '?';
  uint64_t flags = 0;    // of a process: its first thread's
  uint64_t threads = 0;  // of its process
  uint64_t start_time = 0;

  // Whether the thread will never run its program again: it exits, or its process dumps core. It is
  // beyond every system call.
  bool never_returns() const;
};
// Nullopt if that is no such text.
std::optional<ThreadStat> ParseThreadStat(absl::string_view text);

// Thread safety: one thread at a time.
class ProcessWatch final {
 public:
  // Returns nullopt if that process can't be watched from here: it is dead, in another pid
  // namespace, or the kernel can't.
  static std::optional<ProcessWatch> Open(FileSystem& fs, const ProcessId& process);

  // Returns true if that process is certain to be dead. False also if that can't be known from
  // here.
  static bool IsGone(FileSystem& fs, const ProcessId& process);

  // Returns true if that process is stopped, by a signal or a debugger. False also if that can't be
  // known from here.
  static bool IsStopped(FileSystem& fs, const ProcessId& process);

  ProcessWatch(ProcessWatch&& other) noexcept;
  ProcessWatch& operator=(ProcessWatch&&) = delete;
  ~ProcessWatch();

  // Waits until the process is dead, `stop` is signalled or the timeout is over. Returns true if
  // the process is dead.
  bool Wait(StopEvent& stop, absl::Duration timeout) const;

  // Whether the process is dead or certain never to run again: each of its threads has come to its
  // end, and is beyond every system call. The rest is the kernel's work: it writes a core dump, if
  // there is to be one, frees the memory, and closes the files, in that order. One read of /proc
  // for a process that lives.
  bool IsExiting(FileSystem& fs) const;

  // Kills the process, at once, and certainly that process. PermissionDenied if this process may
  // not kill it; OK if it is dead.
  absl::Status Kill() const;

 private:
  ProcessWatch(int fd, const ProcessId& process) : fd_(fd), process_(process) {}
  bool IsDead() const;

  int fd_;
  ProcessId process_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_LEASE_PROCESS_WATCH_H_
