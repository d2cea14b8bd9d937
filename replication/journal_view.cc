#include "kekbit/replication/journal_view.h"

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_scan.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "kekbit/replication/stats/stats_files.h"

namespace kekbit {
namespace {

// Segments that are looked into for one replica's lag, before the rest is taken for full.
constexpr int kSegmentsLookedInto = 8;

// Segments that are read, from the last one back, to find the last frame: new ones may hold none
// yet.
constexpr size_t kSegmentsRead = 3;

absl::StatusOr<Seq> FirstSeq(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(fs, path));
  KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBySegment(channel.extension));
  return follows.position.seq + 1;
}

}  // namespace

absl::StatusOr<JournalFacts> JournalView::Look() {
  JournalFacts facts;
  facts.directory = layout_.directory();
  KB_RETURN_IF_ERROR(LookAtSegments(facts));
  LookAtSnapshots(facts);
  LookAtLeaseAndMarks(facts);
  LookAtEnd(facts);
  LookAtReplicas(facts);
  LookAtReaders(facts);
  if (facts.segments == 0 && facts.epoch == 0 && facts.replicas.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        layout_.directory(), ": a directory without a journal: there are no segments in ", layout_.segments()));
  }
  return facts;
}

absl::Status JournalView::LookAtSegments(JournalFacts& facts) {
  KB_RETURN_IF_ERROR(fs_.List(layout_.directory()).status());
  KB_ASSIGN_OR_RETURN(segments_, layout_.ListSegments(fs_));
  facts.segments = segments_.size();
  if (segments_.empty()) return absl::OkStatus();
  facts.first_segment = segments_.front();
  facts.last_segment = segments_.back();
  file_bytes_.erase(file_bytes_.begin(), file_bytes_.lower_bound(segments_.front()));
  used_bytes_.erase(used_bytes_.begin(), used_bytes_.lower_bound(segments_.front()));
  for (const SegmentNumber number : segments_) {
    auto known = file_bytes_.find(number);
    // Space that the newest ones don't need may be given back yet.
    if (known == file_bytes_.end() || number + 1 >= segments_.back()) {
      const absl::StatusOr<FileInfo> info = fs_.Info(layout_.segment(number));
      if (!info.ok()) continue;  // cut off meanwhile
      known = file_bytes_.insert_or_assign(number, info->allocated).first;
    }
    facts.bytes += known->second;
  }
  first_seqs_.erase(first_seqs_.begin(), first_seqs_.lower_bound(segments_.front()));
  auto first = first_seqs_.find(segments_.front());
  if (first == first_seqs_.end()) {
    const absl::StatusOr<Seq> seq = FirstSeq(fs_, layout_.segment(segments_.front()));
    if (!seq.ok()) return absl::OkStatus();
    first = first_seqs_.emplace(segments_.front(), *seq).first;
  }
  facts.first_seq = first->second;
  return absl::OkStatus();
}

void JournalView::LookAtEnd(JournalFacts& facts) {
  if (reader_ && (reader_->status().ok() || IsTransient(reader_->status()))) {
    while (const std::optional<Frame> frame = reader_->Next()) last_time_ns_ = frame->header.time_ns;
    facts.end_status = reader_->status();
  } else {
    reader_.reset();
    last_time_ns_ = 0;
    for (size_t back = 1; back <= std::min(kSegmentsRead, segments_.size()) && last_time_ns_ == 0; ++back) {
      facts.end_status = ReadFrom(segments_[segments_.size() - back]);
      if (!facts.end_status.ok()) break;
    }
  }
  if (!reader_) return;
  facts.last = reader_->last().position;
  facts.last_time_ns = last_time_ns_;
  facts.state_name = reader_->state_name();
}

absl::Status JournalView::ReadFrom(SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(const Seq from, FirstSeq(fs_, layout_.segment(number)));
  KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs_, layout_, std::nullopt, from));
  reader_ = std::move(reader);
  while (const std::optional<Frame> frame = reader_->Next()) last_time_ns_ = frame->header.time_ns;
  return reader_->status();
}

void JournalView::LookAtLeaseAndMarks(JournalFacts& facts) {
  if (const absl::StatusOr<Epoch> epoch = EpochStore::Read(fs_, layout_.epoch()); epoch.ok()) facts.epoch = *epoch;
  facts.lease_held = Lease::IsHeld(fs_, layout_.lease());
  facts.holder = Lease::Holder(fs_, layout_.lease());
  if (facts.lease_held) {
    facts.silent = Lease::Silence(fs_, layout_.lease(), clock_);
    facts.holder_stopped = facts.holder && ProcessWatch::IsStopped(fs_, *facts.holder);
  }
  if (const absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs_, layout_.synced()); mark.ok()) {
    facts.synced = mark->synced();
    facts.poisoned = mark->poisoned();
    const Seq snapshot = facts.snapshots.empty() ? 0 : facts.snapshots.back().seq;
    if (const absl::Status there = CheckSegments(fs_, layout_, *mark, snapshot); !there.ok()) {
      facts.unreadable.emplace_back(there.message());
    }
  }
}

void JournalView::LookAtSnapshots(JournalFacts& facts) {
  const SnapshotStore store(fs_, layout_.snapshots());
  const absl::StatusOr<std::vector<Seq>> seqs = store.List();
  if (!seqs.ok()) {
    facts.unreadable.emplace_back(seqs.status().message());
    return;
  }
  for (const Seq seq : *seqs) {
    const absl::StatusOr<FileInfo> info = fs_.Info(store.PathOf(seq));
    if (info.ok()) facts.snapshots.push_back({.seq = seq, .bytes = info->size});
  }
}

void JournalView::LookAtReplicas(JournalFacts& facts) {
  for (const std::string& path : ListStatsFiles(fs_, layout_)) {
    absl::StatusOr<ReplicaFacts> replica = ReadReplicaStats(fs_, path);
    if (replica.ok()) {
      facts.replicas.push_back({.facts = *std::move(replica), .lag = {}});
    } else if (!absl::IsNotFound(replica.status())) {
      facts.unreadable.emplace_back(replica.status().message());
    }
  }
  std::sort(facts.replicas.begin(), facts.replicas.end(), [](const ReplicaView& a, const ReplicaView& b) {
    return std::tuple(!a.facts.alive, b.facts.created_ns, b.facts.path) <
           std::tuple(!b.facts.alive, a.facts.created_ns, a.facts.path);
  });
  for (ReplicaView& replica : facts.replicas) replica.lag = LagOf(facts, replica.facts);
}

void JournalView::LookAtReaders(JournalFacts& facts) {
  absl::StatusOr<std::vector<CursorView>> readers = ListCursors(fs_, layout_);
  if (!readers.ok()) {
    facts.unreadable.emplace_back(readers.status().message());
    return;
  }
  facts.readers = *std::move(readers);
  // Without two snapshots nothing would be cut, and nobody holds anything.
  if (facts.readers.empty() || facts.snapshots.size() < 2) return;
  std::vector<ReaderPlace> places;
  for (const CursorView& reader : facts.readers) places.push_back(PlaceOf(reader));
  const RetentionPlan plan = PlanRetention(
      KeptSegments(), places,
      {.older_snapshot = facts.snapshots[facts.snapshots.size() - 2].seq, .synced = facts.synced.value_or(0)});
  std::map<Seq, int64_t> since;
  for (size_t i = 0; i < places.size(); ++i) {
    if (plan.held_bytes[i] == 0) continue;
    const Seq done = places[i].done;
    const auto known = waiting_since_.find(done);
    since[done] = known == waiting_since_.end() ? WaitingSince(fs_, layout_, done) : known->second;
    facts.holds.push_back({.name = facts.readers[i].name,
                           .owned = facts.readers[i].owned,
                           .bytes = plan.held_bytes[i],
                           .since_ns = places[i].unknown ? 0 : since[done]});
  }
  waiting_since_ = std::move(since);
}

std::vector<KeptSegment> JournalView::KeptSegments() {
  std::vector<KeptSegment> kept;
  for (const SegmentNumber number : segments_) {
    auto known = first_seqs_.find(number);
    if (known == first_seqs_.end()) {
      const absl::StatusOr<Seq> seq = FirstSeq(fs_, layout_.segment(number));
      if (!seq.ok()) continue;
      known = first_seqs_.emplace(number, *seq).first;
    }
    const auto bytes = file_bytes_.find(number);
    kept.push_back({.number = number,
                    .follows = {.epoch = 0, .seq = known->second - 1},
                    .bytes = bytes == file_bytes_.end() ? 0 : bytes->second});
  }
  return kept;
}

ReplicaLag JournalView::LagOf(const JournalFacts& facts, const ReplicaFacts& replica) {
  ReplicaLag lag;
  if (replica.applied.seq >= facts.last.seq) {
    lag.bytes = 0;
    return lag;
  }
  lag.frames = facts.last.seq - replica.applied.seq;
  lag.bytes = BytesBehind(replica.segment, replica.offset);
  // Any words may stand in the file: the difference is taken where it can't overflow.
  if (replica.applied_time_ns > 0 && replica.applied_time_ns < facts.last_time_ns) {
    lag.time_ns = facts.last_time_ns - replica.applied_time_ns;
  }
  return lag;
}

std::optional<uint64_t> JournalView::BytesBehind(SegmentNumber segment, uint64_t offset) {
  if (segment == 0 || !reader_ || segment > reader_->segment()) return std::nullopt;
  const auto from = std::lower_bound(segments_.begin(), segments_.end(), segment);
  if (from == segments_.end() || *from != segment) return std::nullopt;
  int looks = kSegmentsLookedInto;
  uint64_t end = 0;  // of the journal, counted from the beginning of the replica's segment
  for (auto number = from; number != segments_.end() && *number < reader_->segment(); ++number) {
    end += UsedBytes(*number, looks);
  }
  end += reader_->offset();
  if (offset > end) return std::nullopt;
  return end - offset;
}

uint64_t JournalView::UsedBytes(SegmentNumber number, int& looks) {
  const auto known = used_bytes_.find(number);
  if (known != used_bytes_.end()) return known->second;
  if (looks-- <= 0) return file_bytes_.contains(number) ? file_bytes_[number] : 0;
  absl::StatusOr<ChannelScan> scan = ChannelScan::OpenAt(layout_.segment(number), fs_);
  if (!scan.ok()) return 0;
  ChannelItem item = scan->Next();
  while (!item.is_last()) item = scan->Next();
  used_bytes_[number] = item.offset;
  return item.offset;
}

}  // namespace kekbit
