#include "kekbit/replication/journal/epoch_store.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/asymmetric_fence.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/directories_above.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x3148'4350'4542'4B4B;  // "KKBEPCH1" as bytes
constexpr uint64_t kFileBytes = 64;

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
  return absl::IsAlreadyExists(linked) ? absl::OkStatus() : linked;
}

// Brings the file's name, and those above it, to stable storage: whoever made them may have died
// before. An epoch in a file that a power failure takes could be granted again.
absl::Status SyncNames(FileSystem& fs, const std::string& path) {
  const std::string directory = DirectoryOf(path);
  KB_RETURN_IF_ERROR(fs.SyncDirectory(directory));
  return SyncDirectoriesAbove(fs, directory);
}

absl::Status WrongMagic(const std::string& path, uint64_t magic) {
  return absl::DataLossError(
      absl::StrFormat("%s: begins with 0x%016x, not 0x%016x: no file of epochs", path, magic, kMagic));
}

absl::Status LastEpoch(const std::string& path) {
  return absl::DataLossError(
      absl::StrCat(path, ": the epoch is ", std::numeric_limits<Epoch>::max(), ", there is none after it"));
}

}  // namespace

absl::StatusOr<EpochStore> EpochStore::Open(FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, Access::kReadWrite);
  if (absl::IsNotFound(file.status())) {
    KB_RETURN_IF_ERROR(Create(fs, path));
    file = fs.Open(path, Access::kReadWrite);
  }
  KB_RETURN_IF_ERROR(file.status());
  KB_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Info());
  if (info.size < kFileBytes) {
    return absl::DataLossError(absl::StrCat(path, ": has ", info.size, " bytes, not ", kFileBytes));
  }
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, (*file)->Map(Access::kReadWrite, kFileBytes));
  if (const uint64_t magic = PeekWord(mapping->data()); magic != kMagic) {
    return WrongMagic(path, magic);
  }
  EpochStore store(*std::move(file), std::move(mapping));
  // Once an epoch was granted, the names are there: whoever granted it has been here before.
  if (store.current() == 0) KB_RETURN_IF_ERROR(SyncNames(fs, path));
  // Join in every process that may become primary: its looks at the word are the cheap side of the
  // fence.
  JoinHeavyFence();
  return store;
}

absl::StatusOr<Epoch> EpochStore::Read(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  uint8_t bytes[kFileBytes] = {};
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(bytes)));
  if (size != sizeof bytes) {
    return absl::DataLossError(absl::StrCat(path, ": has ", size, " bytes, not ", sizeof bytes));
  }
  if (const auto magic = LoadUnaligned<uint64_t>(bytes); magic != kMagic) return WrongMagic(path, magic);
  const auto epoch = LoadUnaligned<uint64_t>(bytes + sizeof(uint64_t));
  return epoch == std::numeric_limits<Epoch>::max() ? LastEpoch(path) : absl::StatusOr<Epoch>(epoch);
}

absl::StatusOr<bool> EpochStore::IsNamed(FileSystem& fs) const { return LeadsTo(fs, file_->path(), *file_); }

absl::StatusOr<Epoch> EpochStore::Grant(Epoch seen) {
  const Epoch last = std::max(current(), seen);
  if (last == std::numeric_limits<Epoch>::max()) {
    return LastEpoch(file_->path());
  }
  const Epoch epoch = last + 1;
  KB_CHECK(epoch > seen);  // epochs never go back
  PublishWord(word(), epoch);
  if (!Planted(PlantedBug::kEpochNotSynced)) KB_RETURN_IF_ERROR(mapping_->Sync(0, kFileBytes));
  HeavyFence();
  return epoch;
}

}  // namespace kekbit
