#include "kekbit/replication/archive/open_store.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/s3_location.h"
#include "kekbit/replication/archive/s3_store.h"

namespace kekbit {

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(FileSystem& fs, absl::string_view location) {
  if (location.empty()) return absl::InvalidArgumentError("the archive has no name");
  if (absl::StartsWith(location, "s3://")) {
    KB_ASSIGN_OR_RETURN(S3Location parsed, ParseS3Location(location));
    return S3Store::Open(std::move(parsed));
  }
  if (absl::StrContains(location, "://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", location, "\" is no archive: that is a directory, or s3://BUCKET/PREFIX"));
  }
  return std::make_unique<DirectoryStore>(fs, location);
}

bool IsArchive(FileSystem& fs, absl::string_view location) {
  if (absl::StrContains(location, "://")) return true;
  const auto has = [&](absl::string_view name) { return fs.Info(JoinPath(location, name)).ok(); };
  if (has("segments")) return false;
  return has(absl::StripSuffix(kManifestsPrefix, "/")) || has(absl::StripSuffix(kFramesPrefix, "/"));
}

}  // namespace kekbit
