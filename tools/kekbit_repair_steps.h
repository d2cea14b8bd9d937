// RepairSteps does what PlanRepair() found.
//
// A file that says what was synced, or which epochs there were, is replaced only when nothing of
// the plan depends on it any more: whoever begins again after a crash plans from the same evidence.
//
// Thread safety: one thread, of the process that holds the lease.

#ifndef KEKBIT_TOOLS_KEKBIT_REPAIR_STEPS_H_
#define KEKBIT_TOOLS_KEKBIT_REPAIR_STEPS_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/recovery/aside.h"
#include "kekbit/replication/recovery/repair_plan.h"

namespace kekbit {

class RepairSteps final {
 public:
  // `on_kept`: is called with the path of each thing that is kept, once it is.
  RepairSteps(FileSystem& fs, const JournalLayout& layout, std::function<void(const std::string&)> on_kept)
      : fs_(fs), layout_(layout), on_kept_(std::move(on_kept)) {}

  // Everything but the moves that `is_done` says are done.
  absl::Status Apply(const RepairPlan& plan, const std::function<bool(const Move&)>& is_done);

  absl::Status MoveAside(const Move& move);

  // Grants an epoch above every one that there was, if frames are cut: a lost frame and a new one
  // never have both epoch and seq in common. A bad file of epochs is replaced.
  absl::Status RaiseEpoch(const RepairPlan& plan, bool cuts);

 private:
  Aside AsideFor(const std::string& why) const;
  absl::Status KeepCopy(const std::string& path, const std::string& why);
  // The path of a new file, which is to take the place of that one.
  absl::StatusOr<std::string> PathOfNext(const std::string& path);
  // Puts a file that is ready into the place of a bad one, which is kept. At no moment is there
  // none, unless what stands there is no file.
  absl::Status Replace(const Move& bad, const std::string& ready);
  absl::Status MendEnd(const RepairPlan& plan);

  FileSystem& fs_;
  const JournalLayout& layout_;
  const std::function<void(const std::string&)> on_kept_;
};

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_REPAIR_STEPS_H_
