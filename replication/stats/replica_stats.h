// ReplicaStats is what a replica says of itself to any observer, while it lives and after it died.
//
//   DIR/replicas/PID-STARTTIME-N.stats     N tells apart the replicas of one process
//
// The replica maps the file and stores to it; readers map and read it (see replica_facts.h):
// neither waits for the other. The replica holds the file's lock while it lives. So a reader that
// finds the file locked knows that the replica lives, without trusting the name or the file. The
// last kDeadStatsKept dead ones stay; older ones are removed when a replica starts.
//
// A replica never fails for want of statistics. If there can be no file (the disk is full, say),
// they are in memory of the process alone, and file_status() says why.
//
// Cost: SetPublished(), per command, stores two words of one cache line that no other writer has;
// SetApplied(), per batch, four. StartSample() is a countdown in thread-local memory that looks at
// the clock for one call in about 64. None of them allocates, makes a system call, or changes a
// word by an atomic read-modify-write.
//
// Thread safety: as each method says. What is said by one word is right by itself; two words, as
// published and applied, are not of one moment.

#ifndef KEKBIT_REPLICATION_STATS_REPLICA_STATS_H_
#define KEKBIT_REPLICATION_STATS_REPLICA_STATS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/lease/process_watch.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/role.h"
#include "kekbit/replication/stats/histogram.h"
#include "kekbit/replication/stats/replica_stats_words.h"
#include "kekbit/replication/takeover_report.h"

namespace kekbit {

// How many files of dead replicas are kept.
inline constexpr size_t kDeadStatsKept = 16;

struct SnapshotTaken {
  Position position;  // up to which
  uint64_t bytes = 0;
  int64_t took_ns = 0;
};

class ReplicaStats final {
 public:
  // Makes the file, locked, and removes those of replicas that are long dead. Never fails: see
  // file_status(). `fs` and `clock` outlive the statistics.
  static std::unique_ptr<ReplicaStats> Create(FileSystem& fs, const JournalLayout& layout, bool may_lead,
                                              const Clock& clock = Clock::System());

  ReplicaStats(const ReplicaStats&) = delete;
  ReplicaStats& operator=(const ReplicaStats&) = delete;
  // Notes that the replica ended, and did not die. The file stays.
  ~ReplicaStats();

  // Says why there is no file. OK: there is one, at path().
  const absl::Status& file_status() const { return file_status_; }
  // Empty if there is no file.
  const std::string& path() const { return path_; }

  // Tells that the primary published this frame, and has applied it or is about to. One thread at a
  // time.
  void SetPublished(Position position, int64_t time_ns) {
    if (ABSL_PREDICT_FALSE(PeekWord(&words_->published_epoch) != position.epoch)) {
      PrepareWord(&words_->published_epoch, position.epoch);
    }
    PrepareWord(&words_->published_time_ns, static_cast<uint64_t>(time_ns));
    PublishWord(&words_->published_seq, position.seq);
  }

  // Tells that the state holds all frames up to this one, which were read from the journal. The
  // place of the next frame tells the lag in bytes; 0: not known. One thread at a time.
  void SetApplied(Position position, int64_t time_ns, SegmentNumber segment = 0, uint64_t offset = 0) {
    if (PeekWord(&words_->applied_epoch) != position.epoch) PrepareWord(&words_->applied_epoch, position.epoch);
    PrepareWord(&words_->applied_time_ns, static_cast<uint64_t>(time_ns));
    // Store the offset first, as 0: a reader of the new segment with the old offset would take the
    // replica for further than it is.
    if (PeekWord(&words_->applied_segment) != segment) {
      PrepareWord(&words_->applied_offset, 0);
      PublishWord(&words_->applied_segment, segment);
    }
    PublishWord(&words_->applied_offset, offset);
    PublishWord(&words_->applied_seq, position.seq);
  }

  // Tells that a sync took so long; `commands` more are now on stable storage, up to `synced`. One
  // thread at a time.
  void AddSync(Seq synced, uint64_t commands, int64_t nanos) {
    AddToHistogram(words_->group, commands);
    AddToHistogram(words_->sync_ns, static_cast<uint64_t>(std::max<int64_t>(nanos, 0)));
    SetSynced(synced);
  }
  // Tells that everything up to `synced` is known to be on stable storage. By the thread that calls
  // AddSync().
  void SetSynced(Seq synced) { PublishWord(&words_->synced_seq, synced); }

  // Measures how long something takes, in one call of about 64, at random distances, so that no
  // rhythm of the caller's distorts the sample:
  //   const int64_t start = stats.StartSample();
  //   Apply(command);
  //   stats.AddApply(start);
  // StartSample() returns the monotonic clock; 0 if this call is not measured. Any thread.
  int64_t StartSample() {
    if (ABSL_PREDICT_TRUE(--calls_to_sample_ != 0)) return 0;
    return StartThisSample();
  }
  // Passes calls that are not measured, of `count` calls in a row: returns how many, up to the
  // first call that is. The next call is StartSample()'s.
  size_t PassUnsampled(size_t count) {
    const auto passed = static_cast<uint32_t>(std::min<size_t>(count, calls_to_sample_ - 1));
    calls_to_sample_ -= passed;
    return passed;
  }
  // One thread at a time.
  void AddApply(int64_t start_ns) {
    if (ABSL_PREDICT_FALSE(start_ns != 0)) AddSince(start_ns, words_->apply_ns);
  }
  // Any thread.
  void AddExecute(int64_t start_ns) {
    if (ABSL_PREDICT_FALSE(start_ns != 0)) AddExecuteSince(start_ns);
  }

  // The following are rare, and for any thread.
  void SetRole(Role role, Epoch epoch);
  void AddTakeover(const TakeoverReport& report);
  void AddSnapshot(const SnapshotTaken& snapshot);
  // There is a process, or none any more, that hangs with the lease and that this replica can't
  // kill.
  void SetUnkillable(const std::optional<ProcessId>& process);
  // Counts an error and keeps it as the last error, its text up to kErrorTextBytes. Does nothing
  // for OK.
  void SetError(const absl::Status& error);

  const ReplicaStatsWords& words() const { return *words_; }

 private:
  ReplicaStats(FileSystem& fs, const Clock& clock) : fs_(fs), clock_(clock) {}

  // Puts the words into a file, whose space is reserved and which is locked before anybody can see
  // it.
  absl::Status MakeFile(const JournalLayout& layout, const ReplicaStatsWords& words);
  // Gives the file its name, with the first N that is free.
  absl::Status NameFile(File& file, const std::string& directory, const ReplicaStatsWords& words);

  int64_t StartThisSample();
  void AddSince(int64_t start_ns, HistogramWords& to);
  void AddExecuteSince(int64_t start_ns) ABSL_LOCKS_EXCLUDED(mutex_);
  void StoreRole(Role role, Epoch epoch, uint64_t ended_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Now() const { return static_cast<uint64_t>(clock_.RealtimeNanos()); }

  // Calls that this thread still lets pass until it looks at the clock.
  static inline constinit thread_local uint32_t calls_to_sample_ = 1;

  FileSystem& fs_;
  const Clock& clock_;
  absl::Status file_status_;
  std::string path_;
  std::unique_ptr<File> file_;  // which has the lock
  std::unique_ptr<MappedFile> mapping_;
  std::unique_ptr<ReplicaStatsWords> own_words_;  // if there is no mapping
  ReplicaStatsWords* words_ = nullptr;

  absl::Mutex mutex_;  // of what any thread may write
  Role role_ ABSL_GUARDED_BY(mutex_) = Role::kFollower;
  Epoch epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t role_since_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t takeovers_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t takeover_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t snapshots_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t errors_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_REPLICA_STATS_H_
