// Lease is the right to be the primary of a journal on one host: the kernel's lock on the file
// DIR/lease.
//
// The lock belongs to an open file description. It works between processes, threads and containers,
// knows no timeout, and ends with any death of its holder. A process that is merely stopped keeps
// the lease.
//
// The file also says who holds the lease, so that others can watch that process die instead of
// asking for the lock again and again. The kernel releases the lock of a killed process only after
// freeing all of its memory. A process that knows for certain that the holder never runs again need
// not wait so long. Succeed() puts a new file, locked, in the place of the old one. DIR/lease.next
// is that file. Its lock is the turn of the process that is just taking the lease in either way.
// The file says which process that is, since a process may be stopped in the middle.
//
// File: the holder, and at 64 its signs (see lease.cc).
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_LEASE_LEASE_H_
#define KEKBIT_REPLICATION_LEASE_LEASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/lease/process_watch.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// How far Lease::CheckLocks() looks for strangers' locks.
enum class LockSearch {
  kKinds,      // those of kinds that kekbit never takes
  kProcesses,  // also those of kekbit's kind, of a process that is not the one which the file names; milliseconds
};

class Lease final {
 public:
  // Returns the lease, if nobody has it. Makes the file if it does not exist.
  static absl::StatusOr<std::optional<Lease>> TryAcquire(FileSystem& fs, const std::string& path);

  // Takes the lease of `dead` while its lock still exists: `dead` will certainly never run again
  // (see ProcessWatch::IsExiting). Returns nullopt if the lease is somebody else's by now.
  static absl::StatusOr<std::optional<Lease>> Succeed(FileSystem& fs, const std::string& path, const ProcessId& dead);

  // Returns the process that is just taking the lease, and so keeps all others from that; nullopt
  // if nobody is.
  static std::optional<ProcessId> Taker(FileSystem& fs, const std::string& path);

  // FailedPrecondition if a lock that is no replica's keeps everybody from the lease: names the
  // file, the lock and its process. OK if there is none, as far as can be told from here.
  static absl::Status CheckLocks(FileSystem& fs, const std::string& path, LockSearch search);

  // Returns true if somebody has the lease, or had it and the lock still exists. False also if that
  // can't be known.
  static bool IsHeld(FileSystem& fs, const std::string& path);
  // Returns the process that, by the file, holds or last held the lease; nullopt if that can't be
  // read.
  static std::optional<ProcessId> Holder(FileSystem& fs, const std::string& path);

  // Says that the holder has begun its reign, as the journal's only writer. Best effort.
  void SetReign(Epoch epoch);
  // Returns the epoch that the dead holder of this lease had begun to reign in; nullopt for a lease
  // by TryAcquire().
  std::optional<Epoch> succeeded() const { return succeeded_; }

  // Shows that the holder is alive and makes progress at `now_ns`, by the monotonic clock. Others
  // see another number with each call. Best effort.
  void Beat(int64_t now_ns);
  // Returns true if the file's name still leads to this file: false if somebody moved, replaced or
  // deleted it.
  absl::StatusOr<bool> IsNamed(FileSystem& fs) const;
  // Returns the number that the holder showed last; nullopt if that can't be read.
  static std::optional<uint64_t> LastBeat(FileSystem& fs, const std::string& path);
  // Returns how long ago the holder showed a number, by the monotonic clock of this boot. Nullopt
  // if it has not yet, or if that can't be known from here: the holder's clock is that of another
  // time namespace, or the moment is still to come. Means nothing for a lease that nobody holds.
  static std::optional<absl::Duration> Silence(FileSystem& fs, const std::string& path, const Clock& clock);

  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = default;
  // Releases the lease.
  ~Lease() = default;

 private:
  Lease(std::string path, std::unique_ptr<File> file, uint64_t time_namespace)
      : path_(std::move(path)), file_(std::move(file)), time_namespace_(time_namespace) {}
  static absl::StatusOr<std::unique_ptr<File>> TakeTurn(FileSystem& fs, const std::string& path);
  void WriteSigns();

  std::string path_;  // the file may have been opened by another one
  std::unique_ptr<File> file_;
  std::optional<Epoch> succeeded_;
  uint64_t time_namespace_;
  uint64_t beats_ = 0;
  int64_t beat_ns_ = 0;  // the last
  Epoch reign_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_LEASE_LEASE_H_
