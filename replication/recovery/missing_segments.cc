#include "kekbit/replication/recovery/missing_segments.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/recovery/repair_hint.h"

namespace kekbit {
namespace {

// A directory that is listed while segments are made and trimmed may show neither the old segment
// nor the new.
constexpr int kLooks = 3;

}  // namespace

absl::StatusOr<bool> NothingLost(FileSystem& fs, const SyncMark& mark) {
  const uint64_t boot = mark.boot();
  if (boot == 0 || mark.poisoned() != 0) return false;
  KB_ASSIGN_OR_RETURN(const uint64_t now, SyncMark::CurrentBoot(fs));
  return boot == now;
}

absl::Status CheckSegments(FileSystem& fs, const JournalLayout& layout, const SyncMark& mark, Seq snapshot) {
  std::string missing;
  for (int looks = 0; looks < kLooks; ++looks) {
    // Read the mark before the segments are listed: each segment that it names existed before.
    KB_ASSIGN_OR_RETURN(const bool nothing_lost, NothingLost(fs, mark));
    const SegmentNumber made = nothing_lost ? mark.made() : 0;
    const Seq synced = mark.synced();
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
    const SegmentNumber last = segments.empty() ? 0 : segments.back();
    // Recovery may have taken some out meanwhile, and noted that first.
    if (std::min(made, mark.made()) > last) {
      missing = absl::StrCat("segment ", made, " was made since the machine started, and is gone");
    } else if (segments.empty() && synced > snapshot) {
      missing = absl::StrCat("seq ", synced, " was synced, and there is no segment");
    } else {
      return absl::OkStatus();
    }
  }
  return absl::DataLossError(absl::StrCat(layout.segments(), ": ", missing, " (so says ", layout.synced(),
                                          "). Bring back the files from a backup, if there is one",
                                          RepairHint(layout)));
}

}  // namespace kekbit
