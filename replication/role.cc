#include "kekbit/replication/role.h"

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

}  // namespace kekbit
