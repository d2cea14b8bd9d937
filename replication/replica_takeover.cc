// How a replica becomes primary: ReplicaCore's takeover.

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/channel_seal.h"
#include "kekbit/status_macros.h"
#include "replication/replica_core.h"

namespace kekbit {
namespace {

// How often a follower asks for the lease without being told, and tries again after a takeover failed.
constexpr int64_t kLookEveryNs = 1'000'000;
constexpr absl::Duration kRetryEvery = absl::Milliseconds(100);

// The time since the last call, or since it was made.
class Lap final {
 public:
  explicit Lap(const Clock& clock) : clock_(clock), last_(clock.MonotonicNanos()) {}
  absl::Duration operator()() {
    const int64_t before = std::exchange(last_, clock_.MonotonicNanos());
    return absl::Nanoseconds(last_ - before);
  }

 private:
  const Clock& clock_;
  int64_t last_;
};

}  // namespace

bool ReplicaCore::AcquireLease() {
  absl::MutexLock lock(&mutex_);
  if (lease_) return true;
  // A stopped replica must leave the lease to those that can go on.
  if (role_ != Role::kFollower) return false;
  const int64_t now = options_.clock->MonotonicNanos();
  if (left_epoch_ != 0 && epochs_.current() == left_epoch_ && now < leave_until_ns_) return false;
  absl::StatusOr<std::optional<Lease>> lease = Lease::TryAcquire(*options_.file_system, layout_.lease());
  if (!lease.ok()) {
    if (!MayPass(lease.status())) status_ = lease.status();
    return false;
  }
  status_ = absl::OkStatus();
  if (!*lease) return false;
  lease_ = std::move(*lease);
  lease_->Beat();
  lease_waited_ = holder_gone_ns_ == 0 ? absl::ZeroDuration()
                                       : absl::Nanoseconds(options_.clock->MonotonicNanos() - holder_gone_ns_);
  holder_gone_ns_ = 0;
  lease_held_ = true;
  return true;
}

void ReplicaCore::TryTakeOver() {
  if (!options_.may_lead || role() != Role::kFollower) return;
  const int64_t now = options_.clock->MonotonicNanos();
  if (!lease_held_) {
    if (now < next_try_ns_) return;
    next_try_ns_ = now + kLookEveryNs;
    if (!AcquireLease()) return;
    next_try_ns_ = 0;
  }
  if (now < next_try_ns_) return;
  const absl::Status status = BecomePrimary();
  if (!status.ok()) {
    next_try_ns_ = now + absl::ToInt64Nanoseconds(kRetryEvery);
    absl::MutexLock lock(&mutex_);
    if (MayPass(status)) {
      status_ = status;
    } else if (role_ != Role::kStopped) {
      Stop(status);
    }
  }
}

absl::Status ReplicaCore::BecomePrimary() {
  Lap lap(*options_.clock);
  TakeoverReport report;
  // A takeover that is tried again goes on in the epoch that it has.
  if (granted_ == 0 || epochs_.current() != granted_) {
    KB_ASSIGN_OR_RETURN(granted_, epochs_.Grant(reader_.last().position.epoch));
  }
  while (Follow()) {
  }
  KB_RETURN_IF_ERROR(reader_.status());
  if (role() == Role::kStopped) return status();
  report.epoch = granted_;
  report.follows = reader_.last().position.seq;
  report.drained = lap();
  KB_ASSIGN_OR_RETURN(const SegmentNumber last, SealOpenSegments());
  report.recovered = lap();
  KB_ASSIGN_OR_RETURN(std::shared_ptr<GroupCommit> commit, MakeCommit(last));
  if (options_.ack == Ack::kSynced) KB_RETURN_IF_ERROR(commit->Sync());
  report.synced = lap();
  JournalWriterOptions options = {.file_system = options_.file_system,
                                  .layout = layout_,
                                  .data_format = data_format_,
                                  .segment_bytes = options_.segment_bytes,
                                  .preparer = preparer_.get(),
                                  .commit = commit.get()};
  KB_ASSIGN_OR_RETURN(JournalWriter writer, JournalWriter::Begin(std::move(options), epochs_, granted_, reader_.last(),
                                                                 last + 1, options_.clock->RealtimeNanos()));
  report.first_append = lap();
  absl::MutexLock lock(&mutex_);
  report.lease = lease_waited_;
  applied_ = writer.last().position;
  commit_ = std::move(commit);
  writer_.emplace(std::move(writer));
  status_ = absl::OkStatus();
  SetRole(Role::kPrimary, granted_, report);
  granted_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<SegmentNumber> ReplicaCore::SealOpenSegments() {
  FileSystem& fs = *options_.file_system;
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs));
  // Segments behind the reader's were made by primaries that died before they wrote to them. One that follows frames
  // which the reader did not find shows that they are lost: nothing is sealed over that.
  for (const SegmentNumber number : segments) {
    if (number > reader_.segment()) KB_RETURN_IF_ERROR(reader_.CheckFollows(number));
  }
  for (const SegmentNumber number : segments) {
    if (number < reader_.segment()) continue;
    const uint64_t end = number == reader_.segment() ? reader_.offset() : 0;
    const absl::Status sealed = SealAbandonedChannel(fs, layout_.segment(number), end);
    if (absl::IsFailedPrecondition(sealed)) {
      return absl::UnavailableError(absl::StrCat("can't take over yet: ", sealed.message()));
    }
    KB_RETURN_IF_ERROR(sealed);
  }
  return segments.empty() ? 0 : segments.back();
}

absl::StatusOr<std::shared_ptr<GroupCommit>> ReplicaCore::MakeCommit(SegmentNumber last_segment) {
  FileSystem& fs = *options_.file_system;
  GroupCommit::Options options;
  options.file_system = &fs;
  options.clock = options_.clock;
  options.layout = layout_;
  options.mark = &mark_;
  options.epoch = granted_;
  options.synced = std::min(mark_.synced(), reader_.last().position.seq);
  options.on_error = [this, epoch = granted_](const absl::Status& error) { OnSyncError(epoch, error); };
  options.on_sync = [this](Seq synced, uint64_t frames, int64_t nanos) { stats_->AddSync(synced, frames, nanos); };
  auto commit = std::make_shared<GroupCommit>(options);
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs));
  // From the newest back, to the one that begins at or before the first frame that is not synced.
  std::vector<ChannelFile> unsynced;
  for (size_t i = segments.size(); i-- > 0;) {
    if (segments[i] > last_segment) continue;
    KB_ASSIGN_OR_RETURN(ChannelFile channel, OpenChannelFile(fs, layout_.segment(segments[i])));
    KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBySegment(channel.extension));
    unsynced.push_back(std::move(channel));
    if (follows.position.seq <= options.synced) break;
  }
  for (size_t i = unsynced.size(); i-- > 0;) {
    const ChannelFile& channel = unsynced[i];
    commit->AddSegment(channel.header.channel_id(), channel.file->path(), channel.mapping);
    commit->Published(reader_.last().position.seq, channel.mapping->size());
  }
  return commit;
}

}  // namespace kekbit
