// Lease is the right to be the primary of a journal on one host: the kernel's lock on the file DIR/lease.
//
// It is held by an open file description: it works between processes, threads and containers, knows no timeout, and
// ends with any death of its holder at once. A process that is merely stopped keeps it.
//
// The file also says who holds it, so that others can watch that process die instead of asking for the lock again and
// again.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_LEASE_H_
#define KEKBIT_REPLICATION_LEASE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kekbit/file_system.h"
#include "replication/process_watch.h"

namespace kekbit {

class Lease final {
 public:
  // The lease, if nobody has it. Makes the file if it is not there.
  static absl::StatusOr<std::optional<Lease>> TryAcquire(FileSystem& fs, const std::string& path);

  // Who says that it holds, or last held, the lease; nothing if that can't be read.
  static std::optional<ProcessId> Holder(FileSystem& fs, const std::string& path);

  // Shows that the holder is alive and makes progress: others see another number with each call. Best effort.
  void Beat();
  // Whether the file's name still leads to it: not if somebody moved, replaced or deleted it.
  absl::StatusOr<bool> IsNamed(FileSystem& fs) const;
  // The number that the holder showed last; nothing if that can't be read.
  static std::optional<uint64_t> LastBeat(FileSystem& fs, const std::string& path);

  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = default;
  // Releases it.
  ~Lease() = default;

 private:
  explicit Lease(std::unique_ptr<File> file) : file_(std::move(file)) {}
  std::unique_ptr<File> file_;
  uint64_t beats_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_LEASE_H_
