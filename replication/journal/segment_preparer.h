// SegmentPreparer has the next segment of a journal ready before it is needed, and takes the last
// one away.
//
// To reserve the space of a segment, touch its first pages, and unmap an old one takes
// milliseconds. On a thread of its own that is in nobody's way. A prepared segment has no name, so
// nothing is left if the process dies. Sometimes none is ready: the writer was faster, the machine
// has no thread to give, or the disk is full. The writer then makes a segment itself, and meets the
// error if there is one.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_JOURNAL_SEGMENT_PREPARER_H_
#define KEKBIT_REPLICATION_JOURNAL_SEGMENT_PREPARER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_file.h"
#include "kekbit/shm_writer.h"

namespace kekbit {

class SegmentPreparer final {
 public:
  // Segments to be named somewhere below `directory`, which is there. The first `touch_bytes` of
  // each are touched. With `synced`, all of each is touched and synced, so that to sync a frame
  // takes no more than writing its pages: the file system has noted already that they hold
  // something, and the page cache keeps them apart. `fs` outlives the preparer.
  SegmentPreparer(FileSystem& fs, const std::string& directory, uint64_t touch_bytes, bool synced = false);
  SegmentPreparer(const SegmentPreparer&) = delete;
  SegmentPreparer& operator=(const SegmentPreparer&) = delete;
  // Ends what was begun.
  ~SegmentPreparer();

  // Has a segment of this capacity made ready, if none is; one of another capacity is gone then.
  // Returns at once.
  void Prepare(uint32_t capacity);

  // The one that is ready, if it has this capacity. Otherwise nullopt: one that is being made will
  // be ready for the next time.
  std::optional<PreparedChannelFile> Take(uint32_t capacity);

  // Destroys a writer whose channel is closed.
  void Retire(ShmWriter closed);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<PreparedChannelFile> Make(uint32_t capacity) ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopping() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return stopping_;
  }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || IsWanted() || !retired_.empty(); }
  bool IsWanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return wanted_ != 0 && (!ready_ || ready_->capacity != wanted_);
  }

  FileSystem& fs_;
  const std::string directory_;
  const uint64_t touch_bytes_;
  const bool synced_;

  absl::Mutex mutex_;
  uint32_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;  // the capacity; 0: none is
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<PreparedChannelFile> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<ShmWriter> retired_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SEGMENT_PREPARER_H_
