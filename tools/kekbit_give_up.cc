#include "tools/kekbit_give_up.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/aside.h"
#include "kekbit/replication/recovery/journal_base.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/retention/reader_cursor.h"

namespace kekbit {
namespace {

absl::Status CheckThereIsABase(FileSystem& fs, const JournalLayout& layout, const StartSurvey& survey, Seq from) {
  for (const SnapshotSeen& snapshot : survey.snapshots) {
    if (snapshot.seq < from && snapshot.good.ok() && snapshot.joins.ok()) return absl::OkStatus();
  }
  if (ReadJournal(fs, layout).ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(layout.directory(), ": no state from before seq ", from,
                                                    " is kept: the journal begins with seq ", survey.first_kept,
                                                    ", and no good snapshot is of an earlier frame than seq ", from));
}

// Of readers whose cursor says no epoch, since nothing else would tell them.
absl::Status TellReaders(FileSystem& fs, const JournalLayout& layout, Seq from) {
  KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(fs, layout));
  for (const CursorView& cursor : cursors) {
    if (!cursor.status.ok() || cursor.done.epoch != 0 || cursor.done.seq < from) continue;
    KB_RETURN_IF_ERROR(MarkCursorLost(fs, layout, cursor.name, cursor.done.seq + 2));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GiveUpPlan> PlanGiveUp(FileSystem& fs, const JournalLayout& layout, Seq from) {
  GiveUpPlan plan;
  plan.from = from;
  plan.last = from - 1;
  KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs, layout, std::nullopt, from));
  KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(fs, layout));
  KB_RETURN_IF_ERROR(CheckThereIsABase(fs, layout, survey, from));
  for (const SnapshotSeen& snapshot : survey.snapshots) {
    if (snapshot.seq >= from) plan.snapshots.push_back(snapshot.path);
  }
  while (const std::optional<Frame> frame = reader.Next()) {
    if (plan.last < from) plan.first_time_ns = frame->header.time_ns;
    plan.last_time_ns = frame->header.time_ns;
    plan.last = frame->header.seq;
  }
  KB_RETURN_IF_ERROR(reader.status());
  const absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs, layout.synced());
  if (!absl::IsNotFound(mark.status())) KB_RETURN_IF_ERROR(mark.status());
  if (mark.ok()) plan.synced = mark->synced();
  KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(fs, layout));
  for (const CursorView& cursor : cursors) {
    if (cursor.status.ok() && cursor.done.seq >= from) plan.readers.push_back(cursor.name);
    if (cursor.owned) plan.living.push_back(cursor.name);
  }
  return plan;
}

absl::StatusOr<std::vector<std::string>> GiveUp(FileSystem& fs, const JournalLayout& layout, const GiveUpPlan& plan,
                                                const Clock& clock) {
  std::vector<std::string> kept;
  Aside aside(fs, layout, absl::StrCat("by an operator's order everything from seq ", plan.from, " on is given up"),
              clock.RealtimeNanos());
  KB_RETURN_IF_ERROR(TellReaders(fs, layout, plan.from));
  // While the journal still has their frames: a snapshot that it does not reach would be damage.
  for (const std::string& snapshot : plan.snapshots) {
    KB_ASSIGN_OR_RETURN(std::string path, aside.Move(snapshot));
    kept.push_back(std::move(path));
  }
  KB_RETURN_IF_ERROR(SetIncarnationAside(fs, layout, aside, kept));
  KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs, layout.synced()));
  KB_RETURN_IF_ERROR(SettlePoison(fs, layout, mark, WriterIs::kAsLocked));
  // Before the frames, for the same reason: what it says was synced would be missing.
  if (mark.synced() >= plan.from) {
    KB_ASSIGN_OR_RETURN(std::string path, aside.CopyFile(layout.synced()));
    kept.push_back(std::move(path));
    KB_RETURN_IF_ERROR(mark.GiveUpAfter(plan.from - 1));
  }
  KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs, layout, std::nullopt, plan.from));
  RecoveryOptions options;
  options.clock = &clock;
  if (plan.last >= plan.from) {
    options.lose_from = plan.from;
    options.whole = true;
  }
  KB_ASSIGN_OR_RETURN(const RecoveryOutcome outcome, RecoverTail(fs, layout, reader, mark, options));
  kept.insert(kept.end(), outcome.aside.begin(), outcome.aside.end());
  return kept;
}

}  // namespace kekbit
