#include "kekbit/replication/core/archive_copier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/retention/reader_cursor.h"

namespace kekbit {
namespace {

// How long a primary leaves copying to others.
constexpr absl::Duration kPrimaryPatience = absl::Seconds(3);

// How often a follower that copies nothing looks whether it can.
constexpr absl::Duration kLookEvery = absl::Milliseconds(250);

// Pauses after failures: from the first on twice as long each time, up to the longest.
constexpr absl::Duration kFirstPause = absl::Milliseconds(500);
constexpr absl::Duration kLongestPause = absl::Seconds(10);

// The same error is logged again after so long.
constexpr absl::Duration kTellEvery = absl::Minutes(5);

}  // namespace

absl::Status ArchiveCopier::Start() {
  KB_ASSIGN_OR_RETURN(thread_, StartThread([this] { Run(); }));
  return absl::OkStatus();
}

void ArchiveCopier::Join() {
  if (thread_.joinable()) thread_.join();
}

Role ArchiveCopier::role() const {
  absl::MutexLock lock(&mutex_);
  return standing_.board.role();
}

void ArchiveCopier::Run() {
  while (!env_.stopping && role() != Role::kStopped) {
    CopyDue();
    const absl::Duration left = absl::Nanoseconds(due_ns_ - env_.MonotonicNanos());
    env_.archive_event.Wait(std::max(left, absl::Milliseconds(1)));
  }
  // What came since the last look, if the store answers.
  if (archiver_ != nullptr && pause_ == absl::ZeroDuration()) archiver_->Step().status().IgnoreError();
}

void ArchiveCopier::CopyDue() {
  if (env_.options.archive.store == nullptr) return;
  const int64_t now_ns = env_.MonotonicNanos();
  if (now_ns < due_ns_) return;
  const Role now = role();
  if (now == Role::kStopped) return;
  due_ns_ = now_ns + absl::ToInt64Nanoseconds(std::min(env_.options.archive.interval, kLookEvery));
  absl::Status status = archiver_ == nullptr ? TakeReader(now) : absl::OkStatus();
  if (status.ok() && archiver_ != nullptr) {
    due_ns_ = now_ns + absl::ToInt64Nanoseconds(env_.options.archive.interval);
    status = Copy(now);
  }
  if (status.ok()) {
    Succeeded();
  } else {
    Failed(status, now_ns);
  }
}

absl::StatusOr<bool> ArchiveCopier::IsOwned(absl::string_view reader) const {
  KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(env_.fs(), env_.layout));
  return std::any_of(cursors.begin(), cursors.end(),
                     [&](const CursorView& view) { return view.name == reader && view.owned; });
}

absl::Status ArchiveCopier::TakeReader(Role role) {
  ArchiverOptions options;
  options.compressed = env_.options.archive.compressed;
  options.clock = env_.options.clock;
  options.own_threads = env_.options.threads;
  options.retention = {.snapshots = env_.options.archive.keep_snapshots,
                       .age_ns = absl::ToInt64Nanoseconds(env_.options.archive.keep_for)};
  KB_ASSIGN_OR_RETURN(const bool owned, IsOwned(options.reader));
  if (owned) {
    free_since_ns_ = 0;
    return role == Role::kFollower ? AskForReader() : absl::OkStatus();
  }
  const int64_t now_ns = env_.MonotonicNanos();
  if (role == Role::kPrimary) {
    if (free_since_ns_ == 0) free_since_ns_ = now_ns;
    if (now_ns - free_since_ns_ < absl::ToInt64Nanoseconds(kPrimaryPatience)) return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Archiver>> archiver =
      Archiver::Open(env_.fs(), env_.layout, *env_.options.archive.store, options);
  if (absl::IsNotFound(archiver.status())) return absl::OkStatus();  // there is no segment yet
  if (!archiver.ok()) {
    // A follower that can't copy must not keep the primary from it.
    asking_.reset();
    KB_ASSIGN_OR_RETURN(const bool faster, IsOwned(options.reader));
    return faster ? absl::OkStatus() : archiver.status();
  }
  archiver_ = *std::move(archiver);
  asking_.reset();
  return absl::OkStatus();
}

absl::Status ArchiveCopier::AskForReader() {
  if (asking_ != nullptr) return absl::OkStatus();
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, env_.fs().OpenOrCreate(NextPath()));
  KB_ASSIGN_OR_RETURN(const bool locked, file->TryLock());
  if (locked) asking_ = std::move(file);
  return absl::OkStatus();
}

absl::StatusOr<bool> ArchiveCopier::IsAskedFor() const {
  const absl::StatusOr<std::unique_ptr<File>> file = env_.fs().Open(NextPath(), Access::kReadWrite);
  if (absl::IsNotFound(file.status())) return false;
  KB_RETURN_IF_ERROR(file.status());
  return (*file)->LockedByOther();
}

absl::Status ArchiveCopier::Copy(Role role) {
  if (role == Role::kPrimary) {
    KB_ASSIGN_OR_RETURN(const bool asked, IsAskedFor());
    if (asked) {
      archiver_.reset();
      free_since_ns_ = 0;
      return absl::OkStatus();
    }
  }
  while (!env_.stopping) {
    KB_ASSIGN_OR_RETURN(const ArchiveProgress progress, archiver_->Step());
    if (progress.gap_before) {
      env_.Say(LogSeverity::kWarning,
               absl::StrCat("the archive has a gap: the journal no longer had the frames before seq ",
                            *progress.gap_before));
    }
    if (!progress.more) break;
  }
  return absl::OkStatus();
}

void ArchiveCopier::Failed(const absl::Status& status, int64_t now_ns) {
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  due_ns_ = now_ns + absl::ToInt64Nanoseconds(pause_);
  std::string text = status.ToString();
  if (text == told_ && now_ns - told_ns_ < absl::ToInt64Nanoseconds(kTellEvery)) return;
  env_.LogError(status, "the journal was not archived, it is tried again");
  told_ = std::move(text);
  told_ns_ = now_ns;
}

void ArchiveCopier::Succeeded() {
  if (!told_.empty() && archiver_ != nullptr) {
    env_.Say(LogSeverity::kInfo, "the journal is archived again");
    told_.clear();
  }
  pause_ = absl::ZeroDuration();
}

}  // namespace kekbit
