#include "tools/kekbit_tail.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/bytes.h"
#include "kekbit/channel_file.h"
#include "kekbit/status_macros.h"
#include "replication/epoch_store.h"
#include "replication/lease.h"
#include "replication/position.h"
#include "replication/snapshot_scan.h"
#include "replication/snapshot_store.h"

namespace kekbit {
namespace {

// A lease says who has it, or nothing.
absl::Status CheckLease(FileSystem& fs, const std::string& path) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, Access::kRead);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  KB_RETURN_IF_ERROR(file.status());
  uint8_t bytes[64];
  KB_ASSIGN_OR_RETURN(const size_t size, (*file)->ReadAt(0, MutableBytes(bytes)));
  if (std::all_of(bytes, bytes + size, [](uint8_t byte) { return byte == 0; })) return absl::OkStatus();
  if (Lease::Holder(fs, path)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, ": names nobody, its checksum does not hold; its lock works all the same"));
}

// The newest snapshot that is whole.
std::optional<std::pair<std::string, ChainLink>> NewestSnapshot(FileSystem& fs, const JournalLayout& layout) {
  const SnapshotStore store(fs, layout.snapshots());
  const absl::StatusOr<std::vector<Seq>> seqs = store.List();
  if (!seqs.ok()) return std::nullopt;
  for (size_t i = seqs->size(); i-- > 0;) {
    const Seq seq = (*seqs)[i];
    const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(store.PathOf(seq), Access::kRead);
    if (!file.ok()) continue;
    const absl::StatusOr<SnapshotHeader> header = VerifySnapshot(**file);
    if (header.ok()) return std::make_pair(store.PathOf(seq), header->last);
  }
  return std::nullopt;
}

}  // namespace

std::vector<BadFile> CheckSmallFiles(FileSystem& fs, const JournalLayout& layout) {
  std::vector<BadFile> bad;
  const auto check = [&bad](const std::string& path, const absl::Status& status) {
    if (!status.ok() && !absl::IsNotFound(status)) bad.push_back({path, std::string(status.message())});
  };
  check(layout.epoch(), EpochStore::Read(fs, layout.epoch()).status());
  check(layout.synced(), SyncMark::OpenForReading(fs, layout.synced()).status());
  check(layout.lease(), CheckLease(fs, layout.lease()));
  return bad;
}

absl::StatusOr<bool> LeaseHeld(FileSystem& fs, const JournalLayout& layout) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(layout.lease(), Access::kRead);
  if (absl::IsNotFound(file.status())) return false;
  KB_RETURN_IF_ERROR(file.status());
  return (*file)->LockedByOther();
}

absl::StatusOr<JournalReader> OpenAtStart(FileSystem& fs, const JournalLayout& layout, std::vector<KnownSeq>& known) {
  if (const auto snapshot = NewestSnapshot(fs, layout)) {
    known.push_back({.seq = snapshot->second.position.seq, .what = absl::StrCat("the snapshot ", snapshot->first)});
    return JournalReader::OpenBehind(fs, layout, std::nullopt, snapshot->second);
  }
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
  Seq first = 1;
  if (!segments.empty() && segments.front() != 1) {
    KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(fs, layout.segment(segments.front())));
    KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBySegment(channel.extension));
    first = follows.position.seq + 1;
  }
  return JournalReader::Open(fs, layout, std::nullopt, first);
}

absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark) {
  std::vector<KnownSeq> known;
  KB_ASSIGN_OR_RETURN(JournalReader reader, OpenAtStart(fs, layout, known));
  for (;;) {
    while (reader.Next()) {
    }
    KB_ASSIGN_OR_RETURN(JournalTail tail, ExamineTail(fs, layout, reader, mark, known));
    if (!tail.continues) return JournalEnd{.tail = std::move(tail), .last = reader.last()};
    KB_ASSIGN_OR_RETURN(reader,
                        JournalReader::ContinueBehind(fs, layout, std::nullopt, reader.last(), tail.segment + 1, 0));
  }
}

}  // namespace kekbit
