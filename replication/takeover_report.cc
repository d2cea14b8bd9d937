#include "kekbit/replication/takeover_report.h"

#include "absl/strings/str_cat.h"
#include "kekbit/base/duration_text.h"

namespace kekbit {

std::string TakeoverReport::ToString() const {
  return absl::StrCat("epoch ", epoch, " behind seq ", follows, ": ", DurationText(total()), " (lease ",
                      DurationText(lease), ", drained ", DurationText(drained), ", recovered ", DurationText(recovered),
                      ", synced ", DurationText(synced), ", first append ", DurationText(first_append), ")");
}

}  // namespace kekbit
