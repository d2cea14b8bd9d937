#include "replication/segment_preparer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/start_thread.h"

namespace kekbit {

SegmentPreparer::SegmentPreparer(FileSystem& fs, const std::string& directory, uint32_t capacity, uint64_t touch_bytes)
    : fs_(fs), directory_(directory), capacity_(capacity), touch_bytes_(touch_bytes) {
  if (absl::StatusOr<std::thread> thread = StartThread([this] { Run(); }); thread.ok()) thread_ = *std::move(thread);
}

SegmentPreparer::~SegmentPreparer() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SegmentPreparer::Prepare() {
  absl::MutexLock lock(&mutex_);
  wanted_ = true;
}

std::optional<PreparedChannelFile> SegmentPreparer::Take() {
  absl::MutexLock lock(&mutex_);
  wanted_ = false;
  return std::exchange(ready_, std::nullopt);
}

void SegmentPreparer::Retire(ShmWriter closed) {
  if (!thread_.joinable()) return;
  absl::MutexLock lock(&mutex_);
  retired_.push_back(std::move(closed));
}

void SegmentPreparer::Run() {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    mutex_.Await(absl::Condition(this, &SegmentPreparer::HasWork));
    if (stopping_) return;
    const bool prepare = wanted_ && !ready_;
    std::vector<ShmWriter> retired = std::exchange(retired_, {});
    mutex_.Unlock();
    absl::StatusOr<PreparedChannelFile> prepared = absl::UnavailableError("not wanted");
    if (prepare) {
      prepared = PrepareChannelFile(fs_, JoinPath(directory_, "the next segment"), capacity_);
      if (prepared.ok()) prepared->mapping->Touch(0, std::min(touch_bytes_, prepared->mapping->size())).IgnoreError();
    }
    retired.clear();
    mutex_.Lock();
    // A failure is the writer's to meet. It is not tried again until somebody asks anew.
    if (prepared.ok() && wanted_) ready_ = *std::move(prepared);
    if (prepare) wanted_ = false;
  }
}

}  // namespace kekbit
