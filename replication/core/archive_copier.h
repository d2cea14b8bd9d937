// ArchiveCopier archives the journal beside the replica, in a thread of its own or when it is told
// to: of all replicas of a journal one at a time, a follower if there is one.
//
// Who copies holds the registered reader "archive". A follower that finds it taken locks
// DIR/archive.next; a primary that copies looks at that lock, and lets go of the reader. A primary
// begins to copy only when nobody else has for kPrimaryPatience.
//
// Thread safety: CopyDue() one thread at a time; Start() and Join() the owner.

#ifndef KEKBIT_REPLICATION_CORE_ARCHIVE_COPIER_H_
#define KEKBIT_REPLICATION_CORE_ARCHIVE_COPIER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/archiver.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/core/standing.h"

namespace kekbit {

class ArchiveCopier final {
 public:
  // All of them outlive the copier; `mutex` guards `standing`. Does nothing without a store in the
  // options.
  ArchiveCopier(Environment& env, absl::Mutex& mutex, Standing& standing)
      : env_(env), mutex_(mutex), standing_(standing) {}
  ArchiveCopier(const ArchiveCopier&) = delete;
  ArchiveCopier& operator=(const ArchiveCopier&) = delete;

  // Starts the thread, which ends once env.stopping is true and env.archive_event was signalled.
  absl::Status Start();
  void Join();

  // Copies what there is, if it is time to, and this replica's turn. Notes and logs the outcome.
  void CopyDue() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run();
  Role role() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns true if somebody has the registered reader.
  absl::StatusOr<bool> IsOwned(absl::string_view reader) const;
  // Takes the reader, if it is free and this replica's to take.
  absl::Status TakeReader(Role role);
  // Tells the primary that a follower would copy.
  absl::Status AskForReader();
  // Returns true if a follower asked for the reader.
  absl::StatusOr<bool> IsAskedFor() const;
  absl::Status Copy(Role role);
  // Logs the error, but not each time that it is the same, and sets when to try again.
  void Failed(const absl::Status& status, int64_t now_ns);
  void Succeeded();
  std::string NextPath() const { return JoinPath(env_.options.directory, "archive.next"); }

  Environment& env_;
  absl::Mutex& mutex_;
  Standing& standing_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Archiver> archiver_;           // while this replica copies
  std::unique_ptr<File> asking_;                 // its lock is held while this follower waits for the reader
  int64_t due_ns_ = 0;                           // the next look, by the monotonic clock
  int64_t free_since_ns_ = 0;                    // since when this primary has seen the reader free; 0: not
  absl::Duration pause_ = absl::ZeroDuration();  // after the last failure
  std::string told_;                             // the last error that was logged
  int64_t told_ns_ = 0;
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_ARCHIVE_COPIER_H_
