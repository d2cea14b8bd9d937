#include "kekbit/replication/archive/open_store.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/manifest.h"

namespace kekbit {

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(FileSystem& fs, absl::string_view location) {
  if (absl::StrContains(location, "://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", location, "\" is no archive that this program can reach: it takes a directory"));
  }
  return std::make_unique<DirectoryStore>(fs, location);
}

bool IsArchive(FileSystem& fs, absl::string_view location) {
  if (absl::StrContains(location, "://")) return true;
  return fs.List(JoinPath(location, absl::StripSuffix(kManifestsPrefix, "/"))).ok();
}

}  // namespace kekbit
