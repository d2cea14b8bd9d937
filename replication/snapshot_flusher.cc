#include "replication/snapshot_flusher.h"

#include <system_error>

#include "absl/strings/str_cat.h"
#include "kekbit/status_macros.h"

namespace kekbit {
namespace {

// How far behind what is synced a chunk has to end to be read back before the file is whole: a page, or a larger piece
// of the page cache, that is still being written to stays in memory, and reading that would prove nothing.
constexpr uint64_t kTailBytes = uint64_t{4} << 20;

absl::Status Cancelled(absl::string_view path) {
  return absl::CancelledError(absl::StrCat(path, ": the snapshot was cancelled"));
}

}  // namespace

SnapshotFlusher::SnapshotFlusher(File& file, bool own_thread) : file_(file) {
  if (!own_thread) return;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    // No thread to be had: the writer's does it.
  }
}

SnapshotFlusher::~SnapshotFlusher() {
  Cancel();
  StopThread();
}

void SnapshotFlusher::StopThread() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void SnapshotFlusher::Cancel() {
  absl::MutexLock lock(&mutex_);  // wakes who waits for a condition
  cancelled_ = true;
}

absl::Status SnapshotFlusher::Written(uint64_t end) {
  if (!thread_.joinable()) {
    if (cancelled_) return Cancelled(file_.path());
    {
      absl::MutexLock lock(&mutex_);
      if (end - synced_ < kStepBytes) return absl::OkStatus();
      synced_ = end;
    }
    return Step(end, /*whole=*/false);
  }
  absl::MutexLock lock(&mutex_);
  written_ = end;
  const auto may_go_on = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return cancelled_ || !status_.ok() || written_ - synced_ <= kAheadBytesMax;
  };
  mutex_.Await(absl::Condition(&may_go_on));
  return cancelled_ ? Cancelled(file_.path()) : status_;
}

absl::Status SnapshotFlusher::Finish(uint64_t end, const SnapshotHeader& header) {
  StopThread();
  {
    absl::MutexLock lock(&mutex_);
    KB_RETURN_IF_ERROR(status_);
  }
  KB_RETURN_IF_ERROR(Step(end, /*whole=*/true));
  if (!(scan_->header() == header)) {
    return absl::DataLossError(absl::StrCat(file_.path(), ": damaged at offset 0: the header is not the one written"));
  }
  return absl::OkStatus();
}

void SnapshotFlusher::Run() {
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || cancelled_ || written_ - synced_ >= kStepBytes;
  };
  while (true) {
    uint64_t end = 0;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (stopping_ || cancelled_) return;
      end = written_;
    }
    const absl::Status status = Step(end, /*whole=*/false);
    absl::MutexLock lock(&mutex_);
    synced_ = end;
    status_ = status;
    if (!status.ok()) return;
  }
}

absl::Status SnapshotFlusher::Step(uint64_t end, bool whole) {
  if (cancelled_) return Cancelled(file_.path());
  KB_RETURN_IF_ERROR(file_.Sync());
  const uint64_t from = verified_;
  KB_RETURN_IF_ERROR(file_.DropCache(from, end - from));
  KB_RETURN_IF_ERROR(ReadBack(end, whole));
  // Nobody will read it soon: the memory is better used for other things.
  return file_.DropCache(from, verified_ - from);
}

absl::Status SnapshotFlusher::ReadBack(uint64_t end, bool whole) {
  if (!scan_) {
    KB_ASSIGN_OR_RETURN(scan_, SnapshotScan::OpenUnfinished(file_));
  }
  while (whole || scan_->next_end_max() + kTailBytes <= end) {
    if (cancelled_) return Cancelled(file_.path());
    KB_ASSIGN_OR_RETURN(const std::optional<SnapshotScan::Chunk> chunk, scan_->Next());
    verified_ = scan_->offset();
    if (!chunk) {
      verified_ = end;
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace kekbit
