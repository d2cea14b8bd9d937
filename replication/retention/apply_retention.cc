#include "kekbit/replication/retention/apply_retention.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

std::vector<ReaderPlace> PlacesOf(const std::vector<CursorView>& cursors) {
  std::vector<ReaderPlace> places;
  places.reserve(cursors.size());
  for (const CursorView& cursor : cursors) places.push_back(PlaceOf(cursor));
  return places;
}

// Tells the readers that lose their place when the journal is trimmed so that `first_kept` is the
// first frame.
absl::Status Tell(FileSystem& fs, const JournalLayout& layout, const std::vector<CursorView>& cursors,
                  const std::vector<size_t>& losers, Seq first_kept, std::vector<std::string>& told) {
  for (const size_t loser : losers) {
    const std::string& name = cursors[loser].name;
    const absl::Status marked = MarkCursorLost(fs, layout, name, first_kept);
    if (absl::IsNotFound(marked)) continue;  // it was removed meanwhile
    KB_RETURN_IF_ERROR(marked);
    told.push_back(name);
  }
  return absl::OkStatus();
}

// Syncs the cursors: after a power loss, none may stand before what was trimmed because it had
// stood after that.
absl::Status SyncHolders(FileSystem& fs, const JournalLayout& layout, const std::vector<CursorView>& cursors) {
  if (Planted(PlantedBug::kCursorNotSynced)) return absl::OkStatus();
  for (const CursorView& cursor : cursors) {
    if (!cursor.status.ok() || cursor.lost()) continue;
    const absl::Status synced = SyncCursor(fs, layout, cursor.name);
    if (!absl::IsNotFound(synced)) KB_RETURN_IF_ERROR(synced);
  }
  return absl::OkStatus();
}

absl::Status Unlink(FileSystem& fs, const JournalLayout& layout, const KeptSegment& segment, RetentionReport& report) {
  const std::string path = layout.segment(segment.number);
  const absl::Status unlinked = fs.Unlink(path);
  if (!absl::IsNotFound(unlinked)) {  // or another process was faster
    KB_RETURN_IF_ERROR(unlinked);
    ++report.segments_cut;
    report.bytes_cut += segment.bytes;
  }
  return Planted(PlantedBug::kTrimLeavesHole) ? absl::OkStatus() : fs.SyncDirectory(DirectoryOf(path));
}

}  // namespace

ReaderPlace PlaceOf(const CursorView& cursor) {
  return {.name = cursor.name, .done = cursor.done.seq, .lost = cursor.lost(), .unknown = !cursor.status.ok()};
}

int64_t WaitingSince(FileSystem& fs, const JournalLayout& layout, Seq done) {
  absl::StatusOr<JournalReader> reader = ReadJournal(fs, layout, std::nullopt, done + 1);
  if (!reader.ok()) return 0;
  const std::optional<Frame> frame = reader->Next();
  return frame ? frame->header.time_ns : 0;
}

absl::StatusOr<RetentionReport> ApplyRetention(FileSystem& fs, const JournalLayout& layout,
                                               const RetentionLimits& limits) {
  KB_ASSIGN_OR_RETURN(const std::vector<KeptSegment> segments, ListKeptSegments(fs, layout));
  RetentionReport report;
  if (segments.empty()) return report;
  KB_ASSIGN_OR_RETURN(std::vector<CursorView> cursors, ListCursors(fs, layout));
  if (Planted(PlantedBug::kCursorIgnored)) cursors.clear();
  const RetentionPlan plan = PlanRetention(segments, PlacesOf(cursors), limits);
  KB_CHECK(plan.held_bytes.size() == cursors.size());
  report.first_kept = plan.first_kept;
  report.bytes_kept = plan.bytes_kept;
  for (size_t i = 0; i < cursors.size(); ++i) {
    const CursorView& cursor = cursors[i];
    const uint64_t held = plan.held_bytes[i];
    if (!HoldIsWorrying(cursor.owned, held, plan.bytes_kept)) continue;
    const int64_t since = cursor.status.ok() ? WaitingSince(fs, layout, cursor.done.seq) : 0;
    report.holds.push_back({.name = cursor.name, .owned = cursor.owned, .bytes = held, .since_ns = since});
  }
  for (const CursorView& cursor : cursors) {
    if (!cursor.status.ok()) report.unreadable.push_back(absl::StrCat(cursor.name, ": ", cursor.status.message()));
  }
  KB_RETURN_IF_ERROR(Tell(fs, layout, cursors, plan.losers, plan.first_kept, report.lost));
  if (plan.cut == 0) return report;
  KB_RETURN_IF_ERROR(SyncHolders(fs, layout, cursors));
  // The name before the first may have been unlinked by somebody who did not get to sync the
  // directory.
  KB_RETURN_IF_ERROR(fs.SyncDirectory(DirectoryOf(layout.segment(segments.front().number))));
  for (size_t i = 0; i < plan.cut; ++i) KB_RETURN_IF_ERROR(Unlink(fs, layout, segments[i], report));
  // Look again for readers that came, or went back, meanwhile.
  KB_ASSIGN_OR_RETURN(cursors, ListCursors(fs, layout));
  const RetentionPlan after = PlanRetention({segments[plan.cut]}, PlacesOf(cursors), limits);
  KB_RETURN_IF_ERROR(Tell(fs, layout, cursors, after.losers, plan.first_kept, report.lost));
  return report;
}

}  // namespace kekbit
