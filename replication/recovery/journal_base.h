// JournalBase is what a journal can go on from, where a replica would begin or not; FindEnd finds the
// end of what is read from there.
//
//   KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(fs, layout));
//   KB_ASSIGN_OR_RETURN(const JournalBase base, ChooseBase(fs, layout, survey));
//   KB_ASSIGN_OR_RETURN(const JournalEnd end, FindEnd(fs, layout, mark, base));
//
// Thread safety: one thread at a time, while nobody writes to the journal. Nothing here changes
// anything.

#ifndef KEKBIT_REPLICATION_RECOVERY_JOURNAL_BASE_H_
#define KEKBIT_REPLICATION_RECOVERY_JOURNAL_BASE_H_

#include <optional>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/journal_tail.h"
#include "kekbit/replication/recovery/start.h"

namespace kekbit {

// JournalBase is something to go on from: a snapshot, or the empty state.
struct JournalBase {
  std::optional<SnapshotSeen> snapshot;
  // Whether the journal's frames go on from there. False without a snapshot if the first frames are
  // gone.
  bool joins = true;

  absl::StatusOr<JournalReader> Open(FileSystem& fs, const JournalLayout& layout) const;
};
// Returns the base from which the most is left: as a rule where a replica begins. Of equally good
// ones, returns the newest. FailedPrecondition if something is in the way that this version can't
// read.
absl::StatusOr<JournalBase> ChooseBase(FileSystem& fs, const JournalLayout& layout, const StartSurvey& survey);

// JournalEnd is where the frames end for a new primary that begins with `base`.
struct JournalEnd {
  JournalTail tail;
  ChainLink last;
};
// `mark`: as it was before anything was read; null: none.
absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark,
                                   const JournalBase& base);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_JOURNAL_BASE_H_
