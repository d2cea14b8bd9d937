#include "tools/kekbit_start.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/replication/recovery/missing_segments.h"

namespace kekbit {
namespace {

// Tries to look anew at a journal that is being trimmed.
constexpr int kLooks = 10;

// Returns the first seq of the first segment; 0 if that can't be read. 1 if there is none: the
// journal is still to come.
absl::StatusOr<Seq> FirstKept(FileSystem& fs, const JournalLayout& layout) {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
  if (segments.empty()) return 1;
  const absl::StatusOr<ChannelFile> channel = OpenChannelFile(fs, layout.segment(segments.front()));
  if (!channel.ok()) return 0;
  const absl::StatusOr<ChainLink> follows = FollowedBySegment(channel->extension);
  return follows.ok() ? follows->position.seq + 1 : 0;
}

bool IsOfTheJournal(const absl::Status& status) { return absl::IsDataLoss(status) || absl::IsOutOfRange(status); }

// Returns true if the error is about the journal, or the journal holds what this version can't
// read.
bool IsOfAnyJournal(const absl::Status& status) { return IsOfTheJournal(status) || absl::IsFailedPrecondition(status); }

// Listing is what changes when a journal is trimmed.
struct Listing {
  std::vector<Seq> snapshots;
  SegmentNumber first_segment = 0;

  friend bool operator==(const Listing&, const Listing&) = default;
};

absl::StatusOr<Listing> List(FileSystem& fs, const JournalLayout& layout, const SnapshotStore& store) {
  Listing listing;
  KB_ASSIGN_OR_RETURN(listing.snapshots, store.List());
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
  if (!segments.empty()) listing.first_segment = segments.front();
  return listing;
}

// Returns NotFound if something vanished meanwhile.
absl::StatusOr<JournalStart> Look(FileSystem& fs, const JournalLayout& layout, SnapshotStore& store) {
  JournalStart start;
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, store.List());
  for (size_t i = seqs.size(); i-- > 0;) {
    SnapshotSeen seen = {.seq = seqs[i], .path = store.PathOf(seqs[i]), .good = {}, .last = {}, .joins = {}};
    const absl::StatusOr<SnapshotHeader> header = store.Check(seen.seq);
    if (absl::IsNotFound(header.status())) return header.status();
    seen.good = header.status();
    if (header.ok()) {
      seen.last = header->last;
      seen.joins = JournalReader::OpenAfter(fs, layout, std::nullopt, seen.last).status();
      if (!seen.joins.ok() && !IsOfAnyJournal(seen.joins)) return seen.joins;
    }
    start.snapshots.push_back(std::move(seen));
  }
  KB_ASSIGN_OR_RETURN(start.first_kept, FirstKept(fs, layout));
  if (const SnapshotSeen* const newest = start.newest_good()) {
    start.begins = newest->joins;
  } else {
    start.begins = JournalReader::Open(fs, layout).status();
    if (absl::IsNotFound(start.begins)) return start.begins;
  }
  const absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs, layout.synced());
  if (mark.ok()) {
    const SnapshotSeen* const newest = start.newest_good();
    start.there = CheckSegments(fs, layout, *mark, newest == nullptr ? 0 : newest->seq);
    if (!start.there.ok() && !absl::IsDataLoss(start.there)) return start.there;
  }
  return start;
}

// Returns the last seq that is read from there.
absl::StatusOr<Seq> ReachOf(FileSystem& fs, const JournalLayout& layout, const JournalBase& base) {
  KB_ASSIGN_OR_RETURN(JournalReader reader, base.Open(fs, layout));
  while (reader.Next()) {
  }
  return reader.last().position.seq;
}

}  // namespace

const SnapshotSeen* JournalStart::newest_good() const {
  for (const SnapshotSeen& snapshot : snapshots) {
    if (snapshot.good.ok()) return &snapshot;
  }
  return nullptr;
}

absl::StatusOr<JournalStart> FindStart(FileSystem& fs, const JournalLayout& layout) {
  SnapshotStore store(fs, layout.snapshots());
  for (int looks = 1;; ++looks) {
    KB_ASSIGN_OR_RETURN(const Listing before, List(fs, layout, store));
    absl::StatusOr<JournalStart> start = Look(fs, layout, store);
    if (start.ok() || absl::IsNotFound(start.status())) {
      KB_ASSIGN_OR_RETURN(const Listing after, List(fs, layout, store));
      if (after != before && looks < kLooks) continue;
    }
    return start;
  }
}

absl::StatusOr<JournalReader> JournalBase::Open(FileSystem& fs, const JournalLayout& layout) const {
  const ChainLink link = snapshot ? snapshot->last : ChainLink{};
  if (!joins) return JournalReader::StandBefore(fs, layout, link);
  if (!snapshot) return JournalReader::Open(fs, layout);
  return JournalReader::OpenAfter(fs, layout, std::nullopt, link);
}

absl::StatusOr<JournalBase> ChooseBase(FileSystem& fs, const JournalLayout& layout, const JournalStart& start) {
  std::vector<JournalBase> bases;
  for (const SnapshotSeen& snapshot : start.snapshots) {
    if (!snapshot.joins.ok() && !IsOfTheJournal(snapshot.joins)) return snapshot.joins;
    if (snapshot.good.ok()) bases.push_back({.snapshot = snapshot, .joins = snapshot.joins.ok()});
  }
  const absl::Status from_start = JournalReader::Open(fs, layout).status();
  if (!from_start.ok() && !IsOfTheJournal(from_start)) return from_start;
  if (from_start.ok() || bases.empty()) bases.push_back({.snapshot = std::nullopt, .joins = from_start.ok()});
  // A base that joins reads all that an older base reads.
  if (bases.front().joins) return bases.front();
  JournalBase best = bases.front();
  KB_ASSIGN_OR_RETURN(Seq best_reach, ReachOf(fs, layout, best));
  for (const JournalBase& base : bases) {
    KB_ASSIGN_OR_RETURN(const Seq reach, ReachOf(fs, layout, base));
    if (reach > best_reach || (reach == best_reach && base.joins && !best.joins)) {
      best = base;
      best_reach = reach;
    }
  }
  return best;
}

absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark,
                                   const JournalBase& base) {
  std::vector<KnownSeq> known;
  if (base.snapshot) {
    known.push_back({.seq = base.snapshot->seq, .what = absl::StrCat("the snapshot ", base.snapshot->path)});
  }
  KB_ASSIGN_OR_RETURN(JournalReader reader, base.Open(fs, layout));
  for (;;) {
    while (reader.Next()) {
    }
    KB_ASSIGN_OR_RETURN(JournalTail tail, ExamineTail(fs, layout, reader, mark, known, /*holes=*/true));
    if (!tail.continues) return JournalEnd{.tail = std::move(tail), .last = reader.last()};
    KB_ASSIGN_OR_RETURN(reader,
                        JournalReader::ContinueAfter(fs, layout, std::nullopt, reader.last(), tail.segment + 1, 0));
  }
}

}  // namespace kekbit
