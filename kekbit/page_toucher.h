// PageToucher makes pages of mappings ready for stores ahead of their writer, on a thread of its
// own.
//
// The first store to a page of a mapping is a page fault, which costs more than all the rest of
// writing the page full. MappedFile::Touch pays many faults in one system call, here beside the
// writer instead of in its way. Where the machine has no thread to give, nothing is touched. A
// writer that gets ahead of the toucher takes the faults itself: only speed depends on the toucher.
//
// Thread safety: any thread.

#ifndef KEKBIT_PAGE_TOUCHER_H_
#define KEKBIT_PAGE_TOUCHER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"

namespace kekbit {

class PageToucher final {
 public:
  PageToucher();
  PageToucher(const PageToucher&) = delete;
  PageToucher& operator=(const PageToucher&) = delete;
  // Leaves what is not touched yet untouched.
  ~PageToucher();

  // Returns the toucher of this process; a forked child has its own. Its thread starts with the
  // first use.
  static PageToucher& Shared();

  // Will touch [begin, end) of the mapping, after what was requested before. Returns at once. The
  // caller calls Forget() before the mapping's file system goes.
  void Request(const std::shared_ptr<MappedFile>& mapping, uint64_t begin, uint64_t end);

  // Leaves what was requested of the mapping untouched; returns when no thread works on the mapping
  // any more.
  void Forget(const std::shared_ptr<MappedFile>& mapping);

 private:
  struct Range {
    std::shared_ptr<MappedFile> mapping;
    uint64_t begin;
    uint64_t end;
  };

  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !ranges_.empty(); }

  const ForkMark mark_;
  absl::Mutex mutex_;
  std::deque<Range> ranges_ ABSL_GUARDED_BY(mutex_);
  const MappedFile* busy_ ABSL_GUARDED_BY(mutex_) = nullptr;  // what is being touched now
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_PAGE_TOUCHER_H_
