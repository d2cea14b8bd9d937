#include "kekbit/replication/recovery/repair_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_format.h"
#include "kekbit/extension.h"
#include "kekbit/replication/journal/segment_scan.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/aside.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/recovery/tail_scan.h"
#include "kekbit/replication/recovery/without_files.h"
#include "kekbit/replication/retention/reader_cursor.h"

namespace kekbit {
namespace {

// Unreadable is a segment that no reader takes for a segment, without known damage: a directory, or
// of another version.
struct Unreadable {
  SegmentNumber number = 0;
  std::string path;
  std::string reason;
};

// Returns the frames that can be found in the segment all the same; none in what is no file.
absl::StatusOr<TailScan> FramesIn(FileSystem& fs, const std::string& path) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, Access::kRead);
  if (absl::IsFailedPrecondition(file.status()) || absl::IsNotFound(file.status())) return TailScan();
  KB_RETURN_IF_ERROR(file.status());
  KB_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Info());
  if (info.size <= kDataOffset) return TailScan();
  const uint64_t size = std::min(info.size, ChannelFileBytes(kCapacityMax));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> mapping, (*file)->Map(Access::kRead, size));
  const absl::StatusOr<std::optional<Extension>> extension = Extension::Decode(mapping->bytes());
  const std::optional<Extension> known = extension.value_or(std::nullopt);
  return ScanTail(mapping->bytes().subspan(kDataOffset), 0, FollowedBySegment(known).value_or(ChainLink{}), size,
                  SegmentCountsUnsynced(known));
}

// KnownEnd is where a segment ends, if that is known.
struct KnownEnd {
  bool known = false;
  ChainLink link = {};

  bool Fits(const ChainLink& follows) const {
    return !known || (link.position == follows.position && link.crc32c == follows.crc32c);
  }
};

// A writer may go on at a WATERMARK: into a file that is no longer long enough.
bool IsUnclosed(SegmentScan& scan, const SegmentItem& last) {
  return last.in_channel.kind == ChannelItemKind::kWatermarkMarker && scan.scan().is_cut();
}

// Returns true if the frames of the segment fit, and it follows `end`; then sets `end` to the
// segment's own end.
absl::StatusOr<bool> IsWhole(FileSystem& fs, const JournalLayout& layout, SegmentNumber number, KnownEnd& end) {
  absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(fs, layout.segment(number), number);
  if (absl::IsDataLoss(scan.status())) return false;
  KB_RETURN_IF_ERROR(scan.status());
  if (!scan->follows()) return false;
  if (!end.Fits(*scan->follows())) return false;
  for (;;) {
    const SegmentItem item = scan->Next();
    if (absl::IsDataLoss(item.status)) return false;
    if (item.is_last() && IsUnclosed(*scan, item)) return false;
    if (item.is_last()) break;
  }
  end = {.known = true, .link = scan->last()};
  return true;
}

class Planner {
 public:
  Planner(FileSystem& fs, const JournalLayout& layout) : fs_(fs), view_(fs), layout_(layout) {}

  absl::StatusOr<RepairPlan> Plan() {
    RepairPlan plan;
    KB_ASSIGN_OR_RETURN(const std::vector<BadFile> bad_files, CheckSmallFiles(fs_, layout_));
    for (const BadFile& bad : bad_files) {
      view_.Hide(bad.path);
      if (!bad.moves) continue;
      const bool evidence = bad.path == layout_.synced() || bad.path == layout_.epoch();
      (evidence ? plan.evidence : plan.moves).push_back({.path = bad.path, .reason = bad.reason});
    }
    KB_ASSIGN_OR_RETURN(const std::vector<Unreadable> unreadable, FindUnreadable());
    for (const Unreadable& segment : unreadable) {
      plan.moves.push_back({.path = segment.path, .reason = segment.reason});
      view_.Hide(segment.path);
    }
    KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(view_, layout_));
    for (const SnapshotSeen& snapshot : survey.snapshots) {
      // A newer version, say: nothing is known of the snapshot.
      if (!snapshot.good.ok() && !absl::IsDataLoss(snapshot.good)) return snapshot.good;
    }
    KB_ASSIGN_OR_RETURN(plan.base, ChooseBase(view_, layout_, survey));
    KB_ASSIGN_OR_RETURN(const Seq dropped, PlanUnneeded(plan));
    PlanSnapshots(survey, dropped, plan);
    absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(view_, layout_.synced());
    KB_ASSIGN_OR_RETURN(plan.end, FindEnd(view_, layout_, mark.ok() ? &*mark : nullptr, plan.base));
    KB_ASSIGN_OR_RETURN(const bool gives_up, CountUnreadable(unreadable, plan));
    KB_RETURN_IF_ERROR(DoubtTail(survey, mark.status(), plan));
    KB_RETURN_IF_ERROR(FindUnclosed(plan));
    KB_ASSIGN_OR_RETURN(plan.newest_epoch, NewestEpoch(survey));
    const JournalTail& tail = plan.end.tail;
    plan.last_known = std::max(
        {tail.facts.synced_by_mark, tail.facts.synced_by_frames, tail.facts.synced_by_others, tail.last_whole_seq});
    // A snapshot may still hold everything that is known, though the journal does not go on after
    // it.
    const bool damaged = tail.verdict == TailVerdict::kDamaged || (!plan.base.joins && plan.cuts());
    const bool holds_all = !plan.base.joins && plan.base.snapshot && plan.last_known < tail.facts.bad_seq;
    plan.needs_word = damaged && (gives_up || !holds_all);
    KB_CHECK(!plan.needs_word || plan.cuts());  // an operator's word is for what is lost
    return plan;
  }

 private:
  absl::StatusOr<std::vector<Unreadable>> FindUnreadable() {
    std::vector<Unreadable> found;
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(view_));
    for (const SegmentNumber number : segments) {
      const std::string path = layout_.segment(number);
      const absl::Status opened = OpenChannelFile(fs_, path).status();
      if (!absl::IsFailedPrecondition(opened)) continue;
      const absl::Status why = WhyUnreadable(fs_, path, opened);
      if (!absl::IsDataLoss(why)) return why;
      found.push_back({.number = number, .path = path, .reason = std::string(why.message())});
    }
    return found;
  }

  // Returns true if an unreadable segment may hold what the journal needs. Then only an operator's
  // word gives it up, whatever is known of syncs.
  absl::StatusOr<bool> CountUnreadable(const std::vector<Unreadable>& unreadable, RepairPlan& plan) {
    SegmentNumber base = 0;
    if (plan.base.joins) {
      KB_ASSIGN_OR_RETURN(const JournalReader reader, plan.base.Open(view_, layout_));
      base = reader.segment();
    }
    JournalTail& tail = plan.end.tail;
    bool gives_up = false;
    for (const Unreadable& segment : unreadable) {
      if (segment.number < base) continue;
      KB_ASSIGN_OR_RETURN(const TailScan scan, FramesIn(fs_, segment.path));
      tail.whole_frames += scan.frames;
      tail.last_whole_seq = std::max(tail.last_whole_seq, scan.last_seq);
      tail.facts.synced_by_frames = std::max(tail.facts.synced_by_frames, scan.synced);
      if (!gives_up && segment.number <= tail.segment + 1) tail.what = segment.reason;
      gives_up = true;
    }
    if (!gives_up) return false;
    if (tail.what.empty()) {
      tail.what = absl::StrCat(tail.path, ": the journal ends behind seq ", tail.facts.bad_seq - 1);
    }
    if (tail.evidence.empty()) tail.evidence = "a segment is there that can't be read";
    tail.verdict = TailVerdict::kDamaged;
    return true;
  }

  // A tail is torn if nothing shows that what does not fit was synced. Where the evidence is
  // damaged, nothing is known. A snapshot was not written before all up to its frame was synced,
  // whatever became of the snapshot since.
  absl::Status DoubtTail(const StartSurvey& survey, const absl::Status& mark, RepairPlan& plan) {
    JournalTail& tail = plan.end.tail;
    for (const SnapshotSeen& snapshot : survey.snapshots) {
      if (!tail.facts.misfit || snapshot.seq < std::max(tail.facts.bad_seq, tail.facts.synced_by_others + 1)) continue;
      tail.facts.synced_by_others = snapshot.seq;
      if (tail.verdict == TailVerdict::kTorn) tail.evidence = absl::StrCat("there was a snapshot ", snapshot.path);
      tail.verdict = TailVerdict::kDamaged;
    }
    if (tail.verdict != TailVerdict::kTorn || mark.ok()) return absl::OkStatus();
    const bool moved = std::any_of(plan.evidence.begin(), plan.evidence.end(),
                                   [this](const Move& move) { return move.path == layout_.synced(); });
    KB_ASSIGN_OR_RETURN(const bool kept, WasKept(layout_.synced()));
    if (!moved && !kept) return absl::OkStatus();
    tail.verdict = TailVerdict::kDamaged;
    plan.doubt =
        absl::StrCat(layout_.synced(), ", which would say, ", moved ? "can't be read" : "was damaged, and moved away");
    return absl::OkStatus();
  }

  // Returns true if a file was moved aside, as by a repair that did not come to its end.
  absl::StatusOr<bool> WasKept(const std::string& path) {
    const absl::StatusOr<std::vector<std::string>> names = view_.List(layout_.aside());
    if (absl::IsNotFound(names.status())) return false;
    KB_RETURN_IF_ERROR(names.status());
    const std::string prefix = absl::StrCat(Aside::NameOf(layout_, path), ".moved_");
    return std::any_of(names->begin(), names->end(),
                       [&prefix](const std::string& name) { return absl::StartsWith(name, prefix); });
  }

  // By the first frame of each segment, also of those that were moved aside, by snapshots and by
  // cursors. What can't be read says nothing.
  absl::StatusOr<Epoch> NewestEpoch(const StartSurvey& survey) {
    Epoch newest = 0;
    for (const SnapshotSeen& snapshot : survey.snapshots) newest = std::max(newest, snapshot.last.position.epoch);
    KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(view_, layout_));
    for (const CursorView& cursor : cursors) newest = std::max(newest, cursor.done.epoch);
    std::vector<std::string> paths;
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(view_));
    paths.reserve(segments.size());
    for (const SegmentNumber number : segments) paths.push_back(layout_.segment(number));
    if (const auto names = view_.List(layout_.aside()); names.ok()) {
      for (const std::string& name : *names) paths.push_back(JoinPath(layout_.aside(), name));
    }
    for (const std::string& path : paths) {
      absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(view_, path);
      if (!scan.ok() || !scan->follows()) continue;
      const SegmentItem first = scan->Next();
      if (first.frame && first.status.ok()) newest = std::max(newest, first.frame->epoch);
    }
    return newest;
  }

  // Finds unclosed segments among those that a replica reads.
  absl::Status FindUnclosed(RepairPlan& plan) {
    if (!plan.base.joins) return absl::OkStatus();
    KB_ASSIGN_OR_RETURN(const JournalReader reader, plan.base.Open(view_, layout_));
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(view_));
    for (const SegmentNumber number : segments) {
      if (number < reader.segment() || number > plan.end.tail.segment) continue;
      KB_ASSIGN_OR_RETURN(SegmentScan scan, SegmentScan::OpenAt(view_, layout_.segment(number)));
      SegmentItem item = scan.Next();
      while (!item.is_last()) item = scan.Next();
      if (IsUnclosed(scan, item)) plan.unclosed.push_back(layout_.segment(number));
    }
    return absl::OkStatus();
  }

  // Plans for segments before the one in which a replica begins, if there is damage in them. They
  // are in the way of verify and of trimming. Returns up to which seq nothing is kept then; 0: they
  // are whole.
  absl::StatusOr<Seq> PlanUnneeded(RepairPlan& plan) {
    if (!plan.base.snapshot || !plan.base.joins) return 0;
    KB_ASSIGN_OR_RETURN(const JournalReader reader, plan.base.Open(view_, layout_));
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(view_));
    const size_t base = std::lower_bound(segments.begin(), segments.end(), reader.segment()) - segments.begin();
    // Nothing that is kept goes on after any of them.
    if (!reader.segment_open() || base == segments.size()) return plan.base.snapshot->seq;
    KB_RETURN_IF_ERROR(LookBefore(segments[base], plan));
    size_t bad = 0;  // so many from the beginning on
    KnownEnd end;
    for (size_t i = 0; i < base; ++i) {
      if (i > 0 && segments[i] != segments[i - 1] + 1) end.known = false;
      if (i > 0 && !end.known) bad = i;
      KB_ASSIGN_OR_RETURN(const bool whole, IsWhole(view_, layout_, segments[i], end));
      if (whole) continue;
      bad = i + 1;
      end.known = false;
    }
    KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBy(segments[base]));
    const bool gap = base > 0 && segments[base] != segments[base - 1] + 1;
    if (gap || !end.Fits(follows)) bad = base;
    KB_CHECK(bad <= base);  // the segment in which a replica begins stays
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

  // Looks into the segment in which a replica begins, where the replica itself does not look.
  absl::Status LookBefore(SegmentNumber number, RepairPlan& plan) {
    KB_ASSIGN_OR_RETURN(SegmentScan scan, SegmentScan::OpenAt(view_, layout_.segment(number), number));
    for (;;) {
      const Seq before = scan.last().position.seq;
      const SegmentItem item = scan.Next();
      if (before >= plan.base.snapshot->seq) return absl::OkStatus();
      if (absl::IsDataLoss(item.status)) {
        plan.left = Move{.path = layout_.segment(number), .reason = std::string(item.status.message())};
      }
      if (absl::IsDataLoss(item.status) || item.is_last()) return absl::OkStatus();
    }
  }

  absl::StatusOr<ChainLink> FollowedBy(SegmentNumber number) {
    KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(view_, layout_.segment(number)));
    return FollowedBySegment(channel.extension);
  }

  // `dropped`: up to this seq no frame is kept any more.
  void PlanSnapshots(const StartSurvey& survey, Seq dropped, RepairPlan& plan) {
    for (const SnapshotSeen& snapshot : survey.snapshots) {
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
      plan.evidence.push_back({.path = snapshot.path, .reason = std::move(reason)});
    }
  }

  FileSystem& fs_;
  WithoutFiles view_;  // without the files that are to be moved for what they are
  const JournalLayout& layout_;
};

}  // namespace

absl::StatusOr<RepairPlan> PlanRepair(FileSystem& fs, const JournalLayout& layout) {
  return Planner(fs, layout).Plan();
}

}  // namespace kekbit
