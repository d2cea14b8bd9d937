#include "kekbit/replication/journal/sync_mark.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x3143'4E59'5342'4B4B;  // "KKBSYNC1" as bytes
constexpr uint64_t kFileBytes = 64;

// The bits of the journal's line that tell whether the others are meant for a clock, and whole.
constexpr uint64_t kLineCheckBits = 0xFFFF;

uint64_t WithCheck(uint64_t line, uint64_t clock) {
  const uint64_t words[] = {line & ~kLineCheckBits, clock};
  const uint32_t crc = Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(words), sizeof words));
  return words[0] | (crc & kLineCheckBits);
}

// Sync the file before naming it: a file of that name is whole, unless damaged.
absl::Status Create(FileSystem& fs, const std::string& path) {
  const std::string directory = DirectoryOf(path);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.CreateUnnamed(directory, path));
  KB_RETURN_IF_ERROR(file->CheckSupported());
  KB_RETURN_IF_ERROR(file->Allocate(kFileBytes));
  uint8_t bytes[sizeof kMagic];
  StoreUnaligned(bytes, kMagic);
  KB_RETURN_IF_ERROR(file->WriteAt(0, Bytes(bytes)));
  KB_RETURN_IF_ERROR(file->Sync());
  const absl::Status linked = file->LinkTo(path);
  if (!absl::IsAlreadyExists(linked)) KB_RETURN_IF_ERROR(linked);
  return fs.SyncDirectory(directory);
}

}  // namespace

absl::StatusOr<SyncMark> SyncMark::Open(FileSystem& fs, const std::string& path) {
  absl::StatusOr<SyncMark> mark = OpenFor(fs, path, Access::kReadWrite);
  if (!absl::IsNotFound(mark.status())) return mark;
  KB_RETURN_IF_ERROR(Create(fs, path));
  return OpenFor(fs, path, Access::kReadWrite);
}

absl::StatusOr<SyncMark> SyncMark::OpenForReading(FileSystem& fs, const std::string& path) {
  return OpenFor(fs, path, Access::kRead);
}

absl::StatusOr<SyncMark> SyncMark::OpenFor(FileSystem& fs, const std::string& path, Access access) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, access));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  if (info.size < kFileBytes) {
    return absl::DataLossError(absl::StrCat(path, ": has ", info.size, " bytes, not ", kFileBytes));
  }
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, file->Map(access, kFileBytes));
  if (const uint64_t magic = PeekWord(mapping->data()); magic != kMagic) {
    return absl::DataLossError(
        absl::StrFormat("%s: begins with 0x%016x, not 0x%016x: no file of syncs", path, magic, kMagic));
  }
  return SyncMark(std::move(mapping));
}

absl::StatusOr<uint64_t> SyncMark::CurrentBoot(FileSystem& fs) {
  constexpr size_t kUuid = 36;
  constexpr size_t kHalfDigits = 16;
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open("/proc/sys/kernel/random/boot_id", Access::kRead);
  if (absl::IsResourceExhausted(file.status()) || absl::IsUnavailable(file.status())) return file.status();
  if (!file.ok()) return 0;
  uint8_t bytes[kUuid];
  const absl::StatusOr<size_t> size = (*file)->ReadAt(0, MutableBytes(bytes));
  // Whatever the error is, it is no damage of the journal.
  if (!size.ok()) return absl::UnavailableError(size.status().message());
  if (*size != kUuid) return 0;
  const std::string digits = absl::StrReplaceAll(AsText(Bytes(bytes)), {{"-", ""}}).substr(0, kHalfDigits);
  uint64_t boot = 0;
  return absl::SimpleHexAtoi(digits, &boot) ? boot : 0;
}

std::optional<int64_t> SyncMark::journal_line(uint64_t clock) const {
  const uint64_t line = AcquireWord(word(7));
  if (line == 0 || clock == 0 || line != WithCheck(line, clock)) return std::nullopt;
  return static_cast<int64_t>(line & ~kLineCheckBits);
}

void SyncMark::SetJournalLine(int64_t line, uint64_t clock) {
  if (clock != 0) PublishWord(word(7), WithCheck(static_cast<uint64_t>(line), clock));
}

absl::Status SyncMark::GiveUpAfter(Seq seq) {
  if (seq < PeekWord(word(1))) PublishWord(word(1), seq);
  return mapping_->Sync(0, kFileBytes);
}

absl::Status SyncMark::ClearPoison() {
  PublishWord(word(2), 0);
  return mapping_->Sync(0, kFileBytes);
}

}  // namespace kekbit
