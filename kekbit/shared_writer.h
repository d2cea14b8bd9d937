// SharedWriter lets several threads of a process write into one channel.
//
//   SharedWriter writer(*ShmWriter::Create(root, header));
//   ... in any thread: writer.Write(AsBytes("hello"));
//
// Thread safety: any thread. The records of one thread keep their order; those of several are in
// the order in which each took the writer.
// Publication and durability: as ShmWriter.

#ifndef KEKBIT_SHARED_WRITER_H_
#define KEKBIT_SHARED_WRITER_H_

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/backoff.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/shm_writer.h"

namespace kekbit {

class SharedWriter final {
 public:
  explicit SharedWriter(ShmWriter writer) : writer_(std::move(writer)) {}

  // Appends as ShmWriter::Write(), waiting for the other threads.
  absl::StatusOr<uint64_t> Write(Bytes payload) {
    // Asked before the lock is taken, which a thread of the parent may hold for ever.
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return ForkMark::Error("a shared writer");
    absl::MutexLock lock(&mutex_);
    return writer_.Write(payload);
  }

  // Appends as ShmWriter::Write(), but returns Unavailable if other threads kept the writer busy
  // for all of some 20 us of tries.
  absl::StatusOr<uint64_t> TryWrite(Bytes payload) {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return ForkMark::Error("a shared writer");
    for (Backoff backoff;; backoff.Pause()) {
      if (mutex_.TryLock()) {
        absl::StatusOr<uint64_t> written = writer_.Write(payload);
        mutex_.Unlock();
        return written;
      }
      if (backoff.completed()) return absl::UnavailableError("the writer is busy with other threads; try again");
    }
  }

  // Calls `use(ShmWriter&)` while no other thread writes; returns the result of `use`. For claims
  // and everything else.
  template <typename Use>
  auto With(Use&& use) {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) ForkMark::Die("a shared writer");
    absl::MutexLock lock(&mutex_);
    return std::forward<Use>(use)(writer_);
  }

 private:
  const ForkMark mark_;
  absl::Mutex mutex_;
  ShmWriter writer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kekbit

#endif  // KEKBIT_SHARED_WRITER_H_
