// FaultyFileSystem passes every call on to another file system, but for one, which fails, or those
// beyond a limit.
//
//   FaultyFileSystem fs;
//   for (uint64_t n = 1;; ++n) {
//     fs.FailCall(n, absl::ResourceExhaustedError("planted"));
//     Use(fs);
//     if (!fs.failed()) break;   // there are fewer than n calls: each was seen to fail
//   }
//
// Or with every error that each call can give:
//
//   for (EachFailure failure(fs, EachFailure::kNotMade); failure.Next();) {
//     failure.Arm();   // calls are counted from here on
//     Use(fs);
//     failure.Disarm();
//   }
//
// Every method of FileSystem, File and MappedFile counts as a call. The failing call has no effect,
// as with the system.
// Thread safety: any thread, as the calls themselves. It outlives all that was opened by it.

#ifndef KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
#define KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

class FaultyFileSystem final : public FileSystem {
 public:
  // `base` outlives it.
  explicit FaultyFileSystem(FileSystem& base = FileSystem::Posix()) : base_(base) {}

  // The `n`-th call from now on (1: the next) fails with `error`; with `for_good`, so do all after
  // it. 0: none.
  void FailCall(uint64_t n, absl::Status error, bool for_good = false);
  // The `n`-th call from now on fails with the `k`-th (0: the first) of ErrorsOf() its name, if
  // there are so many.
  void FailCallAsItCan(uint64_t n, size_t k);
  // The `n`-th call from now on fails as a sync that was made and failed, if it is one.
  void FailCallIfSync(uint64_t n);
  // What a call of that name can fail with, by its manual pages, as the FileSystem of the machine
  // says it: one error of each code. Not those that tell of a wrong argument or of a file that is
  // not there, and not that of a failed sync.
  static std::vector<absl::Status> ErrorsOf(absl::string_view name);
  // Whether a call of that name syncs.
  static bool IsSync(absl::string_view name);

  // From now on as under `ulimit -n` and vm.max_map_count: not more than so many open files, and
  // mapped files, at once. What is open or mapped already counts.
  void LimitFiles(uint64_t limit);
  void LimitMappings(uint64_t limit);

  // Every call named `name` ("Allocate", "Sync", ...) fails with `error` from now on.
  void FailCalls(absl::string_view name, absl::Status error);
  // Sets what FreeBytes says from now on, whatever is true.
  void SetFreeBytes(uint64_t bytes);
  // The same of TotalBytes.
  void SetTotalBytes(uint64_t bytes);
  // Runs `action` once, before the next call named `name`: what another process does just then. It
  // may make calls.
  void BeforeCall(absl::string_view name, std::function<void()> action);
  // Nothing fails any more.
  void Heal() { FailCall(0, absl::OkStatus()); }

  // Returns true if a call has failed since FailCall().
  bool failed() const;
  // Its name, and the names of all calls since FailCall().
  std::string failed_call() const;
  std::vector<std::string> calls() const;

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, Access access) override;
  absl::StatusOr<std::unique_ptr<File>> OpenOrCreate(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<File>> CreateUnnamed(const std::string& directory, const std::string& path) override;
  absl::StatusOr<FileInfo> Info(const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Unlink(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override;
  absl::StatusOr<uint64_t> TotalBytes(const std::string& path) override;

 private:
  class FaultyFile;
  class FaultyMapping;
  // One open or mapped file; returned when it is destroyed.
  class Token;

  // Counts a call; its error if it is to fail.
  absl::Status Count(absl::string_view name);
  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::StatusOr<std::unique_ptr<File>> file);
  absl::Status CheckFiles() const;

  FileSystem& base_;
  mutable absl::Mutex mutex_;
  uint64_t fail_at_ ABSL_GUARDED_BY(mutex_) = 0;
  bool for_good_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<size_t> fail_as_it_can_ ABSL_GUARDED_BY(mutex_);
  bool only_syncs_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t files_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t mappings_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t files_max_ ABSL_GUARDED_BY(mutex_) = std::numeric_limits<uint64_t>::max();
  uint64_t mappings_max_ ABSL_GUARDED_BY(mutex_) = std::numeric_limits<uint64_t>::max();
  std::optional<uint64_t> free_bytes_ ABSL_GUARDED_BY(mutex_);
  std::optional<uint64_t> total_bytes_ ABSL_GUARDED_BY(mutex_);
  std::string fail_name_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::string failed_call_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::string before_name_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> before_ ABSL_GUARDED_BY(mutex_);
};

// Goes through every call that is made between an Arm() and its Disarm() when none fails, as the
// first time, and every error that it can give. What is done in between must be the same each time.
class EachFailure final {
 public:
  // Calls that could not be made; or syncs that were made, and failed.
  enum Kind { kNotMade, kFailedSyncs };

  EachFailure(FaultyFileSystem& fs, Kind kind) : fs_(fs), kind_(kind) {}
  EachFailure(const EachFailure&) = delete;
  EachFailure& operator=(const EachFailure&) = delete;

  // Chooses the next failure; false when there is none left. Nothing fails until Arm(), which must
  // be called.
  bool Next();
  void Arm();
  // Heals, unless it has already; returns which call has failed, or would have, for messages.
  std::string Disarm();
  // Whether it came about; after Disarm().
  bool failed() const { return failed_; }
  // How many failures came about.
  uint64_t count() const { return count_; }

 private:
  FaultyFileSystem& fs_;
  const Kind kind_;
  bool planned_ = false;
  std::vector<std::pair<uint64_t, size_t>> plan_;  // calls, and which of their errors; the last one comes first
  uint64_t n_ = 0;                                 // 0: none fails
  size_t k_ = 0;
  bool armed_ = false;
  bool failed_ = false;
  std::string which_;
  uint64_t count_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
