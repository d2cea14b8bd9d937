#include "tools/kekbit_repair_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/channel_file.h"
#include "kekbit/status_macros.h"
#include "replication/sync_mark.h"
#include "tools/kekbit_segment.h"
#include "tools/kekbit_small_files.h"

namespace kekbit {
namespace {

// Where a segment ends, if that is known.
struct KnownEnd {
  bool known = false;
  ChainLink link = {};

  bool Fits(const ChainLink& follows) const {
    return !known || (link.position == follows.position && link.crc32c == follows.crc32c);
  }
};

// Whether the frames of the segment fit, and it follows `end`; then `end` is made its own.
absl::StatusOr<bool> IsWhole(FileSystem& fs, const std::string& path, KnownEnd& end) {
  absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(fs, path);
  if (absl::IsDataLoss(scan.status())) return false;
  KB_RETURN_IF_ERROR(scan.status());
  if (!scan->follows()) return false;
  if (!end.Fits(*scan->follows())) return false;
  for (;;) {
    const SegmentItem item = scan->Next();
    if (absl::IsDataLoss(item.status)) return false;
    if (item.is_last()) break;
  }
  end = {.known = true, .link = scan->last()};
  return true;
}

class Planner {
 public:
  Planner(FileSystem& fs, const JournalLayout& layout) : fs_(fs), layout_(layout) {}

  absl::StatusOr<RepairPlan> Plan() {
    RepairPlan plan;
    KB_ASSIGN_OR_RETURN(const std::vector<BadFile> bad_files, CheckSmallFiles(fs_, layout_));
    for (const BadFile& bad : bad_files) {
      if (bad.moves) plan.moves.push_back({.path = bad.path, .reason = bad.reason});
    }
    KB_ASSIGN_OR_RETURN(const JournalStart start, FindStart(fs_, layout_));
    for (const SnapshotSeen& snapshot : start.snapshots) {
      // Of a newer version, say: nothing is known of it.
      if (!snapshot.good.ok() && !absl::IsDataLoss(snapshot.good)) return snapshot.good;
    }
    KB_ASSIGN_OR_RETURN(plan.base, ChooseBase(fs_, layout_, start));
    KB_ASSIGN_OR_RETURN(const Seq dropped, PlanUnneeded(plan));
    PlanSnapshots(start, dropped, plan);
    // A mark that is moved away says nothing.
    const bool marked = std::none_of(plan.moves.begin(), plan.moves.end(),
                                     [this](const Move& move) { return move.path == layout_.synced(); });
    absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs_, layout_.synced());
    KB_ASSIGN_OR_RETURN(plan.end, FindEnd(fs_, layout_, marked && mark.ok() ? &*mark : nullptr, plan.base));
    const JournalTail& tail = plan.end.tail;
    plan.last_known = std::max(
        {tail.facts.synced_by_mark, tail.facts.synced_by_frames, tail.facts.synced_by_others, tail.last_whole_seq});
    // A snapshot that the journal does not go on behind may still hold everything that is known.
    const bool damaged = tail.verdict == TailVerdict::kDamaged || (!plan.base.joins && plan.cuts());
    const bool holds_all = !plan.base.joins && plan.base.snapshot && plan.last_known < tail.facts.bad_seq;
    plan.needs_word = damaged && !holds_all;
    return plan;
  }

 private:
  // Segments before the one that a replica begins in, if there is damage in them: they are in the way of verify and of
  // whoever cuts the journal. Returns up to which seq nothing is kept then; 0: they are whole.
  absl::StatusOr<Seq> PlanUnneeded(RepairPlan& plan) {
    if (!plan.base.snapshot || !plan.base.joins) return 0;
    KB_ASSIGN_OR_RETURN(const JournalReader reader, plan.base.Open(fs_, layout_));
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs_));
    const size_t base = std::lower_bound(segments.begin(), segments.end(), reader.segment()) - segments.begin();
    // Nothing that is kept goes on behind any of them.
    if (!reader.segment_open() || base == segments.size()) return plan.base.snapshot->seq;
    size_t bad = 0;  // so many from the beginning on
    KnownEnd end;
    for (size_t i = 0; i < base; ++i) {
      if (i > 0 && segments[i] != segments[i - 1] + 1) end.known = false;
      if (i > 0 && !end.known) bad = i;
      KB_ASSIGN_OR_RETURN(const bool whole, IsWhole(fs_, layout_.segment(segments[i]), end));
      if (whole) continue;
      bad = i + 1;
      end.known = false;
    }
    KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBy(segments[base]));
    const bool gap = base > 0 && segments[base] != segments[base - 1] + 1;
    if (gap || !end.Fits(follows)) bad = base;
    for (size_t i = 0; i < bad; ++i) {
      plan.moves.push_back({.path = layout_.segment(segments[i]),
                            .reason = absl::StrCat("the journal is damaged before seq ", plan.base.snapshot->seq,
                                                   ", and nothing there is needed: the snapshot ",
                                                   plan.base.snapshot->path, " holds its effects")});
    }
    if (bad == 0) return 0;
    KB_ASSIGN_OR_RETURN(const ChainLink before, FollowedBy(segments[bad]));
    return before.position.seq;
  }

  absl::StatusOr<ChainLink> FollowedBy(SegmentNumber number) const {
    KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(fs_, layout_.segment(number)));
    return FollowedBySegment(channel.extension);
  }

  // `dropped`: up to this seq no frame is kept any more.
  void PlanSnapshots(const JournalStart& start, Seq dropped, RepairPlan& plan) {
    for (const SnapshotSeen& snapshot : start.snapshots) {
      if (plan.base.snapshot && plan.base.snapshot->seq == snapshot.seq) continue;
      std::string reason;
      if (!snapshot.good.ok()) {
        reason = absl::StrCat(snapshot.good.message());
      } else if (snapshot.joins.ok() && !plan.base.joins) {
        reason = "the journal goes on behind a newer one, without the frames behind this";
      } else if (!snapshot.joins.ok()) {
        reason = absl::StrCat("the journal does not go on behind it: ", snapshot.joins.message());
      } else if (snapshot.seq < dropped) {
        reason = absl::StrCat("the journal no longer goes on behind it, but behind seq ", dropped);
      } else {
        continue;
      }
      plan.moves.push_back({.path = snapshot.path, .reason = std::move(reason)});
    }
  }

  FileSystem& fs_;
  const JournalLayout& layout_;
};

}  // namespace

absl::StatusOr<RepairPlan> PlanRepair(FileSystem& fs, const JournalLayout& layout) {
  return Planner(fs, layout).Plan();
}

}  // namespace kekbit
