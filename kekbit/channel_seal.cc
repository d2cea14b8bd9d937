#include "kekbit/channel_seal.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/lock_holder.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/header.h"

namespace kekbit {

namespace {

absl::Status Seal(FileSystem& fs, const std::string& path, uint64_t position, WriterIs writer, bool cut) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  if (writer == WriterIs::kDead) {
    KB_RETURN_IF_ERROR(LockNamedFile(fs, *file, path).status());
  } else {
    KB_RETURN_IF_ERROR(LockFromWriters(fs, *file, path));
  }
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  const uint64_t offset = kDataOffset + position;
  const bool in_file = cut || offset + kLengthBytes <= info.size;
  if (position % kAlignment != 0 || position > kCapacityMax || !in_file) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a file of ", info.size, " bytes has no length at offset ", position));
  }
  // A copied file may have a hole there, and then a full disk would be SIGBUS.
  KB_RETURN_IF_ERROR(file->Allocate(offset + kLengthBytes));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> mapping, file->Map(Access::kReadWrite, offset + kLengthBytes));
  KB_RETURN_IF_ERROR(Header::Decode(mapping->bytes()).status());
  const uint64_t word = AcquireWord(mapping->data() + offset);
  if (word == kClose) return absl::OkStatus();
  if (!cut && word != kWatermark && word != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: at offset %d stands 0x%016x, not the end of the records", path, position, word));
  }
  PublishWord(mapping->data() + offset, kClose);
  return absl::OkStatus();
}

}  // namespace

absl::Status SealAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position, WriterIs writer) {
  return Seal(fs, path, position, writer, /*cut=*/false);
}

absl::Status CutAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position, WriterIs writer) {
  return Seal(fs, path, position, writer, /*cut=*/true);
}

}  // namespace kekbit
