#include "kekbit/replication/journal/group_commit.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/futex.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Mappings are synced by whole pages.
constexpr uint64_t kPageBytes = 4096;

// How long a leader waits for callers to come back: a part of the time of a sync, since each that comes saves that
// time, and never longer than a slow disk's would be. (The last sync may have waited for an error of the disk, or in a
// process that was stopped.)
constexpr int64_t kPatience = 4;
constexpr int64_t kPatienceMaxNanos = 2'000'000;

// The first byte to sync of a file that is synced up to `end`: from the last word on, which was a WATERMARK, in whose
// place a length stands now, maybe as the last one of its page.
uint64_t FirstUnsynced(uint64_t end) { return (end - std::min(end, kLengthBytes)) / kPageBytes * kPageBytes; }

// By which those who wait for one sync are woken, and not those who wait for the next.
uint32_t BitOf(uint32_t group) { return uint32_t{1} << (group % 32); }

}  // namespace

GroupCommit::GroupCommit(Options options)
    : options_(std::move(options)), published_(options_.synced), synced_(options_.synced) {}

void GroupCommit::AddSegment(SegmentNumber number, const std::string& path, std::shared_ptr<MappedFile> mapping) {
  absl::MutexLock lock(&mutex_);
  PrepareWord(&published_end_, 0);
  options_.mark->Made(number);
  segments_.push_back({.number = number, .path = path, .mapping = std::move(mapping)});
}

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
  while (synced() < seq && error_.ok() && late.ok()) {
    if (!leading_) {
      Lead();
    } else if (deadline != absl::InfiniteFuture() && absl::Now() >= deadline) {
      late = absl::UnavailableError(
          absl::StrCat(options_.layout.directory(), ": seq ", seq, " is not synced in time, seq ", synced(), " is"));
    } else {
      const uint32_t syncs = syncs_;
      const uint32_t bit = Join(seq);
      mutex_.Unlock();
      PrivateFutexWait(&syncs_, syncs, bit, deadline);
      // Without the lock, for which all that were woken would have to queue.
      if (synced() >= seq) return absl::OkStatus();
      mutex_.Lock();
    }
  }
  // Frames synced before an error are.
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

void GroupCommit::Lead() {
  leading_ = true;
  if (released_ > 0) Gather();
  ++group_;
  const uint64_t sleepers = std::exchange(sleepers_, 0);
  const Seq target = AcquireWord(&published_);
  target_ = target;
  const uint64_t end = PeekWord(&published_end_);  // at least that of `target`; segments can't change meanwhile
  std::vector<Segment> segments = segments_;
  mutex_.Unlock();

  if (Planted(PlantedBug::kMarkBeforeSync)) options_.mark->Advance(target);
  if (!segments.empty()) options_.mark->Begin(segments.front().number, FirstUnsynced(segments.front().synced_end));
  const int64_t begin = options_.clock->MonotonicNanos();
  SegmentNumber failed = 0;
  const absl::Status status = SyncSegments(segments, end, &failed);
  const int64_t nanos = options_.clock->MonotonicNanos() - begin;

  mutex_.Lock();
  leading_ = false;
  sync_nanos_ = nanos;
  released_ = sleepers;
  const uint64_t frames = target - synced();
  if (status.ok()) {
    PublishWord(&synced_, target);
    options_.mark->Advance(target);
    options_.mark->End();
    if (options_.on_sync) options_.on_sync(target, frames, nanos);
    // Only the last one is written to any more. By now there may be further ones.
    for (size_t i = 0; i < segments.size(); ++i) segments_[i].synced_end = segments[i].synced_end;
    if (segments.size() > 1) {
      segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(segments.size() - 1));
    }
  } else if (!Planted(PlantedBug::kRetryFailedSync)) {
    options_.mark->Poison(failed);
    error_ = absl::AbortedError(absl::StrCat(status.message(), ": a sync failed; whether what was written after seq ",
                                             synced(), " lasts is unknown"));
  }
  ++syncs_;
  const absl::Status error = error_;
  const uint32_t done = BitOf(group_);
  const uint32_t next = BitOf(group_ + 1);
  mutex_.Unlock();
  // Who shall lead the next one, first. If it is not asleep, it finds out by itself that nobody leads.
  PrivateFutexWake(&syncs_, next, 1);
  PrivateFutexWake(&syncs_, error.ok() ? done : ~uint32_t{0});
  if (!error.ok() && options_.on_error) options_.on_error(error);
  mutex_.Lock();
}

absl::Status GroupCommit::SyncSegments(std::vector<Segment>& segments, uint64_t end, SegmentNumber* failed) const {
  if (Planted(PlantedBug::kAckBeforeSync)) return absl::OkStatus();
  for (Segment& segment : segments) {
    const bool last = &segment == &segments.back();
    if (Planted(PlantedBug::kNewestSegmentFirst) && !last) continue;
    const uint64_t to = last ? end : segment.mapping->size();
    *failed = segment.number;
    const uint64_t from = FirstUnsynced(segment.synced_end);
    if (to > from) KB_RETURN_IF_ERROR(segment.mapping->Sync(from, to - from));
    if (segment.synced_end == 0) KB_RETURN_IF_ERROR(SyncNames(segment.path));
    segment.synced_end = std::max(segment.synced_end, to);
  }
  return absl::OkStatus();
}

absl::Status GroupCommit::SyncNames(const std::string& path) const {
  if (Planted(PlantedBug::kNamesNotSynced)) return absl::OkStatus();
  KB_RETURN_IF_ERROR(options_.file_system->SyncDirectory(DirectoryOf(path)));
  // Once a reign: the directories above, which the first segment may have been the first to need.
  if (synced() != options_.synced) return absl::OkStatus();
  KB_RETURN_IF_ERROR(options_.file_system->SyncDirectory(options_.layout.segments()));
  KB_RETURN_IF_ERROR(options_.file_system->SyncDirectory(options_.layout.directory()));
  const absl::Status above = options_.file_system->SyncDirectory(DirectoryOf(options_.layout.directory()));
  // Who made the directory for a service that may not read around it has synced it, one hopes.
  return absl::IsPermissionDenied(above) ? absl::OkStatus() : above;
}

}  // namespace kekbit
