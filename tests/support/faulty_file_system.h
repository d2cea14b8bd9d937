// FaultyFileSystem passes every call on to another file system, but for one, which fails.
//
//   FaultyFileSystem fs;
//   for (uint64_t n = 1;; ++n) {
//     fs.FailCall(n, absl::ResourceExhaustedError("planted"));
//     Use(fs);
//     if (!fs.failed()) break;   // there are fewer than n calls: each was seen to fail
//   }
//
// Every method of FileSystem, File and MappedFile counts as a call. The failing call has no effect, as with the system.
// Thread safety: any thread, as the calls themselves. It outlives all that was opened by it.

#ifndef KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
#define KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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

  // The `n`-th call from now on (1: the next) fails with `error`; with `for_good`, so do all after it. 0: none.
  void FailCall(uint64_t n, absl::Status error, bool for_good = false);
  // Every call named `name` ("Allocate", "Sync", ...) fails with `error` from now on.
  void FailCalls(absl::string_view name, absl::Status error);
  // What FreeBytes says from now on, whatever is true.
  void SetFreeBytes(uint64_t bytes);
  // The same of TotalBytes.
  void SetTotalBytes(uint64_t bytes);
  // Runs `action` once, before the next call named `name`: what another process does just then. It may make calls.
  void BeforeCall(absl::string_view name, std::function<void()> action);
  // Nothing fails any more.
  void Heal() { FailCall(0, absl::OkStatus()); }

  // Whether a call has failed since FailCall().
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

  // Counts a call; its error if it is to fail.
  absl::Status Count(absl::string_view name);
  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::StatusOr<std::unique_ptr<File>> file);

  FileSystem& base_;
  mutable absl::Mutex mutex_;
  uint64_t fail_at_ ABSL_GUARDED_BY(mutex_) = 0;
  bool for_good_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<uint64_t> free_bytes_ ABSL_GUARDED_BY(mutex_);
  std::optional<uint64_t> total_bytes_ ABSL_GUARDED_BY(mutex_);
  std::string fail_name_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::string failed_call_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::string before_name_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> before_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
