#include "kekbit/base/fork_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <mutex>
#include <vector>

#include "kekbit/base/check.h"

namespace kekbit {
namespace {

// Never destroyed: a process may fork while it ends.
std::vector<int>& Guarded() {
  static std::vector<int>& guarded = *new std::vector<int>;
  return guarded;
}

// A std::mutex can be locked before the fork and unlocked on both sides after the fork.
std::mutex& Mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

void BeforeFork() { Mutex().lock(); }
void InParent() { Mutex().unlock(); }

// Does only what is safe after a fork of a process with threads.
void InChild() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : Guarded()) {
    if (null >= 0) {
      ::dup3(null, fd, O_CLOEXEC);
    } else {
      ::close(fd);
    }
  }
  if (null >= 0) ::close(null);
  Mutex().unlock();
}

}  // namespace

void GuardFromFork(int fd) {
  static const bool registered = ::pthread_atfork(BeforeFork, InParent, InChild) == 0;
  KB_CHECK(registered);
  const std::lock_guard<std::mutex> lock(Mutex());
  Guarded().push_back(fd);
}

void UnguardFromFork(int fd) {
  const std::lock_guard<std::mutex> lock(Mutex());
  std::erase(Guarded(), fd);
}

}  // namespace kekbit
