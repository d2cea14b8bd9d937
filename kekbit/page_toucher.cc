#include "kekbit/page_toucher.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/statusor.h"
#include "kekbit/base/check.h"
#include "kekbit/base/start_thread.h"

namespace kekbit {
namespace {

// Bytes of one system call: long enough to pay, short enough to let go of a closed mapping soon.
constexpr uint64_t kStepBytes = 512 * 1024;

}  // namespace

// Without a thread nothing is touched.
PageToucher::PageToucher() {
  if (absl::StatusOr<std::thread> thread = StartThread([this] { Run(); }); thread.ok()) thread_ = *std::move(thread);
}

PageToucher::~PageToucher() {
  if (mark_.in_child()) {
    // Its thread is the parent's, and can't be waited for.
    static_cast<void>(std::make_unique<std::thread>(std::move(thread_)).release());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

PageToucher& PageToucher::Shared() {
  // Never destroyed: writers with static lifetime may outlive any order of destruction. A forked
  // child gets a toucher of its own: it has no thread of its parent's, and maybe a mutex that stays
  // locked.
  static std::atomic<PageToucher*> shared = nullptr;
  static const bool registered = ::pthread_atfork(nullptr, nullptr, [] { shared = nullptr; }) == 0;
  KB_CHECK(registered);
  if (PageToucher* const toucher = shared; ABSL_PREDICT_TRUE(toucher != nullptr)) return *toucher;
  auto made = std::make_unique<PageToucher>();
  PageToucher* first = nullptr;
  return shared.compare_exchange_strong(first, made.get()) ? *made.release() : *first;
}

void PageToucher::Request(const std::shared_ptr<MappedFile>& mapping, uint64_t begin, uint64_t end) {
  if (!thread_.joinable()) return;
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
    // On a failure (an old kernel, too little memory) the writer takes the faults, and meets the
    // error if there is one.
    mapping->Touch(begin, end - begin).IgnoreError();
    mutex_.Lock();
    mapping.reset();
    busy_ = nullptr;
  }
}

}  // namespace kekbit
