#include "replication/group_commit.h"

#include <algorithm>
#include <semaphore>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/channel_format.h"
#include "kekbit/status_macros.h"
#include "replication/planted_bugs.h"

namespace kekbit {
namespace {

// Mappings are synced by whole pages.
constexpr uint64_t kPageBytes = 4096;

}  // namespace

// One a thread, and never destroyed before it: who wakes a waiter may touch it once more after it went on.
struct GroupCommit::Waiter {
  Seq seq = 0;
  std::binary_semaphore woken{0};

  bool AwaitUntil(absl::Time deadline) {
    if (deadline == absl::InfiniteFuture()) {
      woken.acquire();
      return true;
    }
    return woken.try_acquire_until(absl::ToChronoTime(deadline));
  }
};

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

absl::Status GroupCommit::WaitFor(Seq seq, absl::Time deadline) {
  if (synced() >= seq) return absl::OkStatus();
  static thread_local Waiter self;
  absl::MutexLock lock(&mutex_);
  if (seq > published()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.layout.directory(), ": seq ", seq, " is not published, the last one is ", published()));
  }
  while (synced() < seq && error_.ok()) {
    if (!leading_) {
      Lead();
      continue;
    }
    if (absl::Now() >= deadline) {
      return absl::UnavailableError(
          absl::StrCat(options_.layout.directory(), ": seq ", seq, " is not synced in time, seq ", synced(), " is"));
    }
    self.seq = seq;
    waiters_.push_back(&self);
    mutex_.Unlock();
    const bool woken = self.AwaitUntil(deadline);
    mutex_.Lock();
    if (!woken && std::erase(waiters_, &self) == 0) self.woken.acquire();  // it was being woken just then
  }
  // Frames synced before the error are.
  return synced() >= seq ? absl::OkStatus() : error_;
}

void GroupCommit::Lead() {
  leading_ = true;
  const Seq target = AcquireWord(&published_);
  const uint64_t end = PeekWord(&published_end_);  // at least that of `target`; segments can't change meanwhile
  std::vector<Segment> segments = segments_;
  mutex_.Unlock();

  if (Planted(PlantedBug::kMarkBeforeSync)) options_.mark->Advance(target);
  const int64_t begin = options_.clock->MonotonicNanos();
  SegmentNumber failed = 0;
  const absl::Status status = SyncSegments(segments, end, &failed);
  const int64_t nanos = options_.clock->MonotonicNanos() - begin;

  mutex_.Lock();
  leading_ = false;
  const uint64_t frames = target - synced();
  if (status.ok()) {
    PublishWord(&synced_, target);
    options_.mark->Advance(target);
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
  const std::vector<Waiter*> woken = TakeWoken();
  const absl::Status error = error_;
  mutex_.Unlock();
  for (Waiter* const waiter : woken) waiter->woken.release();
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
    // From the last word on: it was a WATERMARK, in whose place a length stands now, maybe as the last one of its page.
    const uint64_t from = (segment.synced_end - std::min(segment.synced_end, kLengthBytes)) / kPageBytes * kPageBytes;
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

std::vector<GroupCommit::Waiter*> GroupCommit::TakeWoken() {
  std::vector<Waiter*> woken;
  std::vector<Waiter*> rest;
  for (Waiter* const waiter : waiters_) {
    const bool done = waiter->seq <= synced() || !error_.ok();
    (done ? woken : rest).push_back(waiter);
  }
  if (!rest.empty()) {
    woken.insert(woken.begin(), rest.front());
    rest.erase(rest.begin());
  }
  waiters_ = std::move(rest);
  return woken;
}

}  // namespace kekbit
