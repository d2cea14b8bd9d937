// Lease is the right to be the primary of a journal on one host: the kernel's lock on the file DIR/lease.
//
// It is held by an open file description: it works between processes, threads and containers, knows no timeout, and
// ends with any death of its holder. A process that is merely stopped keeps it.
//
// The file also says who holds it, so that others can watch that process die instead of asking for the lock again and
// again. The kernel releases the lock of a killed process only once it has freed all of its memory. Who knows for
// certain that the holder never runs again need not wait for that: Succeed() puts a new file, locked, in the place of
// the old one. DIR/lease.next is that file, and its lock the turn of whoever is just taking the lease in either way; it
// says who that is, since a process may be stopped in the middle.
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
  // The lease, if nobody has it. Makes the file if it is not there.
  static absl::StatusOr<std::optional<Lease>> TryAcquire(FileSystem& fs, const std::string& path);

  // The lease of `dead`, if it is that one's: of a holder that will certainly never run again (see
  // ProcessWatch::IsExiting), while its lock is still there. Nothing if it is somebody else's by now.
  static absl::StatusOr<std::optional<Lease>> Succeed(FileSystem& fs, const std::string& path, const ProcessId& dead);

  // Who is just taking the lease, and so keeps everybody else from doing so; nothing if nobody is.
  static std::optional<ProcessId> Taker(FileSystem& fs, const std::string& path);

  // FailedPrecondition if a lock that is no replica's keeps everybody from the lease: names the file, the lock and its
  // process. OK if there is none, as far as can be told from here.
  static absl::Status CheckLocks(FileSystem& fs, const std::string& path, LockSearch search);

  // Whether somebody has the lease, or had it and its lock is still there. False also if that can't be known.
  static bool IsHeld(FileSystem& fs, const std::string& path);
  // Who says that it holds, or last held, the lease; nothing if that can't be read.
  static std::optional<ProcessId> Holder(FileSystem& fs, const std::string& path);

  // Says that the holder has begun its reign, as the journal's only writer. Best effort.
  void SetReign(Epoch epoch);
  // The epoch that the dead one, whose lease this was, had said so of; nothing for a lease by TryAcquire().
  std::optional<Epoch> succeeded() const { return succeeded_; }

  // Shows that the holder is alive and makes progress, now by the monotonic clock: others see another number with each
  // call. Best effort.
  void Beat(int64_t now_ns);
  // Whether the file's name still leads to it: not if somebody moved, replaced or deleted it.
  absl::StatusOr<bool> IsNamed(FileSystem& fs) const;
  // The number that the holder showed last; nothing if that can't be read.
  static std::optional<uint64_t> LastBeat(FileSystem& fs, const std::string& path);
  // How long ago the holder did so, by the monotonic clock of this boot; nothing if it has not yet, or that can't be
  // known from here: the holder's clock is another one (of another time namespace), or the moment is still to come.
  // Of a lease that nobody holds it means nothing.
  static std::optional<absl::Duration> Silence(FileSystem& fs, const std::string& path, const Clock& clock);

  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = default;
  // Releases it.
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
