#include "kekbit/replication/core/standing.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kekbit/base/check.h"
#include "kekbit/replication/journal/segment_size.h"

namespace kekbit {

Standing::Standing(Environment& environment)
    : env(environment),
      board(environment),
      clock({.clock = environment.options.clock,
             .set_ahead_max = environment.options.clock_set_ahead_max,
             .say = [&environment](const ClockNote& note) {
               environment.Say(note.is_warning() ? LogSeverity::kWarning : LogSeverity::kInfo, note.ToString());
             }}) {}

void Standing::Stop(const absl::Status& why) {
  if (board.role() != Role::kStopped) board.SetRole(Role::kStopped, applied);
  board.SetStatus(why);
  env.LogError(why, "the replica stops");
  LetGo();
}

void Standing::LetGo() {
  if (reign.has_writer()) {
    followed_bytes += reign.writer().written_bytes();
    // Not the long one that this reign would have gone on in.
    if (preparer != nullptr) preparer->Prepare(FirstSegmentBytes(env.options.segment_bytes));
  }
  reign.End();
  env.lease_held = false;
  env.loop_event.Signal();
}

void Standing::CheckInvariants() {
  const ReplicaSample now = {.role = board.role(), .applied = applied, .snapshot = snapshot_seq};
  KB_CHECK(CheckReplica(now).ok());
  KB_CHECK(!checked || CheckReplicaStep(*checked, now).ok());
  checked = now;
}

void Standing::StopPoisoned(SegmentNumber segment) {
  Stop(absl::DataLossError(absl::StrCat(env.layout.segment(segment), ": a sync of this segment failed; what memory ",
                                        "shows of it may not be on the disk: open the journal anew")));
}

void Standing::LeaveLease() {
  claim.left_epoch = reign.writer().epoch();
  claim.leave_until_ns = env.MonotonicNanos() + absl::ToInt64Nanoseconds(env.options.step_down_for);
}

void Standing::EndReign() {
  rejoins = true;
  board.SetRole(Role::kFollower, applied);
  LetGo();
  env.lease_event.Signal();
}

}  // namespace kekbit
