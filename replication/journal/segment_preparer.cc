#include "kekbit/replication/journal/segment_preparer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/check.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// Bytes of one step: other syncs of the same disk come in between.
constexpr uint64_t kStepBytes = 1u << 20;

}  // namespace

SegmentPreparer::SegmentPreparer(FileSystem& fs, const std::string& directory, uint64_t touch_bytes, bool synced)
    : fs_(fs), directory_(directory), touch_bytes_(touch_bytes), synced_(synced) {
  if (absl::StatusOr<std::thread> thread = StartThread([this] { Run(); }); thread.ok()) thread_ = *std::move(thread);
}

SegmentPreparer::~SegmentPreparer() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SegmentPreparer::Prepare(uint32_t capacity) {
  KB_CHECK(capacity != 0);  // 0 stands for no wish
  absl::MutexLock lock(&mutex_);
  wanted_ = capacity;
}

std::optional<PreparedChannelFile> SegmentPreparer::Take(uint32_t capacity) {
  absl::MutexLock lock(&mutex_);
  // Take back the wish, but not a segment that is being made: a journal that has just begun will
  // need it next time.
  wanted_ = 0;
  if (!ready_ || ready_->capacity != capacity) return std::nullopt;
  return std::exchange(ready_, std::nullopt);
}

void SegmentPreparer::Retire(ShmWriter closed) {
  if (!thread_.joinable()) return;
  absl::MutexLock lock(&mutex_);
  retired_.push_back(std::move(closed));
}

absl::StatusOr<PreparedChannelFile> SegmentPreparer::Make(uint32_t capacity) {
  KB_ASSIGN_OR_RETURN(PreparedChannelFile prepared,
                      PrepareChannelFile(fs_, JoinPath(directory_, "the next segment"), capacity,
                                         synced_ ? Pages::kApart : Pages::kJoined));
  MappedFile& mapping = *prepared.mapping;
  const uint64_t end = synced_ ? mapping.size() : std::min(touch_bytes_, mapping.size());
  while (prepared.touched_bytes < end) {
    const uint64_t step = std::min(kStepBytes, end - prepared.touched_bytes);
    // An old kernel, or too little memory: the writer takes the page faults.
    if (!mapping.Touch(prepared.touched_bytes, step).ok()) break;
    // After an error nobody knows what the file holds: throw the segment away.
    if (synced_) KB_RETURN_IF_ERROR(mapping.Sync(prepared.touched_bytes, step));
    if (stopping()) return absl::CancelledError("");
    prepared.touched_bytes += step;
  }
  KB_CHECK(prepared.touched_bytes <= mapping.size());
  return prepared;
}

void SegmentPreparer::Run() {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    mutex_.Await(absl::Condition(this, &SegmentPreparer::HasWork));
    if (stopping_) return;
    // From here on the segment is made, even if the wish is taken back.
    const uint32_t capacity = IsWanted() ? wanted_ : 0;
    wanted_ = 0;
    // A ready segment of another capacity is not needed.
    std::optional<PreparedChannelFile> unneeded;
    if (capacity != 0) unneeded = std::exchange(ready_, std::nullopt);
    std::vector<ShmWriter> retired = std::exchange(retired_, {});
    mutex_.Unlock();
    absl::StatusOr<PreparedChannelFile> prepared = absl::UnavailableError("not wanted");
    unneeded.reset();
    if (capacity != 0) prepared = Make(capacity);
    retired.clear();
    mutex_.Lock();
    // The writer will meet a failure itself. No further try is made until somebody asks anew.
    if (prepared.ok()) ready_ = *std::move(prepared);
  }
}

}  // namespace kekbit
