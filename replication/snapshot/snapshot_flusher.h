// SnapshotFlusher syncs a snapshot's file and reads it back, a little after its writer: part of
// SnapshotWriter.
//
// Flushing goes in steps of kStepBytes: sync what is written, drop it from memory, read it back
// from the device, check each chunk, and drop it again. With threads of its own, one syncs and one
// reads back while the rest is still being written. So the device writes, the device reads and the
// state is saved all at once, and little is left to do at the end. Without threads, all happens
// inside Written(). Either way what waits to be written to the device is bounded: a snapshot does
// not fill the memory with dirty pages.
//
// Thread safety: a single thread calls, but any thread may call Cancel().

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FLUSHER_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FLUSHER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"

namespace kekbit {

class SnapshotFlusher final {
 public:
  static constexpr uint64_t kStepBytes = uint64_t{32} << 20;
  // How far the writer may be ahead of what is synced.
  static constexpr uint64_t kAheadBytesMax = 4 * kStepBytes;

  // `file` outlives the flusher, and has its header already.
  SnapshotFlusher(File& file, bool own_threads);
  SnapshotFlusher(const SnapshotFlusher&) = delete;
  SnapshotFlusher& operator=(const SnapshotFlusher&) = delete;
  // Waits for the steps under way.
  ~SnapshotFlusher();

  // Tells that the first `end` bytes are written. Waits while the writer is too far ahead. Returns
  // the error of a step, or Cancelled.
  absl::Status Written(uint64_t end);

  // Tells that all `end` bytes are written, the trailer included: syncs, reads back and checks what
  // is left. OK if all of the file is on stable storage and good, and holds `header`.
  absl::Status Finish(uint64_t end, const SnapshotHeader& header);

  // Makes all calls, those under way too, return Cancelled soon. Any thread.
  void Cancel();
  bool cancelled() const { return cancelled_; }

  // Returns how many bytes have been read back.
  uint64_t verified() const { return verified_; }

 private:
  void StartThreads();
  void StopThreads() ABSL_LOCKS_EXCLUDED(mutex_);
  void RunSync() ABSL_LOCKS_EXCLUDED(mutex_);
  void RunCheck() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads back and checks what is synced, up to `end`. `whole`: the file ends there, with its
  // trailer.
  absl::Status Check(uint64_t end, bool whole);
  absl::Status ReadBack(uint64_t end, bool whole);

  File& file_;

  mutable absl::Mutex mutex_;
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t synced_ ABSL_GUARDED_BY(mutex_) = 0;
  bool whole_ ABSL_GUARDED_BY(mutex_) = false;     // what is synced is the whole file
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more is to be synced
  absl::Status status_ ABSL_GUARDED_BY(mutex_);    // the first error

  std::atomic<bool> cancelled_ = false;
  std::atomic<uint64_t> verified_ = 0;
  std::optional<SnapshotScan> scan_;  // of whoever checks
  std::thread syncing_;
  std::thread checking_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FLUSHER_H_
