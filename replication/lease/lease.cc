#include "kekbit/replication/lease/lease.h"

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/lock_holder.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

struct RawHolder {
  uint64_t pid = 0;
  uint64_t start_time = 0;
  uint64_t pid_namespace = 0;
  uint32_t crc32c = 0;  // of what stands before
  uint32_t reserved = 0;
};
static_assert(std::is_trivially_copyable_v<RawHolder> && sizeof(RawHolder) == 32);

// RawSigns is what the holder shows while it has the lease. Each word is right by itself.
struct RawSigns {
  uint64_t beats = 0;    // signs of life
  uint64_t reign = 0;    // the epoch that has begun; 0 before
  uint64_t beat_ns = 0;  // the last sign of life, by the monotonic clock; 0: none
  uint64_t time_namespace =
      0;  // inode of /proc/self/ns/time: whose monotonic clock that is; 0: the kernel has one only
};
static_assert(std::is_trivially_copyable_v<RawSigns> && sizeof(RawSigns) == 32);
static_assert(offsetof(RawSigns, beats) == 0 && offsetof(RawSigns, reign) == 8 && offsetof(RawSigns, beat_ns) == 16);

// Offset of the signs in the file.
constexpr uint64_t kSignsOffset = 64;

uint32_t Checksum(const RawHolder& raw) {
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), offsetof(RawHolder, crc32c)));
}

// Returns nullopt if there are no signs. Signs that a file of an earlier build lacks are 0.
std::optional<RawSigns> ReadSigns(File& file) {
  RawSigns signs;
  const absl::StatusOr<size_t> size =
      file.ReadAt(kSignsOffset, MutableBytes(reinterpret_cast<uint8_t*>(&signs), sizeof signs));
  if (!size.ok() || *size < sizeof signs.beats) return std::nullopt;
  return signs;
}

absl::Status WriteSignsTo(File& file, const RawSigns& signs) {
  return file.WriteAt(kSignsOffset, Bytes(reinterpret_cast<const uint8_t*>(&signs), sizeof signs));
}

std::string NextOf(const std::string& path) { return absl::StrCat(path, ".next"); }

// Says that this process holds the lease, and has neither shown a sign of life nor begun to reign.
absl::Status WriteHolder(FileSystem& fs, File& file) {
  const ProcessId self = ProcessId::Self(fs);
  RawHolder raw = {.pid = self.pid, .start_time = self.start_time, .pid_namespace = self.pid_namespace};
  raw.crc32c = Checksum(raw);
  KB_RETURN_IF_ERROR(WriteSignsTo(file, {}));
  return file.WriteAt(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), sizeof raw));
}

}  // namespace

// Returns null if somebody else is just taking the lease.
absl::StatusOr<std::unique_ptr<File>> Lease::TakeTurn(FileSystem& fs, const std::string& path) {
  const std::string next = NextOf(path);
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> turn, fs.OpenOrCreate(next));
  KB_RETURN_IF_ERROR(turn->CheckSupported());
  const absl::StatusOr<bool> locked = LockNamedFile(fs, *turn, next);
  // The process that had the turn just now has renamed or deleted the file.
  if (absl::IsNotFound(locked.status()) || absl::IsUnavailable(locked.status())) return nullptr;
  KB_RETURN_IF_ERROR(locked.status());
  if (!*locked) turn.reset();
  return turn;
}

absl::StatusOr<std::optional<Lease>> Lease::TryAcquire(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.OpenOrCreate(path));
  KB_RETURN_IF_ERROR(file->CheckSupported());
  KB_ASSIGN_OR_RETURN(const bool taken, file->LockedByOther());
  if (taken) return std::nullopt;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> turn, TakeTurn(fs, path));
  if (turn == nullptr) return std::nullopt;
  WriteHolder(fs, *turn).IgnoreError();  // for Taker()
  KB_ASSIGN_OR_RETURN(const bool locked, LockNamedFile(fs, *file, path));
  if (!locked) return std::nullopt;
  // The name is a hint for those that wait: without it (the disk may be full) they ask for the lock
  // now and then. But the name of a dead holder must not stay: the lease could be taken for its
  // own.
  const absl::Status written = WriteHolder(fs, *file);
  fs.Unlink(turn->path()).IgnoreError();  // the turn ends; a file that stays does no harm
  if (!written.ok() && Holder(fs, path).value_or(ProcessId::Self(fs)) != ProcessId::Self(fs)) return written;
  return Lease(path, std::move(file), TimeNamespace(fs));
}

absl::StatusOr<std::optional<Lease>> Lease::Succeed(FileSystem& fs, const std::string& path, const ProcessId& dead) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> turn, TakeTurn(fs, path));
  if (turn == nullptr) return std::nullopt;
  KB_RETURN_IF_ERROR(WriteHolder(fs, *turn));
  // From here on nobody else takes the lease: it is that of `dead`, or not.
  if (Holder(fs, path) != dead) return std::nullopt;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> old, fs.Open(path, Access::kRead));
  const Epoch reign = ReadSigns(*old).value_or(RawSigns{}).reign;
  KB_RETURN_IF_ERROR(fs.Rename(turn->path(), path));
  Lease lease(path, std::move(turn), TimeNamespace(fs));
  lease.succeeded_ = reign;
  return lease;
}

absl::Status Lease::CheckLocks(FileSystem& fs, const std::string& path, LockSearch search) {
  for (const std::string& file_path : {path, NextOf(path)}) {
    const auto file = fs.Open(file_path, Access::kRead);
    if (!file.ok()) continue;
    const absl::StatusOr<std::optional<FileLock>> lock = (*file)->Blocker();
    if (!lock.ok() || !lock->has_value()) continue;
    if (IsForeign(**lock)) return LockedError(fs, **file, "");
    if (search == LockSearch::kKinds) continue;
    const std::optional<ProcessId> named = Holder(fs, file_path);
    const std::vector<uint64_t> pids = LockHolders(fs, **file);
    const bool known = named && named->pid_namespace == ProcessId::Self(fs).pid_namespace;
    if (pids.empty() || (named && !known) || (known && std::count(pids.begin(), pids.end(), named->pid) != 0)) continue;
    // Another one may have taken it, or have written its name, between the two looks.
    if (Holder(fs, file_path) != named) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(file_path, ": ", LockText(fs, **file, **lock), " keeps all others from the lease, and the file ",
                     named ? absl::StrCat("names process ", named->pid) : std::string("names nobody"),
                     ": if that is no replica, end it"));
  }
  return absl::OkStatus();
}

bool Lease::IsHeld(FileSystem& fs, const std::string& path) {
  const auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return false;
  const absl::StatusOr<bool> locked = (*file)->LockedByOther();
  return locked.ok() && *locked;
}

std::optional<ProcessId> Lease::Taker(FileSystem& fs, const std::string& path) {
  if (!IsHeld(fs, NextOf(path))) return std::nullopt;
  return Holder(fs, NextOf(path));
}

void Lease::WriteSigns() {
  KB_CHECK(file_ != nullptr);  // only who holds the lease shows signs of life
  const RawSigns signs = {
      .beats = beats_, .reign = reign_, .beat_ns = static_cast<uint64_t>(beat_ns_), .time_namespace = time_namespace_};
  WriteSignsTo(*file_, signs).IgnoreError();
}

void Lease::SetReign(Epoch epoch) {
  KB_CHECK(epoch != 0 && epoch >= reign_);  // epochs never go back
  reign_ = epoch;
  WriteSigns();
}

void Lease::Beat(int64_t now_ns) {
  ++beats_;
  beat_ns_ = now_ns;
  WriteSigns();
}

absl::StatusOr<bool> Lease::IsNamed(FileSystem& fs) const { return LeadsTo(fs, path_, *file_); }

std::optional<uint64_t> Lease::LastBeat(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  const std::optional<RawSigns> signs = ReadSigns(**file);
  if (!signs) return std::nullopt;
  return signs->beats;
}

std::optional<absl::Duration> Lease::Silence(FileSystem& fs, const std::string& path, const Clock& clock) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  const std::optional<RawSigns> signs = ReadSigns(**file);
  if (!signs || signs->beat_ns == 0 || signs->time_namespace != TimeNamespace(fs)) return std::nullopt;
  // Read the clock after the sign. Any word may stand in the file.
  const auto now = static_cast<uint64_t>(clock.MonotonicNanos());
  if (signs->beat_ns > now) return std::nullopt;
  return absl::Nanoseconds(static_cast<int64_t>(now - signs->beat_ns));
}

std::optional<ProcessId> Lease::Holder(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  RawHolder raw;
  const absl::StatusOr<size_t> size = (*file)->ReadAt(0, MutableBytes(reinterpret_cast<uint8_t*>(&raw), sizeof raw));
  if (!size.ok() || *size != sizeof raw || raw.crc32c != Checksum(raw)) return std::nullopt;
  return ProcessId{.pid = raw.pid, .start_time = raw.start_time, .pid_namespace = raw.pid_namespace};
}

}  // namespace kekbit
