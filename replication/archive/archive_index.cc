#include "kekbit/replication/archive/archive_index.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

absl::StatusOr<Manifest> GetManifest(ObjectStore& store, uint64_t incarnation, uint64_t number) {
  const std::string name = ManifestName(incarnation, number);
  KB_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, GetWhole(store, name, kManifestBytesMax));
  const std::string path = absl::StrCat(store.location(), "/", name);
  KB_ASSIGN_OR_RETURN(Manifest manifest, DecodeManifest(path, bytes));
  if (manifest.incarnation != incarnation || manifest.number != number) {
    return absl::DataLossError(
        absl::StrFormat("%s: is manifest %d of incarnation %016x", path, manifest.number, manifest.incarnation));
  }
  return manifest;
}

}  // namespace

absl::StatusOr<std::vector<uint64_t>> ListIncarnations(ObjectStore& store) {
  KB_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(kManifestsPrefix));
  std::map<uint64_t, std::pair<uint64_t, int64_t>> newest;  // by incarnation: the number, and when it was put
  for (const ObjectInfo& object : objects) {
    uint64_t incarnation = 0;
    uint64_t number = 0;
    if (!ParseManifestName(object.name, incarnation, number)) continue;
    std::pair<uint64_t, int64_t>& seen = newest[incarnation];
    seen = std::max(seen, std::pair(number, object.modified_ns));
  }
  std::vector<std::pair<int64_t, uint64_t>> by_time;
  by_time.reserve(newest.size());
  for (const auto& [incarnation, seen] : newest) by_time.emplace_back(seen.second, incarnation);
  std::sort(by_time.begin(), by_time.end());
  std::vector<uint64_t> incarnations;
  incarnations.reserve(by_time.size());
  for (const auto& [time, incarnation] : by_time) incarnations.push_back(incarnation);
  return incarnations;
}

absl::StatusOr<std::optional<Manifest>> NewestManifest(ObjectStore& store, uint64_t incarnation) {
  KB_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(ManifestsOf(incarnation)));
  uint64_t listed = 0;
  for (const ObjectInfo& object : objects) {
    uint64_t of = 0;
    uint64_t number = 0;
    if (ParseManifestName(object.name, of, number) && of == incarnation) listed = std::max(listed, number);
  }
  std::optional<Manifest> newest;
  // The listing may lag: numbers have no holes at their end.
  for (uint64_t number = std::max<uint64_t>(listed, 1);; ++number) {
    absl::StatusOr<Manifest> manifest = GetManifest(store, incarnation, number);
    if (absl::IsNotFound(manifest.status()) && number > listed) return newest;
    if (absl::IsNotFound(manifest.status())) {
      return absl::UnavailableError(absl::StrCat(manifest.status().message(), ": listed, and not there"));
    }
    if (absl::IsDataLoss(manifest.status())) {
      return absl::DataLossError(absl::StrCat(
          manifest.status().message(), "; with that object moved away the manifest before it counts, and what was ",
          "archived since is copied again, if the journal still has it"));
    }
    KB_RETURN_IF_ERROR(manifest.status());
    newest = *std::move(manifest);
  }
}

absl::StatusOr<uint64_t> PutManifest(ObjectStore& store, const Manifest& manifest) {
  const std::string name = ManifestName(manifest.incarnation, manifest.number);
  const std::vector<uint8_t> bytes = EncodeManifest(manifest);
  absl::Status put = store.PutIfAbsent(name, bytes);
  if (put.ok()) return bytes.size();
  if (!absl::IsAlreadyExists(put)) return put;
  // Perhaps an earlier try, whose answer did not come.
  KB_ASSIGN_OR_RETURN(const Manifest there, GetManifest(store, manifest.incarnation, manifest.number));
  if (there == manifest) return bytes.size();
  return absl::AbortedError(absl::StrCat(store.location(), "/", name, ": another copier put it"));
}

absl::Status DeleteOldManifests(ObjectStore& store, const Manifest& newest, int64_t now_ns, int64_t age_ns) {
  KB_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(ManifestsOf(newest.incarnation)));
  uint64_t superseded = 0;  // by one that is itself old enough
  for (const ObjectInfo& object : objects) {
    uint64_t incarnation = 0;
    uint64_t number = 0;
    if (!ParseManifestName(object.name, incarnation, number) || number >= newest.number) continue;
    if (object.modified_ns != 0 && object.modified_ns < now_ns - age_ns) superseded = std::max(superseded, number);
  }
  for (const ObjectInfo& object : objects) {
    uint64_t incarnation = 0;
    uint64_t number = 0;
    if (!ParseManifestName(object.name, incarnation, number) || number >= superseded) continue;
    KB_RETURN_IF_ERROR(store.Delete(object.name));
  }
  return absl::OkStatus();
}

}  // namespace kekbit
