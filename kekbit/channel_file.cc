#include "kekbit/channel_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "kekbit/base/check.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

constexpr absl::Duration kRetryPause = absl::Milliseconds(2);

absl::Status WithPath(const absl::Status& status, absl::string_view path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

std::string ChannelPath(absl::string_view root, uint64_t channel_id) {
  const auto part = [&](int shift) { return static_cast<unsigned>(channel_id >> shift & 0xFFFF); };
  return JoinPath(root, absl::StrFormat("%04x_%04x/%04x_%04x.kekbit", part(48), part(32), part(16), part(0)));
}

std::string WakePath(absl::string_view path) { return absl::StrCat(absl::StripSuffix(path, ".kekbit"), ".wake"); }

uint64_t ChannelFile::data_bytes() const {
  const uint64_t in_file = mapping->size() > kDataOffset ? mapping->size() - kDataOffset : 0;
  return std::min(in_file, header.capacity() + kFooterBytes);
}

bool ChannelFile::is_short_by_design() const {
  return !extension && mapping->size() == kHeaderBytes + header.capacity() + kFooterBytes;
}

absl::StatusOr<PreparedChannelFile> PrepareChannelFile(FileSystem& fs, const std::string& path, uint32_t capacity,
                                                       Pages pages) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.CreateUnnamed(DirectoryOf(path), path));
  KB_RETURN_IF_ERROR(file->CheckSupported());
  const uint64_t size = ChannelFileBytes(capacity);
  KB_RETURN_IF_ERROR(file->Allocate(size));
  KB_ASSIGN_OR_RETURN(std::shared_ptr<MappedFile> mapping, file->Map(Access::kReadWrite, size));
  if (pages == Pages::kApart) mapping->KeepPagesApart();
  // Lock the file before naming it: no reader ever sees the channel without its writer.
  KB_ASSIGN_OR_RETURN(const bool locked, file->TryLock());
  if (!locked) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": somebody locked the file before it had a name"));
  }
  return PreparedChannelFile{.file = std::move(file), .mapping = std::move(mapping), .capacity = capacity};
}

absl::StatusOr<ChannelFile> NameChannelFile(PreparedChannelFile prepared, const std::string& path, const Header& header,
                                            const Extension& extension) {
  KB_CHECK(prepared.capacity == header.capacity());
  const MutableBytes bytes(prepared.mapping->data(), prepared.mapping->size());
  header.EncodeTo(bytes);
  extension.EncodeTo(bytes);
  PublishWord(bytes.data() + kDataOffset, kWatermark);
  KB_RETURN_IF_ERROR(prepared.file->LinkTo(path));
  return ChannelFile{.file = std::move(prepared.file),
                     .mapping = std::move(prepared.mapping),
                     .header = header,
                     .extension = extension};
}

absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, Access access) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, access));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  if (info.size < kHeaderBytes) {
    return absl::DataLossError(absl::StrCat(path, ": a file of ", info.size, " bytes is too short for the header of ",
                                            kHeaderBytes, " bytes"));
  }
  // Bytes past the end of the longest possible channel are no part of it.
  const uint64_t size = std::min(info.size, ChannelFileBytes(kCapacityMax));
  KB_ASSIGN_OR_RETURN(std::shared_ptr<MappedFile> mapping, file->Map(access, size));
  absl::StatusOr<Header> header = Header::Decode(mapping->bytes());
  if (!header.ok()) return WithPath(header.status(), path);
  absl::StatusOr<std::optional<Extension>> extension = Extension::Decode(mapping->bytes());
  if (!extension.ok()) return WithPath(extension.status(), path);
  return ChannelFile{
      .file = std::move(file), .mapping = std::move(mapping), .header = *header, .extension = *extension};
}

absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    absl::StatusOr<ChannelFile> channel = OpenChannelFile(fs, path);
    const bool may_come = absl::IsNotFound(channel.status()) || absl::IsDataLoss(channel.status());
    if (!may_come || absl::Now() >= deadline) return channel;
    absl::SleepFor(kRetryPause);
  }
}

}  // namespace kekbit
