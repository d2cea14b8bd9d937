// GroupCommit brings the published frames of one reign to stable storage, for all who wait at once.
//
//   commit.AddSegment(number, path, mapping);  // the writer: from now on frames lie in that segment
//   commit.Published(seq, end);                // the writer: after each frame; two stores
//   commit.WaitFor(seq, deadline);             // any thread: returns once that frame is synced
//
// There is no thread and no timer. Who waits while nobody syncs does it itself, for everything published by then; who
// comes meanwhile gathers for the next sync, which one of them leads. So a single caller pays the sync and no hand-over
// to another thread, and many callers share each sync. Callers that a sync has released are on their way back with
// their next frames: whoever leads the next sync waits for as many, for at most a quarter of the time of a sync and 2
// ms, since otherwise they split into two groups that take turns, and each waits for the other's sync.
//
// Segments are synced strictly in order, and the name of one before anything counts as synced that stands in it.
//
// An error is final: the kernel marks pages clean that it failed to write, so a second try would claim success. The
// journal is marked as poisoned, and every wait, now and later, returns Aborted: whether these frames last is unknown.
//
// Thread safety: AddSegment() and Published(): the writer's thread. Everything else: any thread.

#ifndef KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_
#define KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/journal_layout.h"
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
    // Called once, by whoever met it, without a lock held.
    std::function<void(const absl::Status&)> on_error = {};
    // Called after each sync, one call at a time, with a lock held: up to where all is synced now, how many frames that
    // is more, and how long it took.
    std::function<void(Seq synced, uint64_t frames, int64_t nanos)> on_sync = {};
  };

  explicit GroupCommit(Options options);
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Frames published from now on lie in this segment; those before are complete. `path` may lack a durable name.
  void AddSegment(SegmentNumber number, const std::string& path, std::shared_ptr<MappedFile> mapping)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Frame `seq` is published, in the segment added last, and ends `end` bytes into its file.
  void Published(Seq seq, uint64_t end) {
    PrepareWord(&published_end_, end);
    PublishWord(&published_, seq);
  }

  // Waits until frame `seq`, which is published, is synced. Unavailable if it was not by the deadline; Aborted: see
  // above.
  absl::Status WaitFor(Seq seq, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Syncs what is published.
  absl::Status Sync() { return WaitFor(published(), absl::InfiniteFuture()); }

  Seq published() const { return AcquireWord(&published_); }
  Seq synced() const { return AcquireWord(&synced_); }
  Epoch epoch() const { return options_.epoch; }
  // How many callers sleep until the next sync, the one after that which is under way, has come.
  uint64_t waiting() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Segments that hold frames which are not synced, the one in use included.
  size_t open_segments() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Segment {
    SegmentNumber number;
    std::string path;
    std::shared_ptr<MappedFile> mapping;
    uint64_t synced_end = 0;  // bytes of the file that are synced; 0: its name is not either
  };

  // Says that the caller is about to sleep until `seq` is synced; returns by which bit it is woken.
  uint32_t Join(Seq seq) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives those whom the last sync has just released a moment to come back with their next frames.
  void Gather() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Syncs once, with the mutex released meanwhile, and wakes who waited for it.
  void Lead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Syncs all of `segments` up to the end of their mapping, the last one to `end`. Sets how far each is synced, and at
  // an error which one failed.
  absl::Status SyncSegments(std::vector<Segment>& segments, uint64_t end, SegmentNumber* failed) const;
  absl::Status SyncNames(const std::string& path) const;
  const Options options_;

  // The writer's cache line.
  alignas(64) uint64_t published_;
  uint64_t published_end_ = 0;

  alignas(64) uint64_t synced_;
  std::atomic<uint32_t> syncs_ = 0;  // that are done; what waiting callers sleep on
  mutable absl::Mutex mutex_;
  bool leading_ ABSL_GUARDED_BY(mutex_) = false;    // somebody syncs, or gathers for that
  uint32_t group_ ABSL_GUARDED_BY(mutex_) = 0;      // number of the sync begun last
  Seq target_ ABSL_GUARDED_BY(mutex_) = 0;          // up to where that goes
  int64_t sync_nanos_ ABSL_GUARDED_BY(mutex_) = 0;  // how long the last one took
  uint64_t sleepers_ ABSL_GUARDED_BY(mutex_) = 0;   // for the next sync
  uint64_t released_ ABSL_GUARDED_BY(mutex_) = 0;   // by the last sync
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<Segment> segments_ ABSL_GUARDED_BY(mutex_);  // not synced to their end; ascending
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_GROUP_COMMIT_H_
