// Fiber: a function that can stop in the middle and go on later, on a stack of its own and on one thread.
//
//   Fiber fiber;
//   fiber.Start([&] { ...; Fiber::Yield(); ... });  // returns at the first Yield(), or when the function returns
//   while (fiber.busy()) fiber.Resume();
//
// The simulator runs each process in a fiber, so that a process can stand still inside any call, locks held.
// Code that runs in fibers takes turns on one thread: absl::Mutex must not look for deadlocks (see the constructor).
//
// Thread safety: all fibers belong to one thread.

#ifndef KEKBIT_TESTS_SUPPORT_FIBER_H_
#define KEKBIT_TESTS_SUPPORT_FIBER_H_

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace kekbit {

class Fiber final {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  // REQUIRES: not busy.
  ~Fiber();

  // Runs `body` until it returns or calls Yield(). REQUIRES: not busy. An exception must not leave it.
  void Start(std::function<void()> body);
  // Goes on where the body called Yield(). REQUIRES: busy.
  void Resume();
  // Whether a body has begun and not returned.
  bool busy() const { return busy_; }

  // Stops the fiber that runs, which must be one, until its Resume().
  static void Yield();

 private:
  static void Main();
  void SwitchTo();

  void* stack_;
  ucontext_t inside_ = {};
  ucontext_t outside_ = {};
  std::function<void()> body_;
  bool busy_ = false;
  // What AddressSanitizer wants to know of stacks.
  void* fake_stack_ = nullptr;
  void* outside_fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FIBER_H_
