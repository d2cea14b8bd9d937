#include "tests/support/fiber.h"

#include <sys/mman.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "kekbit/base/check.h"

#ifdef __SANITIZE_ADDRESS__
#define KEKBIT_FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEKBIT_FIBER_ASAN 1
#endif
#endif
#ifdef KEKBIT_FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace kekbit {
namespace {

#ifdef KEKBIT_FIBER_ASAN
constexpr size_t kStackBytes = 4u << 20;
void StartSwitch(void** save, const void* bottom, size_t bytes) { __sanitizer_start_switch_fiber(save, bottom, bytes); }
void FinishSwitch(void* saved, const void** bottom, size_t* bytes) {
  __sanitizer_finish_switch_fiber(saved, bottom, bytes);
}
#else
constexpr size_t kStackBytes = 512u << 10;
void StartSwitch(void**, const void*, size_t) {}
void FinishSwitch(void*, const void**, size_t*) {}
#endif
// Below the stack, so that one that is too long is a fault.
constexpr size_t kGuardBytes = 64u << 10;

Fiber* g_running = nullptr;

}  // namespace

Fiber::Fiber() {
  // One thread holds the mutexes of several processes, which it takes in turns: no order of them is wrong.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  stack_ = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  KB_CHECK(stack_ != MAP_FAILED && ::mprotect(stack_, kGuardBytes, PROT_NONE) == 0);
}

Fiber::~Fiber() {
  KB_CHECK(!busy_);
  ::munmap(stack_, kStackBytes);
}

void Fiber::Start(std::function<void()> body) {
  KB_CHECK(!busy_ && g_running == nullptr);
  body_ = std::move(body);
  busy_ = true;
  KB_CHECK(::getcontext(&inside_) == 0);
  inside_.uc_stack.ss_sp = stack_;
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  ::makecontext(&inside_, &Fiber::Main, 0);
  fake_stack_ = nullptr;
  SwitchTo();
}

void Fiber::Resume() {
  KB_CHECK(busy_ && g_running == nullptr);
  SwitchTo();
}

void Fiber::SwitchTo() {
  g_running = this;
  StartSwitch(&outside_fake_stack_, stack_, kStackBytes);
  ::swapcontext(&outside_, &inside_);
  FinishSwitch(outside_fake_stack_, nullptr, nullptr);
  g_running = nullptr;
}

void Fiber::Yield() {
  Fiber* const self = g_running;
  KB_CHECK(self != nullptr);
  StartSwitch(&self->fake_stack_, self->outside_stack_, self->outside_bytes_);
  ::swapcontext(&self->inside_, &self->outside_);
  FinishSwitch(self->fake_stack_, &self->outside_stack_, &self->outside_bytes_);
}

void Fiber::Main() {
  Fiber* const self = g_running;
  FinishSwitch(nullptr, &self->outside_stack_, &self->outside_bytes_);
  self->body_();
  self->body_ = nullptr;
  self->busy_ = false;
  // Null: this stack is left for good.
  StartSwitch(nullptr, self->outside_stack_, self->outside_bytes_);
  ::swapcontext(&self->inside_, &self->outside_);
}

}  // namespace kekbit
