#include "replication/lease.h"

#include <cstddef>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kekbit/bytes.h"
#include "kekbit/crc32c.h"
#include "kekbit/file_lock.h"
#include "kekbit/status_macros.h"

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

// Where the sign of life stands, and behind it the epoch of the reign.
constexpr uint64_t kBeatOffset = 64;
constexpr uint64_t kReignOffset = 72;

uint32_t Checksum(const RawHolder& raw) {
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), offsetof(RawHolder, crc32c)));
}

// Nothing if there are no 8 bytes.
std::optional<uint64_t> ReadWord(File& file, uint64_t offset) {
  uint64_t word = 0;
  const absl::StatusOr<size_t> size = file.ReadAt(offset, MutableBytes(reinterpret_cast<uint8_t*>(&word), sizeof word));
  if (!size.ok() || *size != sizeof word) return std::nullopt;
  return word;
}

absl::Status WriteWord(File& file, uint64_t offset, uint64_t word) {
  return file.WriteAt(offset, Bytes(reinterpret_cast<const uint8_t*>(&word), sizeof word));
}

std::string NextOf(const std::string& path) { return absl::StrCat(path, ".next"); }

// Says that this process holds the lease, and that it has not begun to reign.
absl::Status WriteHolder(FileSystem& fs, File& file) {
  const ProcessId self = ProcessId::Self(fs);
  RawHolder raw = {.pid = self.pid, .start_time = self.start_time, .pid_namespace = self.pid_namespace};
  raw.crc32c = Checksum(raw);
  KB_RETURN_IF_ERROR(WriteWord(file, kReignOffset, 0));
  return file.WriteAt(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), sizeof raw));
}

}  // namespace

// Null if somebody else is just taking the lease.
absl::StatusOr<std::unique_ptr<File>> Lease::TakeTurn(FileSystem& fs, const std::string& path) {
  const std::string next = NextOf(path);
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> turn, fs.OpenOrCreate(next));
  KB_RETURN_IF_ERROR(turn->CheckSupported());
  const absl::StatusOr<bool> locked = LockNamedFile(fs, *turn, next);
  // Whoever had the turn just now has renamed or deleted the file.
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
  // A hint for those who wait: without it (the disk may be full) they ask for the lock now and then. But the name of a
  // dead holder must not stay: the lease could be taken for its.
  const absl::Status written = WriteHolder(fs, *file);
  fs.Unlink(turn->path()).IgnoreError();  // the turn ends; a file that is left behind does no harm
  if (!written.ok() && Holder(fs, path).value_or(ProcessId::Self(fs)) != ProcessId::Self(fs)) return written;
  return Lease(path, std::move(file));
}

absl::StatusOr<std::optional<Lease>> Lease::Succeed(FileSystem& fs, const std::string& path, const ProcessId& dead) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> turn, TakeTurn(fs, path));
  if (turn == nullptr) return std::nullopt;
  KB_RETURN_IF_ERROR(WriteHolder(fs, *turn));
  // From here on nobody else takes the lease: it is that of `dead`, or not.
  if (Holder(fs, path) != dead) return std::nullopt;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> old, fs.Open(path, Access::kRead));
  const Epoch reign = ReadWord(*old, kReignOffset).value_or(0);
  KB_RETURN_IF_ERROR(fs.Rename(turn->path(), path));
  Lease lease(path, std::move(turn));
  lease.succeeded_ = reign;
  return lease;
}

std::optional<ProcessId> Lease::Taker(FileSystem& fs, const std::string& path) {
  const auto turn = fs.Open(NextOf(path), Access::kReadWrite);
  if (!turn.ok()) return std::nullopt;
  const absl::StatusOr<bool> taken = (*turn)->LockedByOther();
  if (!taken.ok() || !*taken) return std::nullopt;
  return Holder(fs, NextOf(path));
}

void Lease::SetReign(Epoch epoch) { WriteWord(*file_, kReignOffset, epoch).IgnoreError(); }

void Lease::Beat() { WriteWord(*file_, kBeatOffset, ++beats_).IgnoreError(); }

absl::StatusOr<bool> Lease::IsNamed(FileSystem& fs) const { return LeadsTo(fs, path_, *file_); }

std::optional<uint64_t> Lease::LastBeat(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  return ReadWord(**file, kBeatOffset);
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
