#include "kekbit/page_toucher.h"

#include <algorithm>

namespace kekbit {
namespace {

// So much in one system call: long enough to pay, short enough that a mapping that is closed is let go of soon.
constexpr uint64_t kStepBytes = 512 * 1024;

}  // namespace

PageToucher::PageToucher() : thread_([this] { Run(); }) {}

PageToucher::~PageToucher() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

PageToucher& PageToucher::Shared() {
  // Never destroyed: writers with static lifetime may outlive any order of destruction.
  static PageToucher& toucher = *new PageToucher;
  return toucher;
}

void PageToucher::Request(const std::shared_ptr<MappedFile>& mapping, uint64_t begin, uint64_t end) {
  absl::MutexLock lock(&mutex_);
  ranges_.push_back({.mapping = mapping, .begin = begin, .end = end});
}

void PageToucher::Forget(const std::shared_ptr<MappedFile>& mapping) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(ranges_, [&](const Range& range) { return range.mapping == mapping; });
  const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return busy_ != mapping.get(); };
  mutex_.Await(absl::Condition(&done));
}

void PageToucher::Run() {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    mutex_.Await(absl::Condition(this, &PageToucher::HasWork));
    if (stopping_) return;
    Range& range = ranges_.front();
    std::shared_ptr<MappedFile> mapping = range.mapping;
    const uint64_t begin = range.begin;
    const uint64_t end = std::min(begin + kStepBytes, range.end);
    range.begin = end;
    busy_ = mapping.get();
    if (end == range.end) ranges_.pop_front();
    mutex_.Unlock();
    // On a failure (an old kernel, memory short) the writer takes the faults, and meets the error if there is one.
    mapping->Touch(begin, end - begin).IgnoreError();
    mutex_.Lock();
    mapping.reset();
    busy_ = nullptr;
  }
}

}  // namespace kekbit
