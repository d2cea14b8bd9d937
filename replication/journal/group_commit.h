// GroupCommit brings the published frames of one reign to stable storage, for all waiting callers
// at once.
//
//   commit.AddSegment(number, mapping);  // the writer: from now on frames lie in that segment
//   commit.Published(seq, end);          // the writer: after each frame; two stores
//   commit.WaitFor(seq, deadline);       // any thread: returns once that frame is synced
//
// There is no thread and no timer. A caller that waits while nobody syncs does the sync itself, for
// everything published by then. Callers that come meanwhile gather for the next sync, and one of
// them leads it. So a single caller pays the sync and no hand-over to another thread, and many
// callers share each sync. Callers that a sync has released are on their way back with their next
// frames. The leader of the next sync waits for as many, at most a quarter of the time of a sync
// and 2 ms. Otherwise they split into two groups that take turns, and each waits for the other's
// sync.
//
// segment_sync.h says how segments are synced. Few of the waiting segments stay mapped, however
// many there are.
//
// The error of a sync is final: the kernel marks pages clean that it failed to write, so a second
// try would claim success. The journal is marked as poisoned, and every wait, now and later,
// returns Aborted: whether these frames last is unknown. A call that could not be made on the way
// to a sync is another thing. It is made again for a moment. Then callers that wait are told that
// their frames are not synced yet, Unavailable, and the next sync does it.
//
// Thread safety: AddSegment() and Published(): the writer's thread. Everything else: any thread.

#ifndef KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_
#define KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"

namespace kekbit {

class GroupCommit final {
 public:
  struct Options {
    FileSystem* file_system = &FileSystem::Posix();  // outlives this
    const Clock* clock = &Clock::System();           // outlives this
    JournalLayout layout{""};
    SyncMark* mark = nullptr;  // outlives this
    Epoch epoch = 0;
    Seq synced = 0;  // frames up to this one are synced already
    // Leftovers of earlier reigns: segments that may hold something unsynced, and their last frame.
    std::vector<UnsyncedSegment> unsynced = {};
    Seq published = 0;
    // Called once, by whoever met the error of a sync, without a lock held.
    std::function<void(const absl::Status&)> on_error = {};
    // Called each time that a sync is put off since a call could not be made; by whoever met it,
    // without a lock held.
    std::function<void(const absl::Status&)> on_put_off = {};
    // Called after each sync, one call at a time, with a lock held: up to where all is synced now,
    // how many more frames that is, and how long the sync took.
    std::function<void(Seq synced, uint64_t frames, int64_t nanos)> on_sync = {};
  };

  explicit GroupCommit(Options options);
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Frames published from now on lie in this segment, whose name need not be synced; those before
  // are complete.
  void AddSegment(SegmentNumber number, std::shared_ptr<MappedFile> mapping) ABSL_LOCKS_EXCLUDED(mutex_);

  // Tells that frame `seq` is published, in the segment added last, and ends `end` bytes into its
  // file.
  void Published(Seq seq, uint64_t end) {
    PrepareWord(&published_end_, end);
    PublishWord(&published_, seq);
  }

  // Waits until frame `seq`, which is published, is synced. Unavailable if that took longer than
  // the deadline, or if a sync was put off: the frame is published all the same, and synced with
  // the next. Aborted: see above.
  absl::Status WaitFor(Seq seq, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Syncs what is published.
  absl::Status Sync() { return WaitFor(published(), absl::InfiniteFuture()); }

  // Returns true if there is something to sync that nobody may be waiting for: closed segments, or
  // what was put off.
  bool IsDue() const ABSL_LOCKS_EXCLUDED(mutex_);
  // If it is: tries to, once.
  absl::Status SyncDue();

  Seq published() const { return AcquireWord(&published_); }
  Seq synced() const { return AcquireWord(&synced_); }
  Epoch epoch() const { return options_.epoch; }
  // Returns how many callers sleep until the next sync, the one after the sync under way, has come.
  uint64_t waiting() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns how many segments hold frames that are not synced, the segment in use included.
  size_t open_segments() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Unsynced segments that stay mapped, the segment in use among them.
  static constexpr size_t kMappedMax = 32;

  // Says that the caller is about to sleep until `seq` is synced; returns the bit that wakes the
  // caller.
  uint32_t Join(Seq seq) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives callers that the last sync has just released a moment to come back with their next
  // frames.
  void Gather() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Syncs once, with the mutex released meanwhile, and wakes who waited for it. If a call can't be
  // made, tries for a moment, at most until the deadline.
  void Lead(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Syncs `segments`, without the mutex, until it is done, has failed or was put off.
  absl::Status SyncPatiently(std::vector<UnsyncedSegment>& segments, uint64_t end, Seq target, absl::Time deadline);
  // Takes over how far a sync has brought the segments that it had.
  void TakeProgress(const std::vector<UnsyncedSegment>& segments) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  SegmentSync sync_;  // of whoever leads

  // The writer's cache line.
  alignas(64) uint64_t published_;
  uint64_t published_end_ = 0;

  alignas(64) uint64_t synced_;
  std::atomic<uint32_t> syncs_ = 0;  // the count of finished syncs; waiting callers sleep on this
  mutable absl::Mutex mutex_;
  bool leading_ ABSL_GUARDED_BY(mutex_) = false;    // somebody syncs, or gathers for that
  uint32_t group_ ABSL_GUARDED_BY(mutex_) = 0;      // number of the sync begun last
  Seq target_ ABSL_GUARDED_BY(mutex_) = 0;          // up to where that sync goes
  int64_t sync_nanos_ ABSL_GUARDED_BY(mutex_) = 0;  // how long the last one took
  uint64_t sleepers_ ABSL_GUARDED_BY(mutex_) = 0;   // for the next sync
  uint64_t released_ ABSL_GUARDED_BY(mutex_) = 0;   // by the last sync
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  uint64_t put_offs_ ABSL_GUARDED_BY(mutex_) = 0;  // syncs that were
  absl::Status put_off_ ABSL_GUARDED_BY(mutex_);   // why the last one was; OK again after one that was not
  std::vector<UnsyncedSegment> segments_ ABSL_GUARDED_BY(mutex_);  // not synced to their end; ascending
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_
