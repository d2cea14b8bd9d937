#include "kekbit/replication/journal/robust_word.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/futex.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

RobustWordHolder::RobustWordHolder(RobustWord word)
    // The kernel wakes only where somebody is said to wait.
    : word_(std::move(word)), mine_(static_cast<uint32_t>(::gettid()) | FUTEX_WAITERS) {
  head_.list.next = &head_.list;  // empty
  // The kernel finds a word at a fixed distance from its entry in the list, which here has at most
  // one entry.
  head_.futex_offset =
      static_cast<long>(reinterpret_cast<intptr_t>(word_.data()) - reinterpret_cast<intptr_t>(&entry_));
  entry_.next = &head_.list;
  size_t size = 0;
  ::syscall(SYS_get_robust_list, 0, &before_, &size);
  // An error means that the kernel can't do this: then all have to wait until the process is gone.
  ::syscall(SYS_set_robust_list, &head_, sizeof head_);
}

RobustWordHolder::~RobustWordHolder() {
  LetGo();
  ::syscall(SYS_set_robust_list, before_, sizeof *before_);
}

void RobustWordHolder::Hold() {
  if (std::exchange(holds_, true)) return;
  head_.list.next = &entry_;
  LightFence();  // the kernel may read the list after any instruction
  uint32_t before = PeekWord32(word_.data());
  while (!CompareExchangeWord32(word_.data(), before, mine_)) before = PeekWord32(word_.data());
  FutexWakeAll(word_.data());
}

void RobustWordHolder::LetGo() {
  if (!std::exchange(holds_, false)) return;
  // Unless somebody else holds it by now.
  if (CompareExchangeWord32(word_.data(), mine_, 0)) FutexWakeAll(word_.data());
  LightFence();
  head_.list.next = &head_.list;
}

absl::StatusOr<std::unique_ptr<RobustWordWatch>> RobustWordWatch::Start(RobustWord word, StopEvent& event) {
  std::unique_ptr<RobustWordWatch> watch(new RobustWordWatch(std::move(word), event));
  KB_ASSIGN_OR_RETURN(watch->thread_, StartThread([watch = watch.get()] { watch->Run(); }));
  return watch;
}

RobustWordWatch::~RobustWordWatch() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  // Wake again and again: the thread may be on its way into the wait.
  while (!ended_) {
    FutexWakeAll(word_.data());
    absl::SleepFor(absl::Microseconds(20));
  }
  thread_.join();
}

void RobustWordWatch::Run() {
  uint32_t before = 0;
  while (!stopping_) {
    const uint32_t value = PeekWord32(word_.data());
    if (value != std::exchange(before, value) && (value & FUTEX_OWNER_DIED) != 0) {
      told_ = true;
      event_.Signal();
      FutexWakeAll(word_.data());  // the kernel has woken one
    }
    if (!stopping_) FutexWait(word_.data(), value, absl::InfiniteDuration());
  }
  ended_ = true;
}

}  // namespace kekbit
