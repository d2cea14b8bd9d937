#include "kekbit/replication/archive/directory_store.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/directories_above.h"

namespace kekbit {
namespace {

// So much is copied at a time.
constexpr size_t kCopyBytes = 1 << 20;

absl::Status Copy(ObjectSource& source, File& to) {
  std::vector<uint8_t> buffer;
  const uint64_t size = source.bytes();
  KB_RETURN_IF_ERROR(ResizeBuffer(buffer, std::min<uint64_t>(size, kCopyBytes), to.path()));
  for (uint64_t at = 0; at < size;) {
    const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(size - at, buffer.size()));
    KB_RETURN_IF_ERROR(source.Read(at, part));
    KB_RETURN_IF_ERROR(to.WriteAt(at, part));
    at += part.size();
  }
  return absl::OkStatus();
}

// A sync that failed says only that this object need not be there: it is put again, to another
// file.
absl::Status TryAgain(const absl::Status& status) {
  return SyncFailed(status) ? absl::UnavailableError(status.message()) : status;
}

}  // namespace

absl::Status DirectoryStore::MakeDirectory(const std::string& directory) {
  absl::MutexLock lock(&mutex_);
  if (made_.contains(directory)) return absl::OkStatus();
  KB_RETURN_IF_ERROR(fs_.CreateDirectories(directory));
  KB_RETURN_IF_ERROR(SyncDirectoriesAbove(fs_, directory));
  made_.insert(directory);
  return absl::OkStatus();
}

std::string DirectoryStore::TemporaryBeside(const std::string& path) {
  return JoinPath(DirectoryOf(path),
                  absl::StrCat(".part-", getpid(), "-", absl::GetCurrentTimeNanos(), "-", temporaries_.fetch_add(1)));
}

absl::Status DirectoryStore::PutFile(absl::string_view name, ObjectSource& source, Existing existing) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  const std::string path = PathOf(name);
  const std::string directory = DirectoryOf(path);
  KB_RETURN_IF_ERROR(MakeDirectory(directory));
  std::optional<std::string> temporary;  // a name that has to go again
  const absl::Cleanup remove = [&] {
    if (temporary) fs_.Unlink(*temporary).IgnoreError();
  };
  absl::StatusOr<std::unique_ptr<File>> file = fs_.CreateUnnamed(directory, path);
  if (absl::IsFailedPrecondition(file.status())) {
    // No files without a name here, as on NFS.
    temporary = TemporaryBeside(path);
    file = fs_.OpenOrCreate(*temporary);
  }
  KB_RETURN_IF_ERROR(file.status());
  KB_RETURN_IF_ERROR(Copy(source, **file));
  KB_RETURN_IF_ERROR((*file)->Sync());
  const absl::Status linked = (*file)->LinkTo(path);
  if (absl::IsAlreadyExists(linked) && existing == Existing::kReplace) {
    if (!temporary) {
      temporary = TemporaryBeside(path);
      KB_RETURN_IF_ERROR((*file)->LinkTo(*temporary));
    }
    KB_RETURN_IF_ERROR(fs_.Rename(*temporary, path));
    temporary.reset();
  } else {
    KB_RETURN_IF_ERROR(linked);
  }
  return fs_.SyncDirectory(directory);
}

absl::Status DirectoryStore::Put(absl::string_view name, ObjectSource& source) {
  return TryAgain(PutFile(name, source, Existing::kReplace));
}

absl::Status DirectoryStore::PutIfAbsent(absl::string_view name, Bytes bytes) {
  BytesSource source(bytes);
  return TryAgain(PutFile(name, source, Existing::kKeep));
}

absl::StatusOr<size_t> DirectoryStore::Get(absl::string_view name, uint64_t offset, MutableBytes to) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(PathOf(name), Access::kRead));
  return file->ReadAt(offset, to);
}

absl::StatusOr<std::vector<ObjectInfo>> DirectoryStore::List(absl::string_view prefix) {
  const size_t slash = prefix.rfind('/');
  const absl::string_view directory = prefix.substr(0, slash);
  const absl::string_view begins = prefix.substr(slash + 1);
  const absl::StatusOr<std::vector<std::string>> names = fs_.List(PathOf(directory));
  if (absl::IsNotFound(names.status())) return std::vector<ObjectInfo>();
  KB_RETURN_IF_ERROR(names.status());
  std::vector<ObjectInfo> objects;
  for (const std::string& file : *names) {
    const std::string name = absl::StrCat(directory, "/", file);
    if (!absl::StartsWith(file, begins) || !CheckObjectName(name).ok()) continue;
    const absl::StatusOr<FileInfo> info = fs_.Info(PathOf(name));
    if (absl::IsNotFound(info.status())) continue;  // deleted meanwhile
    KB_RETURN_IF_ERROR(info.status());
    objects.push_back({.name = name, .bytes = info->size, .modified_ns = info->modified_ns});
  }
  return objects;
}

absl::Status DirectoryStore::Delete(absl::string_view name) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  const absl::Status unlinked = fs_.Unlink(PathOf(name));
  return absl::IsNotFound(unlinked) ? absl::OkStatus() : unlinked;
}

}  // namespace kekbit
