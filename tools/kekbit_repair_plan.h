// PlanRepair finds what is to be done in a journal, so that it is sound: what `kekbit repair` shows, and then does.
//
// Thread safety: one thread at a time; while nobody writes to the journal. Nothing here changes anything.

#ifndef KEKBIT_TOOLS_KEKBIT_REPAIR_PLAN_H_
#define KEKBIT_TOOLS_KEKBIT_REPAIR_PLAN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"
#include "tools/kekbit_start.h"

namespace kekbit {

// A file that is to be moved aside, and why.
struct Move {
  std::string path;
  std::string reason;
};

// What there is to do.
//
// What is moved away is evidence, too: of what was synced, and of the epochs that there were. So
// the plan is made of all that there is, and evidence goes last: whoever comes again after a crash
// in between plans from the same.
struct RepairPlan {
  std::vector<Move> moves;     // in this order, before the end of the journal is dealt with: they are in its way
  std::vector<Move> evidence;  // afterwards
  // Every epoch that was ever granted, as far as anything shows, is at most this one.
  Epoch newest_epoch = 0;
  JournalBase base;
  // What is damaged before the snapshot's place in the segment in which that is: it stays, for nobody reads it.
  std::optional<Move> left;
  JournalEnd end;
  Seq last_known = 0;       // anything shows that there was a frame of this seq; 0: nothing does
  bool needs_word = false;  // an operator has to name what is lost
  std::string doubt;        // why it is not known whether that was synced; empty: it is known
  std::vector<std::string>
      unclosed;  // segments that end where a writer could go on, but for their file being too short
  bool cuts() const { return end.tail.verdict != TailVerdict::kClean || (!base.joins && !end.tail.beyond.empty()); }
  bool nothing() const { return moves.empty() && evidence.empty() && unclosed.empty() && !cuts(); }
};

absl::StatusOr<RepairPlan> PlanRepair(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_REPAIR_PLAN_H_
