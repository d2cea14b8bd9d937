#include "replication/replica_options.h"

#include "absl/strings/str_cat.h"
#include "kekbit/duration_text.h"

namespace kekbit {

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPrimary:
      return "primary";
    case Role::kStopped:
      return "stopped";
  }
  return "?";
}

absl::string_view AckName(Ack ack) { return ack == Ack::kSynced ? "synced" : "published"; }

std::string TakeoverReport::ToString() const {
  return absl::StrCat("epoch ", epoch, " behind seq ", follows, ": ", DurationText(total()), " (lease ",
                      DurationText(lease), ", drained ", DurationText(drained), ", recovered ", DurationText(recovered),
                      ", synced ", DurationText(synced), ", first append ", DurationText(first_append), ")");
}

}  // namespace kekbit
