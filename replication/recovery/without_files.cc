#include "kekbit/replication/recovery/without_files.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

absl::Status Hidden(const std::string& path) { return absl::NotFoundError(absl::StrCat(path, ": is to be moved")); }

}  // namespace

bool WithoutFiles::IsHidden(const std::string& path) const {
  return std::any_of(hidden_.begin(), hidden_.end(), [&path](const std::string& hidden) {
    return path == hidden || absl::StartsWith(path, absl::StrCat(hidden, "/"));
  });
}

absl::StatusOr<std::unique_ptr<File>> WithoutFiles::Open(const std::string& path, Access access) {
  if (IsHidden(path)) return Hidden(path);
  return base_.Open(path, access);
}

absl::StatusOr<FileInfo> WithoutFiles::Info(const std::string& path) {
  if (IsHidden(path)) return Hidden(path);
  return base_.Info(path);
}

absl::StatusOr<std::vector<std::string>> WithoutFiles::List(const std::string& directory) {
  if (IsHidden(directory)) return Hidden(directory);
  KB_ASSIGN_OR_RETURN(std::vector<std::string> names, base_.List(directory));
  const auto hidden = [&](const std::string& name) { return IsHidden(JoinPath(directory, name)); };
  names.erase(std::remove_if(names.begin(), names.end(), hidden), names.end());
  return names;
}

}  // namespace kekbit
