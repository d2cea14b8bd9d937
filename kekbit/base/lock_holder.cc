#include "kekbit/base/lock_holder.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// Callers that wait for a lock ask again and again. Processes that still hold it are named again for
// so long; that nobody was seen is believed for less.
constexpr int64_t kAnswerLastsNs = 1'000'000'000;
constexpr int64_t kNobodyLastsNs = 50'000'000;

struct LastAnswer {
  absl::Mutex mutex;
  FileInfo file ABSL_GUARDED_BY(mutex);
  int64_t at_ns ABSL_GUARDED_BY(mutex) = -kAnswerLastsNs;
  std::vector<uint64_t> pids ABSL_GUARDED_BY(mutex);
};

// Empty if it can't be read.
std::string TextOf(FileSystem& fs, const std::string& path) {
  const auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return {};
  uint8_t bytes[4096];
  const absl::StatusOr<size_t> size = (*file)->ReadAt(0, MutableBytes(bytes, sizeof bytes));
  return size.ok() ? std::string(AsText(Bytes(bytes, *size))) : std::string();
}

// Whether one of the process's descriptors holds a lock on that file.
bool HoldsLock(FileSystem& fs, uint64_t pid, const FileInfo& file) {
  const std::string process = absl::StrCat("/proc/", pid);
  const absl::StatusOr<std::vector<std::string>> descriptors = fs.List(process + "/fdinfo");
  if (!descriptors.ok()) return false;
  return std::any_of(descriptors->begin(), descriptors->end(), [&](const std::string& descriptor) {
    // A lock's line, but not a flock()'s, which keeps nobody from locks like kekbit's.
    const std::string text = TextOf(fs, absl::StrCat(process, "/fdinfo/", descriptor));
    if (!absl::StrContains(text, "OFDLCK") && !absl::StrContains(text, "POSIX")) return false;
    const absl::StatusOr<FileInfo> info = fs.Info(absl::StrCat(process, "/fd/", descriptor));
    return info.ok() && info->SameFile(file);
  });
}

std::vector<uint64_t> Look(FileSystem& fs, const FileInfo& file) {
  std::vector<uint64_t> pids;
  const absl::StatusOr<std::vector<std::string>> names = fs.List("/proc");
  if (!names.ok()) return pids;
  for (const std::string& name : *names) {
    uint64_t pid = 0;
    if (absl::SimpleAtoi(name, &pid) && HoldsLock(fs, pid, file)) pids.push_back(pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

// "process 4711 (cat)".
std::string ProcessText(FileSystem& fs, const std::vector<uint64_t>& pids) {
  if (pids.empty()) return "a process that can't be seen from here";
  return absl::StrCat(pids.size() == 1 ? "process " : "processes ",
                      absl::StrJoin(pids, ", ", [&fs](std::string* text, uint64_t pid) {
                        const std::string name = TextOf(fs, absl::StrCat("/proc/", pid, "/comm"));
                        absl::StrAppend(text, pid, " (", absl::StripSuffix(name, "\n"), ")");
                      }));
}

std::vector<uint64_t> HoldersOf(FileSystem& fs, File& file, const FileLock& lock) {
  return lock.pid != 0 ? std::vector<uint64_t>{lock.pid} : LockHolders(fs, file);
}

}  // namespace

std::vector<uint64_t> LockHolders(FileSystem& fs, File& file) {
  static LastAnswer& last = *new LastAnswer;
  const absl::StatusOr<FileInfo> info = file.Info();
  if (!info.ok()) return {};
  const absl::MutexLock lock(&last.mutex);
  const int64_t now = Clock::System().MonotonicNanos();
  const bool still =
      last.file.SameFile(*info) && now - last.at_ns < (last.pids.empty() ? kNobodyLastsNs : kAnswerLastsNs) &&
      std::all_of(last.pids.begin(), last.pids.end(), [&](uint64_t pid) { return HoldsLock(fs, pid, *info); });
  if (!still) {
    last.pids = Look(fs, *info);
    last.file = *info;
    last.at_ns = now;
  }
  return last.pids;
}

std::string LockText(FileSystem& fs, File& file, const FileLock& lock) {
  return absl::StrCat(lock.exclusive ? "a write lock of " : "a read lock of ",
                      ProcessText(fs, HoldersOf(fs, file, lock)));
}

absl::Status LockedError(FileSystem& fs, File& file, absl::string_view holder) {
  const absl::StatusOr<std::optional<FileLock>> lock = file.Blocker();
  const bool known = lock.ok() && lock->has_value();
  if (known && IsForeign(**lock)) {
    return absl::FailedPreconditionError(absl::StrCat(file.path(), ": ", LockText(fs, file, **lock),
                                                      ", which is none of kekbit's, is in the way: end that process"));
  }
  const std::vector<uint64_t> pids = known ? HoldersOf(fs, file, **lock) : std::vector<uint64_t>();
  return absl::FailedPreconditionError(absl::StrCat(file.path(), ": ", holder, " holds the lock",
                                                    pids.empty() ? "" : absl::StrCat(": ", ProcessText(fs, pids))));
}

absl::Status LockFromWriters(FileSystem& fs, File& file, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const bool locked, LockNamedFile(fs, file, path));
  if (locked) return absl::OkStatus();
  KB_ASSIGN_OR_RETURN(const std::optional<FileLock> lock, file.Blocker());
  if (!lock || lock->exclusive) return LockedError(fs, file, "a living writer");
  KB_ASSIGN_OR_RETURN(const bool named, LeadsTo(fs, path, file));
  return named ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(path, ": leads to another file by now"));
}

}  // namespace kekbit
