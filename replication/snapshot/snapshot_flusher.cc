#include "kekbit/replication/snapshot/snapshot_flusher.h"

#include <system_error>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// Distance to the end of what is synced within which a chunk is not read back before the file is
// whole. A page, or a larger piece of the page cache, that is still being written to stays in
// memory, and reading that would prove nothing.
constexpr uint64_t kTailBytes = uint64_t{4} << 20;

absl::Status Cancelled(absl::string_view path) {
  return absl::CancelledError(absl::StrCat(path, ": the snapshot was cancelled"));
}

}  // namespace

SnapshotFlusher::SnapshotFlusher(File& file, bool own_threads) : file_(file) {
  if (own_threads) StartThreads();
}

SnapshotFlusher::~SnapshotFlusher() {
  Cancel();
  StopThreads();
}

void SnapshotFlusher::StartThreads() {
  try {
    syncing_ = std::thread([this] { RunSync(); });
    checking_ = std::thread([this] { RunCheck(); });
  } catch (const std::system_error&) {
    // Without a thread the writer does the work.
  }
}

void SnapshotFlusher::StopThreads() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (syncing_.joinable()) syncing_.join();
  if (checking_.joinable()) checking_.join();
}

void SnapshotFlusher::Cancel() {
  absl::MutexLock lock(&mutex_);  // wakes who waits for a condition
  cancelled_ = true;
}

absl::Status SnapshotFlusher::status() const {
  if (cancelled_) return Cancelled(file_.path());
  absl::MutexLock lock(&mutex_);
  return status_;
}

absl::Status SnapshotFlusher::Written(uint64_t end) {
  if (!syncing_.joinable()) {
    if (cancelled_) return Cancelled(file_.path());
    {
      absl::MutexLock lock(&mutex_);
      if (end - synced_ < kStepBytes) return absl::OkStatus();
      synced_ = end;
    }
    KB_RETURN_IF_ERROR(file_.Sync());
    return Check(end, /*whole=*/false);
  }
  const auto may_go_on = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return cancelled_ || !status_.ok() || written_ - synced_ <= kAheadBytesMax;
  };
  {
    absl::MutexLock lock(&mutex_);
    KB_CHECK(written_ <= end && synced_ <= end);
    written_ = end;
    mutex_.Await(absl::Condition(&may_go_on));
  }
  return status();
}

absl::Status SnapshotFlusher::Finish(uint64_t end, const SnapshotHeader& header) {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (syncing_.joinable()) syncing_.join();
  KB_RETURN_IF_ERROR(status());
  KB_RETURN_IF_ERROR(file_.Sync());
  if (checking_.joinable()) {
    {
      absl::MutexLock lock(&mutex_);
      synced_ = end;
      whole_ = true;
    }
    checking_.join();
    KB_RETURN_IF_ERROR(status());
  } else {
    KB_RETURN_IF_ERROR(Check(end, /*whole=*/true));
  }
  KB_CHECK(scan_.has_value());
  if (!(scan_->header() == header)) {
    return absl::DataLossError(absl::StrCat(file_.path(), ": damaged at offset 0: the header is not the one written"));
  }
  return absl::OkStatus();
}

void SnapshotFlusher::RunSync() {
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || cancelled_ || !status_.ok() || written_ - synced_ >= kStepBytes;
  };
  while (true) {
    uint64_t end = 0;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (stopping_ || cancelled_ || !status_.ok()) return;
      end = written_;
    }
    const absl::Status synced = file_.Sync();
    absl::MutexLock lock(&mutex_);
    status_.Update(synced);
    if (synced.ok()) synced_ = end;
  }
}

void SnapshotFlusher::RunCheck() {
  uint64_t checked = 0;
  const auto has_work = [this, &checked]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return whole_ || cancelled_ || !status_.ok() || synced_ > checked;
  };
  while (true) {
    bool whole = false;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (cancelled_ || !status_.ok()) return;
      checked = synced_;
      whole = whole_;
    }
    const absl::Status good = Check(checked, whole);
    if (good.ok() && !whole) continue;
    absl::MutexLock lock(&mutex_);
    status_.Update(good);
    return;
  }
}

absl::Status SnapshotFlusher::Check(uint64_t end, bool whole) {
  if (cancelled_) return Cancelled(file_.path());
  const uint64_t from = verified_;
  KB_CHECK(from <= end);  // nothing is read back before it is synced
  KB_RETURN_IF_ERROR(file_.DropCache(from, end - from));
  KB_RETURN_IF_ERROR(ReadBack(end, whole));
  // Drop the pages: nobody will read them soon, and the memory is better used for other things.
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
