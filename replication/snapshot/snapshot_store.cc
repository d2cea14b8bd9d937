#include "kekbit/replication/snapshot/snapshot_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"

namespace kekbit {
namespace {

constexpr int kAttempts = 100;

}  // namespace

absl::StatusOr<std::vector<Seq>> SnapshotStore::List() const {
  std::vector<Seq> seqs;
  const absl::StatusOr<std::vector<std::string>> names = fs_.List(directory_);
  if (absl::IsNotFound(names.status())) return seqs;
  KB_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (const std::optional<Seq> seq = ParseSnapshotName(name)) seqs.push_back(*seq);
  }
  std::sort(seqs.begin(), seqs.end());
  return seqs;
}

absl::StatusOr<SnapshotHeader> SnapshotStore::Verify(Seq seq, bool trusting) {
  absl::StatusOr<std::unique_ptr<File>> opened = fs_.Open(PathOf(seq), Access::kRead);
  // A directory in the snapshot's place, for example.
  if (absl::IsFailedPrecondition(opened.status())) return absl::DataLossError(opened.status().message());
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, std::move(opened));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  if (const auto known = verified_.find(seq); trusting && known != verified_.end()) {
    if (known->second.file.SameFile(info) && known->second.file.size == info.size) return known->second.header;
  }
  KB_ASSIGN_OR_RETURN(const SnapshotHeader header, VerifySnapshot(*file));
  if (header.last.position.seq != seq) {
    return absl::DataLossError(absl::StrCat(file->path(), ": is named for seq ", seq,
                                            ", and holds the state after seq ", header.last.position.seq));
  }
  verified_[seq] = {.file = info, .header = header};
  return header;
}

absl::StatusOr<SnapshotStore::Found> SnapshotStore::FindNewest(const std::optional<SnapshotType>& known) {
  // A process that writes newer snapshots deletes older ones: then the list is made again.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, List());
    absl::StatusOr<Found> found = FindNewestOf(seqs, known);
    if (!absl::IsNotFound(found.status())) return found;
  }
  return absl::UnavailableError(
      absl::StrCat(directory_, ": snapshots vanished ", kAttempts, " times while being read"));
}

absl::StatusOr<SnapshotStore::Found> SnapshotStore::FindNewestOf(const std::vector<Seq>& seqs,
                                                                 const std::optional<SnapshotType>& known) {
  Found found;
  for (size_t i = seqs.size(); i-- > 0;) {
    const Seq seq = seqs[i];
    const absl::StatusOr<SnapshotHeader> header = Verify(seq, /*trusting=*/false);
    if (absl::IsDataLoss(header.status())) {
      found.passed_over.push_back(header.status());
      continue;
    }
    KB_RETURN_IF_ERROR(header.status());
    if (absl::Status fits = known ? CheckSnapshotType(header->type, *known) : absl::OkStatus(); !fits.ok()) {
      return absl::Status(fits.code(), absl::StrCat(PathOf(seq), ": ", fits.message()));
    }
    KB_ASSIGN_OR_RETURN(found.snapshot, SnapshotReader::Open(fs_, PathOf(seq)));
    break;
  }
  return found;
}

absl::StatusOr<SnapshotStore::Retained> SnapshotStore::Retain() {
  Retained retained;
  KB_ASSIGN_OR_RETURN(std::vector<Seq> seqs, List());
  while (!seqs.empty() && retained.kept.size() < kKept) {
    const Seq seq = seqs.back();
    seqs.pop_back();
    const absl::StatusOr<SnapshotHeader> header = Verify(seq, /*trusting=*/true);
    if (absl::IsNotFound(header.status())) continue;
    if (absl::IsDataLoss(header.status())) {
      retained.damaged.push_back(header.status());
      continue;
    }
    KB_RETURN_IF_ERROR(header.status());
    retained.kept.push_back(*header);
  }
  if (retained.kept.size() < kKept) return retained;
  // What goes is older than the two that stay.
  KB_CHECK(retained.kept.back().last.position.seq <= retained.kept.front().last.position.seq);
  KB_CHECK(seqs.empty() || seqs.back() <= retained.kept.back().last.position.seq);
  for (const Seq seq : seqs) {
    verified_.erase(seq);
    const absl::Status status = fs_.Unlink(PathOf(seq));
    if (absl::IsNotFound(status)) continue;    // another process was faster
    if (absl::IsFailedPrecondition(status)) {  // a directory: it is in nobody's way
      retained.damaged.push_back(absl::DataLossError(status.message()));
      continue;
    }
    KB_RETURN_IF_ERROR(status);
    retained.removed.push_back(seq);
  }
  return retained;
}

}  // namespace kekbit
