#include "tests/support/faulty_file_system.h"

#include <utility>

#include "kekbit/base/status_macros.h"

namespace kekbit {

class FaultyFileSystem::FaultyMapping final : public MappedFile {
 public:
  FaultyMapping(FaultyFileSystem& fs, std::unique_ptr<MappedFile> base)
      : MappedFile(base->data(), base->size()), fs_(fs), base_(std::move(base)) {}

  absl::Status Sync(uint64_t offset, uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("MappedFile::Sync"));
    return base_->Sync(offset, size);
  }
  absl::Status Touch(uint64_t offset, uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("Touch"));
    return base_->Touch(offset, size);
  }
  void KeepPagesApart() override { base_->KeepPagesApart(); }

 private:
  FaultyFileSystem& fs_;
  const std::unique_ptr<MappedFile> base_;
};

class FaultyFileSystem::FaultyFile final : public File {
 public:
  FaultyFile(FaultyFileSystem& fs, std::unique_ptr<File> base) : File(base->path()), fs_(fs), base_(std::move(base)) {}

  absl::StatusOr<FileInfo> Info() override {
    KB_RETURN_IF_ERROR(fs_.Count("File::Info"));
    return base_->Info();
  }
  absl::Status Allocate(uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("Allocate"));
    return base_->Allocate(size);
  }
  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("PunchHole"));
    return base_->PunchHole(offset, size);
  }
  absl::Status CheckSupported() override {
    KB_RETURN_IF_ERROR(fs_.Count("CheckSupported"));
    return base_->CheckSupported();
  }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) override {
    KB_RETURN_IF_ERROR(fs_.Count("ReadAt"));
    return base_->ReadAt(offset, to);
  }
  absl::Status WriteAt(uint64_t offset, Bytes from) override {
    KB_RETURN_IF_ERROR(fs_.Count("WriteAt"));
    return base_->WriteAt(offset, from);
  }
  absl::Status Sync() override {
    KB_RETURN_IF_ERROR(fs_.Count("File::Sync"));
    return base_->Sync();
  }
  absl::Status DropCache(uint64_t offset, uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("DropCache"));
    return base_->DropCache(offset, size);
  }
  absl::StatusOr<bool> TryLock() override {
    KB_RETURN_IF_ERROR(fs_.Count("TryLock"));
    return base_->TryLock();
  }
  absl::StatusOr<bool> LockedByOther() override {
    KB_RETURN_IF_ERROR(fs_.Count("LockedByOther"));
    return base_->LockedByOther();
  }
  absl::StatusOr<std::optional<FileLock>> Blocker() override {
    KB_RETURN_IF_ERROR(fs_.Count("Blocker"));
    return base_->Blocker();
  }
  absl::Status LinkTo(const std::string& path) override {
    KB_RETURN_IF_ERROR(fs_.Count("LinkTo"));
    return base_->LinkTo(path);
  }
  absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access access, uint64_t size) override {
    KB_RETURN_IF_ERROR(fs_.Count("Map"));
    KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, base_->Map(access, size));
    return std::make_unique<FaultyMapping>(fs_, std::move(mapping));
  }

 private:
  FaultyFileSystem& fs_;
  const std::unique_ptr<File> base_;
};

void FaultyFileSystem::FailCall(uint64_t n, absl::Status error, bool for_good) {
  absl::MutexLock lock(&mutex_);
  fail_at_ = n;
  for_good_ = for_good;
  error_ = std::move(error);
  fail_name_.clear();
  failed_call_.clear();
  calls_.clear();
}

void FaultyFileSystem::FailCalls(absl::string_view name, absl::Status error) {
  FailCall(0, std::move(error));
  absl::MutexLock lock(&mutex_);
  fail_name_ = std::string(name);
}

void FaultyFileSystem::BeforeCall(absl::string_view name, std::function<void()> action) {
  absl::MutexLock lock(&mutex_);
  before_name_ = std::string(name);
  before_ = std::move(action);
}

bool FaultyFileSystem::failed() const {
  absl::MutexLock lock(&mutex_);
  return !failed_call_.empty();
}

std::string FaultyFileSystem::failed_call() const {
  absl::MutexLock lock(&mutex_);
  return failed_call_;
}

std::vector<std::string> FaultyFileSystem::calls() const {
  absl::MutexLock lock(&mutex_);
  return calls_;
}

absl::Status FaultyFileSystem::Count(absl::string_view name) {
  std::function<void()> before;
  {
    absl::MutexLock lock(&mutex_);
    if (name == before_name_) before = std::exchange(before_, nullptr);
  }
  if (before) before();
  absl::MutexLock lock(&mutex_);
  calls_.emplace_back(name);
  const uint64_t n = calls_.size();
  const bool fails = (n == fail_at_) || (for_good_ && fail_at_ != 0 && n > fail_at_) || name == fail_name_;
  if (!fails) return absl::OkStatus();
  if (failed_call_.empty()) failed_call_ = std::string(name);
  return error_;
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Wrap(absl::StatusOr<std::unique_ptr<File>> file) {
  if (!file.ok()) return file;
  return std::make_unique<FaultyFile>(*this, *std::move(file));
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Open(const std::string& path, Access access) {
  KB_RETURN_IF_ERROR(Count("Open"));
  return Wrap(base_.Open(path, access));
}
absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::OpenOrCreate(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("OpenOrCreate"));
  return Wrap(base_.OpenOrCreate(path));
}
absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::CreateUnnamed(const std::string& directory,
                                                                      const std::string& path) {
  KB_RETURN_IF_ERROR(Count("CreateUnnamed"));
  return Wrap(base_.CreateUnnamed(directory, path));
}
absl::StatusOr<FileInfo> FaultyFileSystem::Info(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("Info"));
  return base_.Info(path);
}
absl::Status FaultyFileSystem::CreateDirectories(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("CreateDirectories"));
  return base_.CreateDirectories(path);
}
absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(const std::string& directory) {
  KB_RETURN_IF_ERROR(Count("List"));
  return base_.List(directory);
}
absl::Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  KB_RETURN_IF_ERROR(Count("Rename"));
  return base_.Rename(from, to);
}
absl::Status FaultyFileSystem::Unlink(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("Unlink"));
  return base_.Unlink(path);
}
absl::Status FaultyFileSystem::SyncDirectory(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("SyncDirectory"));
  return base_.SyncDirectory(path);
}

void FaultyFileSystem::SetFreeBytes(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  free_bytes_ = bytes;
}

void FaultyFileSystem::SetTotalBytes(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  total_bytes_ = bytes;
}

absl::StatusOr<uint64_t> FaultyFileSystem::FreeBytes(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("FreeBytes"));
  {
    absl::MutexLock lock(&mutex_);
    if (free_bytes_) return *free_bytes_;
  }
  return base_.FreeBytes(path);
}

absl::StatusOr<uint64_t> FaultyFileSystem::TotalBytes(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("TotalBytes"));
  {
    absl::MutexLock lock(&mutex_);
    if (total_bytes_) return *total_bytes_;
  }
  return base_.TotalBytes(path);
}

}  // namespace kekbit
