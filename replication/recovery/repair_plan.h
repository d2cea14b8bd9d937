// PlanRepair finds what is to be done in a journal, so that it is sound: what `kekbit repair`
// shows, and then does.
//
// Thread safety: one thread at a time; while nobody writes to the journal. Nothing here changes
// anything.

#ifndef KEKBIT_REPLICATION_RECOVERY_REPAIR_PLAN_H_
#define KEKBIT_REPLICATION_RECOVERY_REPAIR_PLAN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery/journal_base.h"

namespace kekbit {

// Move is a file that is to be moved aside, and why.
struct Move {
  std::string path;
  std::string reason;
};

// RepairPlan is what there is to do.
//
// Files that are moved away are evidence, too: of what was synced, and of the epochs. So the plan
// is made of all that exists, and evidence goes last: a repair after a crash in between plans from
// the same.
struct RepairPlan {
  std::vector<Move> moves;     // in this order, before the end of the journal is dealt with: they are in its way
  std::vector<Move> evidence;  // afterwards
  // Every epoch that was ever granted, as far as anything shows, is at most this one.
  Epoch newest_epoch = 0;
  JournalBase base;
  // Damage before the snapshot's place in the segment of that place: it stays, for nobody reads it.
  std::optional<Move> left;
  JournalEnd end;
  Seq last_known = 0;       // the last seq of a frame that anything shows to have existed; 0: none
  bool needs_word = false;  // an operator has to name what is lost
  std::string doubt;        // why nobody knows whether that was synced; empty: it is known
  std::vector<std::string>
      unclosed;  // segments that end where a writer could go on, except that their file is too short
  bool cuts() const { return end.tail.verdict != TailVerdict::kClean || (!base.joins && !end.tail.beyond.empty()); }
  bool nothing() const { return moves.empty() && evidence.empty() && unclosed.empty() && !cuts(); }
};

absl::StatusOr<RepairPlan> PlanRepair(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_REPAIR_PLAN_H_
