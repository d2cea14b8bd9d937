#include "kekbit/replication/recovery_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kekbit/base/duration_text.h"

namespace kekbit {

std::string RecoveryReport::ToString() const {
  std::string text = snapshot.empty() ? "no snapshot" : absl::StrCat("snapshot ", snapshot, " of seq ", snapshot_seq);
  if (!skipped.empty()) absl::StrAppend(&text, " (passed over: ", absl::StrJoin(skipped, "; "), ")");
  const double seconds = absl::ToDoubleSeconds(duration);
  absl::StrAppend(&text, ", ", frames, " frame(s) replayed in ", DurationText(duration));
  if (seconds > 0 && frames > 0) {
    absl::StrAppendFormat(&text, " (%.0f a second)", static_cast<double>(frames) / seconds);
  }
  if (!why.empty()) {
    absl::StrAppend(&text, ", a torn tail of ", bytes_cut, " bytes cut: ", absl::StrJoin(why, "; "));
    if (!aside.empty()) absl::StrAppend(&text, "; kept: ", absl::StrJoin(aside, ", "));
  }
  return text;
}

}  // namespace kekbit
