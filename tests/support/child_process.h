// ChildProcess runs a function in a process of its own, and waits for the process, stops it or
// kills it.
//
//   SharedWords words(2);                         // memory that both see
//   ChildProcess child([&] { Write(); words.Set(0, 1); return 0; });
//   words.AwaitAtLeast(0, 1);
//   child.Kill();
//   EXPECT_EQ(child.Wait(), -SIGKILL);
//
// The process is forked. It lacks the parent's mappings of channels and journals (see
// MADV_DONTFORK), and all of the parent's threads but the forking one. So fork before anything that
// starts threads. A child outlives neither the object nor the parent.

#ifndef KEKBIT_TESTS_SUPPORT_CHILD_PROCESS_H_
#define KEKBIT_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace kekbit {

// 64-bit words in memory that is shared with processes forked later.
class SharedWords final {
 public:
  explicit SharedWords(size_t count) : bytes_(count * sizeof(std::atomic<uint64_t>)) {
    void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    words_ = static_cast<std::atomic<uint64_t>*>(memory);
  }
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;
  ~SharedWords() { ::munmap(words_, bytes_); }

  uint64_t Get(size_t i) const { return words_[i].load(); }
  void Set(size_t i, uint64_t value) { words_[i].store(value); }

  // Waits until the word is at least `value`.
  void AwaitAtLeast(size_t i, uint64_t value) const {
    while (Get(i) < value) ::sched_yield();
  }

 private:
  size_t bytes_;
  std::atomic<uint64_t>* words_;
};

class ChildProcess final {
 public:
  // `body` returns the exit status, or nothing for 0.
  template <typename Body>
  explicit ChildProcess(Body body) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) {
      std::perror("fork");
      std::abort();
    }
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      int status = 0;
      if constexpr (std::is_void_v<decltype(body())>) {
        body();
      } else {
        status = body();
      }
      std::fflush(nullptr);
      ::_exit(status);
    }
  }
  ChildProcess(ChildProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), waited_(other.waited_), status_(other.status_) {}
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess() {
    if (pid_ > 0 && !waited_) Kill();
  }

  pid_t pid() const { return pid_; }

  void Signal(int signal) const { ::kill(pid_, signal); }

  // Kills the child and waits until it is gone.
  void Kill(int signal = SIGKILL) {
    Signal(signal);
    Wait();
  }

  // Waits until the child ends or, if traced, stops; returns the status as waitpid() gives it.
  int WaitForChange() {
    while (!waited_) {
      if (::waitpid(pid_, &status_, 0) == pid_) {
        waited_ = !WIFSTOPPED(status_);
        break;
      }
      if (errno != EINTR) {
        std::perror("waitpid");
        std::abort();
      }
    }
    return status_;
  }

  // Waits for its end; returns its exit status, or minus the signal that it died of.
  int Wait() {
    while (!waited_) WaitForChange();
    return WIFSIGNALED(status_) ? -WTERMSIG(status_) : WEXITSTATUS(status_);
  }

 private:
  pid_t pid_ = -1;
  bool waited_ = false;
  int status_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_CHILD_PROCESS_H_
