#include "kekbit/replication/journal/group_commit.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/check.h"
#include "kekbit/base/futex.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Patience of a leader that waits for callers to come back: a part of the time of a sync, since
// each caller that comes saves that time. The wait is never longer than a slow disk's would be: the
// last sync may have waited for an error of the disk, or in a process that was stopped.
constexpr int64_t kPatience = 4;
constexpr int64_t kPatienceMaxNanos = 2'000'000;

// Pauses between tries of a sync that a call keeps from being made: from the first to the last,
// each twice as long.
constexpr absl::Duration kFirstPause = absl::Milliseconds(1);
constexpr absl::Duration kLastPause = absl::Milliseconds(64);

// Returns the futex bit of a group: wakes its waiters and not those of the next group.
uint32_t BitOf(uint32_t group) { return uint32_t{1} << (group % 32); }

}  // namespace

GroupCommit::GroupCommit(Options options)
    : options_(std::move(options)),
      sync_(*options_.file_system, options_.layout, *options_.mark),
      published_(std::max(options_.synced, options_.published)),
      published_end_(SegmentSync::kWhole),
      synced_(options_.synced),
      segments_(options_.unsynced) {
  KB_CHECK(synced_ <= published_);
}

void GroupCommit::AddSegment(SegmentNumber number, std::shared_ptr<MappedFile> mapping) {
  KB_CHECK(number != 0);  // segments are numbered from 1
  absl::MutexLock lock(&mutex_);
  PrepareWord(&published_end_, 0);
  options_.mark->Made(number);
  segments_.push_back({.number = number, .mapping = std::move(mapping)});
  // Segments written faster than they are synced are mapped again for their sync. A sync under way
  // has copies.
  if (segments_.size() > kMappedMax) segments_[segments_.size() - 1 - kMappedMax].mapping = nullptr;
}

bool GroupCommit::IsDue() const {
  absl::MutexLock lock(&mutex_);
  return error_.ok() && (segments_.size() > 1 || !put_off_.ok());
}

absl::Status GroupCommit::SyncDue() { return IsDue() ? WaitFor(published(), absl::InfinitePast()) : absl::OkStatus(); }

size_t GroupCommit::open_segments() const {
  absl::MutexLock lock(&mutex_);
  return segments_.size();
}

uint64_t GroupCommit::waiting() const {
  absl::MutexLock lock(&mutex_);
  return sleepers_;
}

absl::Status GroupCommit::WaitFor(Seq seq, absl::Time deadline) {
  if (synced() >= seq) return absl::OkStatus();
  if (seq > published()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.layout.directory(), ": seq ", seq, " is not published, the last one is ", published()));
  }
  absl::Status late;
  mutex_.Lock();
  const uint64_t put_offs = put_offs_;
  while (synced() < seq && error_.ok() && late.ok()) {
    if (put_offs_ != put_offs && !put_off_.ok()) {
      late = absl::UnavailableError(absl::StrCat(options_.layout.directory(), ": seq ", seq,
                                                 " is published, and not synced yet: ", put_off_.message(),
                                                 "; the next sync covers it"));
    } else if (!leading_) {
      Lead(deadline);
    } else if (deadline != absl::InfiniteFuture() && absl::Now() >= deadline) {
      late = absl::UnavailableError(
          absl::StrCat(options_.layout.directory(), ": seq ", seq, " is not synced in time, seq ", synced(), " is"));
    } else {
      const uint32_t syncs = syncs_;
      const uint32_t bit = Join(seq);
      mutex_.Unlock();
      PrivateFutexWait(&syncs_, syncs, bit, deadline);
      // Look without the lock, for which all that were woken would have to queue.
      if (synced() >= seq) return absl::OkStatus();
      mutex_.Lock();
    }
  }
  // Frames synced before an error stay synced.
  absl::Status status = synced() >= seq ? absl::OkStatus() : (late.ok() ? error_ : late);
  mutex_.Unlock();
  return status;
}

uint32_t GroupCommit::Join(Seq seq) {
  if (seq <= target_) return BitOf(group_);
  ++sleepers_;
  return BitOf(group_ + 1);
}

void GroupCommit::Gather() {
  const Seq enough = synced() + sleepers_ + std::exchange(released_, 0) + 1;
  const int64_t patience = std::min(sync_nanos_ / kPatience, kPatienceMaxNanos);
  mutex_.Unlock();
  const int64_t until = options_.clock->MonotonicNanos() + patience;
  while (published() < enough && options_.clock->MonotonicNanos() < until) std::this_thread::yield();
  mutex_.Lock();
}

absl::Status GroupCommit::SyncPatiently(std::vector<UnsyncedSegment>& segments, uint64_t end, Seq target,
                                        absl::Time deadline) {
  for (absl::Duration pause = kFirstPause;; pause *= 2) {
    absl::Status status = sync_.SyncAndMark(absl::MakeSpan(segments), end, target);
    const bool again = !status.ok() && (!SyncFailed(status) || Planted(PlantedBug::kRetryFailedSync));
    if (!again || pause > kLastPause || absl::Now() + pause > deadline) return status;
    absl::SleepFor(pause);
  }
}

void GroupCommit::TakeProgress(const std::vector<UnsyncedSegment>& segments) {
  // By now there may be further ones. Only the last one is written to. None was taken away: only a
  // leader does that, and there is one at a time.
  KB_CHECK(segments.size() <= segments_.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    KB_CHECK(segments_[i].number == segments[i].number);
    segments_[i].synced_end = segments[i].synced_end;
    segments_[i].named = segments[i].named;
    segments_[i].whole = segments[i].whole;
  }
  const auto unsynced = std::find_if(segments_.begin(), segments_.end(), [](const auto& each) { return !each.whole; });
  segments_.erase(segments_.begin(), unsynced);
}

void GroupCommit::Lead(absl::Time deadline) {
  KB_CHECK(!leading_);  // one sync at a time
  leading_ = true;
  if (released_ > 0) Gather();
  ++group_;
  const uint64_t sleepers = std::exchange(sleepers_, 0);
  const Seq target = AcquireWord(&published_);
  KB_CHECK(synced() <= target);  // synced <= published
  target_ = target;
  const uint64_t end = PeekWord(&published_end_);  // at least that of `target`; segments can't change meanwhile
  std::vector<UnsyncedSegment> segments = segments_;
  mutex_.Unlock();

  const int64_t begin = options_.clock->MonotonicNanos();
  const absl::Status status = SyncPatiently(segments, end, target, deadline);
  const int64_t nanos = options_.clock->MonotonicNanos() - begin;

  mutex_.Lock();
  leading_ = false;
  sync_nanos_ = nanos;
  released_ = sleepers;
  const uint64_t frames = target - synced();
  TakeProgress(segments);
  if (status.ok()) {
    PublishWord(&synced_, target);
    put_off_ = absl::OkStatus();
    if (options_.on_sync) options_.on_sync(target, frames, nanos);
  } else if (SyncFailed(status)) {
    error_ = status;
  } else {
    put_off_ = status;
    ++put_offs_;
  }
  ++syncs_;
  const absl::Status error = error_;
  const uint32_t done = BitOf(group_);
  const uint32_t next = BitOf(group_ + 1);
  mutex_.Unlock();
  // Wake the leader of the next sync first. If that caller is not asleep, it finds out by itself
  // that nobody leads.
  PrivateFutexWake(&syncs_, next, 1);
  PrivateFutexWake(&syncs_, status.ok() ? done : ~uint32_t{0});
  if (SyncFailed(error) && options_.on_error) options_.on_error(error);
  if (!status.ok() && !SyncFailed(status) && options_.on_put_off) options_.on_put_off(status);
  mutex_.Lock();
}

}  // namespace kekbit
