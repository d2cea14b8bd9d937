// PlanGiveUp and GiveUp end a sound journal before a frame: an operator's way out of a command that
// no replica can apply.
//
//   auto plan = PlanGiveUp(fs, layout, from);          // what would be lost
//   ... the operator agrees, the lease is held, and nobody follows the journal ...
//   auto kept = GiveUp(fs, layout, *plan, clock);      // the journal ends with seq from - 1
//
// All that is lost is kept in DIR/aside. At each moment the journal is sound, and ends with the
// frame before `from` or with a later one. So whoever begins again after a crash comes to the same
// end. The next primary has an epoch that no lost frame had.
//
// A registered reader that is done with a lost frame is told: its next call is OutOfRange, until it
// calls Reset(). For a reader whose cursor has no epoch, GiveUp() says so in the cursor; any other
// sees that its frame is no part of the journal any more.
//
// Thread safety: one thread at a time. PlanGiveUp() changes nothing.

#ifndef KEKBIT_TOOLS_KEKBIT_GIVE_UP_H_
#define KEKBIT_TOOLS_KEKBIT_GIVE_UP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct GiveUpPlan {
  Seq from = 1;
  Seq last = 0;  // up to here everything is lost; before `from`: nothing is
  int64_t first_time_ns = 0;
  int64_t last_time_ns = 0;
  Seq synced = 0;                      // everything up to here was acknowledged as synced, as far as is known
  std::vector<std::string> snapshots;  // paths of those that hold the effect of a lost frame, newest first
  std::vector<std::string> readers;    // names of registered readers that are done with a lost frame
  std::vector<std::string> living;     // names of registered readers that run now: they may have read more

  uint64_t frames() const { return last + 1 - from; }
};
// OutOfRange if the journal does not reach that frame, or does not keep it any more.
// FailedPrecondition if no state from before that frame can be had.
absl::StatusOr<GiveUpPlan> PlanGiveUp(FileSystem& fs, const JournalLayout& layout, Seq from);

// Returns the paths of what is kept. REQUIRES: the caller holds the lease, and nobody reads the
// journal.
absl::StatusOr<std::vector<std::string>> GiveUp(FileSystem& fs, const JournalLayout& layout, const GiveUpPlan& plan,
                                                const Clock& clock);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_GIVE_UP_H_
