#include "replication/lease.h"

#include <cstddef>
#include <type_traits>

#include "absl/status/status.h"
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

// Where the sign of life stands.
constexpr uint64_t kBeatOffset = 64;

uint32_t Checksum(const RawHolder& raw) {
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), offsetof(RawHolder, crc32c)));
}

}  // namespace

absl::StatusOr<std::optional<Lease>> Lease::TryAcquire(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.OpenOrCreate(path));
  KB_RETURN_IF_ERROR(file->CheckSupported());
  KB_ASSIGN_OR_RETURN(const bool locked, LockNamedFile(fs, *file, path));
  if (!locked) return std::nullopt;
  const ProcessId self = ProcessId::Self(fs);
  RawHolder raw = {.pid = self.pid, .start_time = self.start_time, .pid_namespace = self.pid_namespace};
  raw.crc32c = Checksum(raw);
  // A hint for those who wait: without it (the disk may be full) they ask for the lock now and then.
  file->WriteAt(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), sizeof raw)).IgnoreError();
  return Lease(std::move(file));
}

void Lease::Beat() {
  ++beats_;
  file_->WriteAt(kBeatOffset, Bytes(reinterpret_cast<const uint8_t*>(&beats_), sizeof beats_)).IgnoreError();
}

absl::StatusOr<bool> Lease::IsNamed(FileSystem& fs) const { return LeadsTo(fs, file_->path(), *file_); }

std::optional<uint64_t> Lease::LastBeat(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return std::nullopt;
  uint64_t beat = 0;
  const absl::StatusOr<size_t> size =
      (*file)->ReadAt(kBeatOffset, MutableBytes(reinterpret_cast<uint8_t*>(&beat), sizeof beat));
  if (!size.ok() || *size != sizeof beat) return std::nullopt;
  return beat;
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
