// WithoutFiles is a file system in which some files do not exist: a journal as it would be once
// they were moved.
//
// Thread safety: any thread, as the file system below. Only its reading calls are changed.

#ifndef KEKBIT_REPLICATION_RECOVERY_WITHOUT_FILES_H_
#define KEKBIT_REPLICATION_RECOVERY_WITHOUT_FILES_H_

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

class WithoutFiles final : public FileSystem {
 public:
  // `base` outlives this object.
  explicit WithoutFiles(FileSystem& base) : base_(base) {}

  // The path as it is asked for. What is below it is hidden, too.
  void Hide(const std::string& path) { hidden_.insert(path); }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, Access access) override;
  absl::StatusOr<FileInfo> Info(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override;

  absl::StatusOr<std::unique_ptr<File>> OpenOrCreate(const std::string& path) override {
    return base_.OpenOrCreate(path);
  }
  absl::StatusOr<std::unique_ptr<File>> CreateUnnamed(const std::string& directory, const std::string& path) override {
    return base_.CreateUnnamed(directory, path);
  }
  absl::Status CreateDirectories(const std::string& path) override { return base_.CreateDirectories(path); }
  absl::Status Rename(const std::string& from, const std::string& to) override { return base_.Rename(from, to); }
  absl::Status Unlink(const std::string& path) override { return base_.Unlink(path); }
  absl::Status SyncDirectory(const std::string& path) override { return base_.SyncDirectory(path); }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override { return base_.FreeBytes(path); }
  absl::StatusOr<uint64_t> TotalBytes(const std::string& path) override { return base_.TotalBytes(path); }

 private:
  bool IsHidden(const std::string& path) const;

  FileSystem& base_;
  std::set<std::string> hidden_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_WITHOUT_FILES_H_
