#include "kekbit/replication/recovery/aside.h"

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

std::string TextOf(const std::string& path) { return absl::StrCat(path, ".txt"); }

absl::StatusOr<bool> Exists(FileSystem& fs, const std::string& path) {
  const absl::Status status = fs.Info(path).status();
  if (absl::IsNotFound(status)) return false;
  KB_RETURN_IF_ERROR(status);
  return true;
}

}  // namespace

std::string Aside::NameOf(const JournalLayout& layout, absl::string_view path) {
  return absl::StrReplaceAll(absl::StripPrefix(absl::StripPrefix(path, layout.directory()), "/"), {{"/", "."}});
}

absl::Status Aside::MakeDirectory() {
  KB_RETURN_IF_ERROR(fs_.CreateDirectories(layout_.aside()));
  return fs_.SyncDirectory(layout_.directory());
}

absl::Status Aside::Make(const std::string& path, Bytes bytes) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.CreateUnnamed(layout_.aside(), path));
  KB_RETURN_IF_ERROR(file->Allocate(bytes.size()));
  KB_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  KB_RETURN_IF_ERROR(file->Sync());
  const absl::Status linked = file->LinkTo(path);
  return absl::IsAlreadyExists(linked) ? absl::OkStatus() : linked;
}

absl::Status Aside::Describe(const std::string& path, absl::string_view what) {
  const std::string text = absl::StrCat(
      "what: ", what, "\nwhy:  ", why_,
      "\nwhen: ", absl::FormatTime(absl::RFC3339_full, absl::FromUnixNanos(now_ns_), absl::UTCTimeZone()), "\n");
  return Make(TextOf(path), AsBytes(text));
}

absl::StatusOr<std::string> Aside::Copy(Bytes bytes, const std::string& from, uint64_t offset) {
  KB_RETURN_IF_ERROR(MakeDirectory());
  // The name says where and what the thing is: recovery after a crash finds what is kept already.
  const std::string name = NameOf(layout_, from);
  const std::string path = JoinPath(
      layout_.aside(), absl::StrFormat("%s.from_%d.%d_bytes.%08x", name, offset, bytes.size(), Crc32c(0, bytes)));
  KB_RETURN_IF_ERROR(
      Describe(path, absl::StrCat("a copy of ", bytes.size(), " bytes of ", from, ", from byte ", offset, " on")));
  KB_RETURN_IF_ERROR(Make(path, bytes));
  KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.aside()));
  return path;
}

absl::StatusOr<std::string> Aside::CopyFile(const std::string& from) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(from, Access::kRead));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  std::vector<uint8_t> bytes;
  KB_RETURN_IF_ERROR(ResizeBuffer(bytes, info.size, from));
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(bytes)));
  return Copy(Bytes(bytes).first(size), from, 0);
}

absl::StatusOr<std::string> Aside::Move(const std::string& from) {
  KB_RETURN_IF_ERROR(MakeDirectory());
  const std::string name = NameOf(layout_, from);
  for (int n = 1;; ++n) {
    const std::string path = JoinPath(layout_.aside(), absl::StrCat(name, ".moved_", n));
    KB_ASSIGN_OR_RETURN(const bool taken, Exists(fs_, path));
    KB_ASSIGN_OR_RETURN(const bool described, Exists(fs_, TextOf(path)));
    if (taken || described) continue;
    KB_RETURN_IF_ERROR(Describe(path, absl::StrCat("the file ", from)));
    KB_RETURN_IF_ERROR(fs_.Rename(from, path));
    KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.aside()));
    KB_RETURN_IF_ERROR(fs_.SyncDirectory(DirectoryOf(from)));
    return path;
  }
}

}  // namespace kekbit
