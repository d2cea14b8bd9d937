// SteppedProcess is a child process that goes on by one instruction at a time. A test can look at
// what a kill at just that moment would leave for good.
//
//   SteppedProcess child([&] { Prepare(); SteppedProcess::Begin(); Work(); return 0; });
//   if (!child.can_step()) GTEST_SKIP() << "ptrace is forbidden here";
//   do {
//     LookAtWhatIsThere();
//   } while (child.Step());
//   EXPECT_EQ(child.Wait(), 0);
//
// The calling thread and the child share one processor, since each step goes back and forth between
// them. A system call is one step. See ChildProcess for what a child has of its parent. Thread
// safety: the thread that made the object.

#ifndef KEKBIT_TESTS_SUPPORT_STEPPED_PROCESS_H_
#define KEKBIT_TESTS_SUPPORT_STEPPED_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "tests/support/child_process.h"

namespace kekbit {

class SteppedProcess final {
 public:
  // `body` calls Begin() once, and returns the exit status. Returns when Begin() was reached.
  template <typename Body>
  explicit SteppedProcess(Body body) : child_((UseOneProcessor(), std::move(body))) {
    const int status = child_.WaitForChange();
    stopped_ = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
  }

  // The child: from here on it is stepped.
  static void Begin() {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
  }

  // Returns true if the child waits for a step: not if it has ended, or if tracing is forbidden
  // here.
  bool can_step() const { return stopped_; }

  // Does one instruction; returns false if the child has ended.
  bool Step() {
    if (!stopped_ || ::ptrace(PTRACE_SINGLESTEP, child_.pid(), nullptr, nullptr) != 0) return false;
    const int status = child_.WaitForChange();
    stopped_ = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
    return stopped_;
  }

  // Its exit status, or minus the signal that it died of.
  int Wait() { return child_.Wait(); }

 private:
  static void UseOneProcessor() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof one, &one);
  }

  ChildProcess child_;
  bool stopped_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_STEPPED_PROCESS_H_
