#include "kekbit/replication/archive/verify_archive.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/archived_snapshot.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/restore.h"

namespace kekbit {
namespace {

// OK if the object is all that the entry says, down to each link of the chain.
absl::Status CheckFrames(ObjectStore& store, uint64_t incarnation, const FramesEntry& entry) {
  KB_ASSIGN_OR_RETURN(FramesReader reader, FramesReader::Get(store, incarnation, entry));
  while (true) {
    KB_ASSIGN_OR_RETURN(const std::optional<Bytes> record, reader.Next());
    if (!record) return absl::OkStatus();
  }
}

// Keeps what is good of the entries.
template <typename Entry, typename Check>
absl::Status KeepGood(std::vector<Entry>& entries, const Check& check) {
  std::vector<Entry> good;
  for (const Entry& entry : entries) {
    KB_ASSIGN_OR_RETURN(const bool is_good, check(entry));
    if (is_good) good.push_back(entry);
  }
  entries = std::move(good);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CountUnnamed(ObjectStore& store, const Manifest& manifest) {
  absl::flat_hash_set<std::string> named;
  for (const FramesEntry& entry : manifest.frames) named.insert(entry.Name(manifest.incarnation));
  for (const SnapshotEntry& entry : manifest.snapshots) named.insert(entry.Name(manifest.incarnation));
  for (const DroppedEntry& entry : manifest.dropped) named.insert(entry.name);
  uint64_t unnamed = 0;
  for (const absl::string_view prefix : {kFramesPrefix, kSnapshotsPrefix}) {
    KB_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects,
                        store.List(absl::StrFormat("%s%016x-", prefix, manifest.incarnation)));
    for (const ObjectInfo& object : objects) unnamed += named.contains(object.name) ? 0 : 1;
  }
  return unnamed;
}

}  // namespace

absl::StatusOr<ArchiveVerdict> VerifyArchive(ObjectStore& store, std::optional<uint64_t> incarnation,
                                             const std::function<void(const std::string& name)>& on_object) {
  ArchiveVerdict verdict;
  KB_ASSIGN_OR_RETURN(verdict.manifest, FindManifest(store, incarnation));
  Manifest good = verdict.manifest;
  const uint64_t id = good.incarnation;
  const auto judge = [&](const std::string& name, uint64_t bytes, const absl::Status& status) -> absl::StatusOr<bool> {
    ++verdict.objects;
    verdict.bytes += bytes;
    if (status.ok()) return true;
    if (absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) return status;
    const bool missing = absl::IsNotFound(status);
    verdict.bad.push_back(
        missing ? absl::NotFoundError(absl::StrCat(store.location(), "/", name, ": the object is missing")) : status);
    return false;
  };
  KB_RETURN_IF_ERROR(KeepGood(good.snapshots, [&](const SnapshotEntry& entry) {
    const std::string name = entry.Name(id);
    if (on_object) on_object(name);
    return judge(name, entry.bytes, CheckArchivedSnapshot(store, id, entry));
  }));
  KB_RETURN_IF_ERROR(KeepGood(good.frames, [&](const FramesEntry& entry) {
    const std::string name = entry.Name(id);
    if (on_object) on_object(name);
    return judge(name, entry.bytes, CheckFrames(store, id, entry));
  }));
  KB_ASSIGN_OR_RETURN(verdict.unnamed, CountUnnamed(store, verdict.manifest));
  verdict.ranges = RestorableRanges(good);
  if (!verdict.ranges.empty() && verdict.ranges.back().last == verdict.manifest.end().position.seq) {
    verdict.whole_since_ns = verdict.ranges.back().first_time_ns;
  }
  return verdict;
}

}  // namespace kekbit
