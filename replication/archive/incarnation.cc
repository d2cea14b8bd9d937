#include "kekbit/replication/archive/incarnation.h"

#include <cstddef>
#include <memory>
#include <random>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x314E'434E'4942'4B4B;  // "KKBINCN1" as bytes

struct FileContent {
  uint64_t magic = kMagic;
  uint64_t incarnation = 0;
  uint64_t origin_incarnation = 0;
  uint64_t origin_epoch = 0;
  uint64_t origin_seq = 0;
  uint64_t reserved[2] = {};
  uint32_t reserved_too = 0;
  uint32_t crc32c = 0;  // of the 60 bytes before
};
static_assert(std::is_trivially_copyable_v<FileContent> && sizeof(FileContent) == 64);
static_assert(offsetof(FileContent, crc32c) == 60);

uint32_t ChecksumOf(const FileContent& content) {
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&content), offsetof(FileContent, crc32c)));
}

}  // namespace

uint64_t NewIncarnationId() {
  std::random_device random;
  uint64_t id = 0;
  while (id == 0) id = uint64_t{random()} << 32 | random();
  return id;
}

std::string IncarnationPath(const JournalLayout& layout) { return JoinPath(layout.directory(), "incarnation"); }

absl::StatusOr<Incarnation> ReadIncarnation(FileSystem& fs, const JournalLayout& layout) {
  const std::string path = IncarnationPath(layout);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  uint8_t bytes[sizeof(FileContent)];
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(bytes)));
  if (size != sizeof bytes) {
    return absl::DataLossError(absl::StrCat(path, ": has ", size, " bytes, not ", sizeof bytes));
  }
  const auto content = LoadUnaligned<FileContent>(bytes);
  if (content.magic != kMagic) {
    return absl::DataLossError(absl::StrFormat("%s: begins with 0x%016x: no incarnation", path, content.magic));
  }
  if (const uint32_t checksum = ChecksumOf(content); checksum != content.crc32c || content.incarnation == 0) {
    return absl::DataLossError(
        absl::StrFormat("%s: has the checksum %08x, not %08x; without the file the journal gets "
                        "a new incarnation, and begins a new archive",
                        path, checksum, content.crc32c));
  }
  return Incarnation{
      .id = content.incarnation,
      .origin = {.incarnation = content.origin_incarnation, .epoch = content.origin_epoch, .seq = content.origin_seq}};
}

absl::Status WriteIncarnation(FileSystem& fs, const JournalLayout& layout, const Incarnation& incarnation) {
  FileContent content = {.incarnation = incarnation.id,
                         .origin_incarnation = incarnation.origin.incarnation,
                         .origin_epoch = incarnation.origin.epoch,
                         .origin_seq = incarnation.origin.seq};
  content.crc32c = ChecksumOf(content);
  uint8_t bytes[sizeof content];
  StoreUnaligned(bytes, content);
  const std::string path = IncarnationPath(layout);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.CreateUnnamed(layout.directory(), path));
  KB_RETURN_IF_ERROR(file->WriteAt(0, Bytes(bytes)));
  KB_RETURN_IF_ERROR(file->Sync());
  KB_RETURN_IF_ERROR(file->LinkTo(path));
  return fs.SyncDirectory(layout.directory());
}

absl::StatusOr<Incarnation> TakeIncarnation(FileSystem& fs, const JournalLayout& layout) {
  absl::StatusOr<Incarnation> incarnation = ReadIncarnation(fs, layout);
  if (!absl::IsNotFound(incarnation.status())) return incarnation;
  const absl::Status written = WriteIncarnation(fs, layout, {.id = NewIncarnationId(), .origin = {}});
  if (absl::IsAlreadyExists(written)) {
    // Its maker may not have synced the name yet.
    KB_RETURN_IF_ERROR(fs.SyncDirectory(layout.directory()));
  } else {
    KB_RETURN_IF_ERROR(written);
  }
  return ReadIncarnation(fs, layout);
}

absl::Status SetIncarnationAside(FileSystem& fs, const JournalLayout& layout, Aside& aside,
                                 std::vector<std::string>& kept) {
  const std::string path = IncarnationPath(layout);
  const absl::StatusOr<FileInfo> info = fs.Info(path);
  if (absl::IsNotFound(info.status())) return absl::OkStatus();
  KB_RETURN_IF_ERROR(info.status());
  KB_ASSIGN_OR_RETURN(std::string moved, aside.Move(path));
  kept.push_back(std::move(moved));
  return absl::OkStatus();
}

}  // namespace kekbit
