#include "replication/replica_options.h"

#include "absl/strings/str_cat.h"

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
  return absl::StrCat("epoch ", epoch, " behind seq ", follows, ": ", absl::FormatDuration(total()), " (lease ",
                      absl::FormatDuration(lease), ", drained ", absl::FormatDuration(drained), ", recovered ",
                      absl::FormatDuration(recovered), ", synced ", absl::FormatDuration(synced), ", first append ",
                      absl::FormatDuration(first_append), ")");
}

}  // namespace kekbit
