#include "kekbit/replication/testing/invariants.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace kekbit {
namespace {

// The journal's time may go slower than any clock by a tenth, and believes a clock that was set for some moments.
constexpr int64_t kSlowestPercent = 90;
constexpr int64_t kStampSlackNs = 20'000'000;

absl::Status NotAbove(absl::string_view low_name, uint64_t low, absl::string_view high_name, uint64_t high) {
  if (low <= high) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(low_name, " is ", low, ", above ", high_name, ", which is ", high));
}

absl::Status NotBack(absl::string_view name, uint64_t before, uint64_t now) {
  if (before <= now) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(name, " went back from ", before, " to ", now));
}

// The first that is not OK.
template <typename... Statuses>
absl::Status FirstOf(Statuses... statuses) {
  absl::Status first;
  (first.Update(statuses), ...);
  return first;
}

}  // namespace

absl::Status CheckReplica(const ReplicaSample& now) {
  absl::Status status = NotAbove("snapshot", now.snapshot, "applied", now.applied.seq);
  if (!now.published) return status;
  return FirstOf(status, NotAbove("applied", now.applied.seq, "published", now.published->seq),
                 NotAbove("the epoch applied", now.applied.epoch, "that published", now.published->epoch));
}

absl::Status CheckReplicaStep(const ReplicaSample& before, const ReplicaSample& now) {
  if (before.role == Role::kStopped && now.role != Role::kStopped) {
    return absl::InternalError(absl::StrCat("a replica that had stopped is a ", RoleName(now.role)));
  }
  return FirstOf(NotBack("applied", before.applied.seq, now.applied.seq),
                 NotBack("the epoch applied", before.applied.epoch, now.applied.epoch),
                 NotBack("snapshot", before.snapshot, now.snapshot));
}

absl::Status CheckJournal(const JournalSample& now) {
  absl::Status status = FirstOf(
      NotAbove("the seq that the journal begins after", now.begins_after, "its older snapshot's", now.older_snapshot),
      NotAbove("the older snapshot", now.older_snapshot, "the newest", now.newest_snapshot));
  if (!now.published) return status;
  return FirstOf(status, NotAbove("synced", now.synced, "published", now.published->seq),
                 NotAbove("snapshot", now.newest_snapshot, "published", now.published->seq),
                 NotAbove("the epoch published", now.published->epoch, "that granted", now.epoch));
}

absl::Status CheckJournalStep(const JournalSample& before, const JournalSample& now) {
  return FirstOf(NotBack("the epoch", before.epoch, now.epoch), NotBack("synced", before.synced, now.synced),
                 NotBack("the journal's beginning", before.begins_after, now.begins_after),
                 NotBack("the newest snapshot", before.newest_snapshot, now.newest_snapshot));
}

absl::Status CheckStamps(const StampSample& before, const StampSample& now) {
  const int64_t went = now.time_ns - before.time_ns;
  const int64_t least = now.after_ns - before.before_ns;
  if (went < 0) {
    return absl::InternalError(absl::StrCat("the journal's time went back from ", before.time_ns, " to ", now.time_ns));
  }
  if (least <= 0 || went >= least / 100 * kSlowestPercent - kStampSlackNs) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the journal's time went on by ", went, " ns from ", before.time_ns, " to ",
                                          now.time_ns, ", while at least ", least, " ns went by"));
}

}  // namespace kekbit
