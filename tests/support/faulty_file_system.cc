#include "tests/support/faulty_file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/errno_code.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// By name, what open(2), stat(2), fallocate(2), fstatfs(2), pread(2), pwrite(2), fcntl(2), link(2), mmap(2), mkdir(2),
// opendir(3), rename(2), unlink(2), statvfs(3) and madvise(2) list for a call that is right as such.
const std::map<absl::string_view, std::vector<int>>& Errnos() {
  static const auto* const errnos = new std::map<absl::string_view, std::vector<int>>{
      {"Open", {EMFILE, ENFILE, ENOMEM, EACCES, EINTR, EIO}},
      {"OpenOrCreate", {EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EACCES, EROFS, EINTR, EIO}},
      {"CreateUnnamed", {EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EACCES, EROFS, EINTR, EIO}},
      {"File::Info", {ENOMEM}},
      {"Info", {ENOMEM, EACCES, EIO}},
      {"Allocate", {ENOSPC, EDQUOT, EFBIG, EINTR, EIO}},
      {"CheckSupported", {ENOMEM, EINTR, EIO}},
      {"ReadAt", {EIO, EINTR}},
      {"WriteAt", {ENOSPC, EDQUOT, EFBIG, EPERM, EINTR, EIO}},
      {"TryLock", {ENOLCK, EINTR}},
      {"LockedByOther", {ENOLCK}},
      {"LinkTo", {ENOMEM, ENOSPC, EDQUOT, EACCES, EROFS, EIO}},
      {"Map", {ENOMEM, ENFILE, EAGAIN, EPERM}},
      {"CreateDirectories", {ENOMEM, ENOSPC, EDQUOT, EACCES, EROFS, EIO}},
      {"List", {EMFILE, ENFILE, ENOMEM, EACCES, EIO}},
      {"Rename", {ENOMEM, ENOSPC, EDQUOT, EACCES, EROFS, EIO}},
      {"Unlink", {ENOMEM, EACCES, EROFS, EIO}},
      {"SyncDirectory", {EMFILE, ENFILE, ENOMEM, EACCES, EINTR, EIO}},  // of its open()
      {"FreeBytes", {ENOMEM, EINTR, EIO}},
      {"Touch", {ENOMEM, EAGAIN, EIO}},
  };
  return *errnos;
}

absl::Status PlantedError(absl::string_view name, int error) {
  const bool unreadable = name == "ReadAt" && error == EIO;
  return absl::Status(unreadable ? absl::StatusCode::kDataLoss : CodeOfErrno(error),
                      absl::StrCat("planted in ", name, ": ", std::strerror(error)));
}

}  // namespace

class FaultyFileSystem::Token final {
 public:
  Token(FaultyFileSystem& fs, uint64_t FaultyFileSystem::*count) : fs_(fs), count_(count) {
    absl::MutexLock lock(&fs_.mutex_);
    ++(fs_.*count_);
  }
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;
  ~Token() {
    absl::MutexLock lock(&fs_.mutex_);
    --(fs_.*count_);
  }

 private:
  FaultyFileSystem& fs_;
  uint64_t FaultyFileSystem::*const count_;
};

class FaultyFileSystem::FaultyMapping final : public MappedFile {
 public:
  FaultyMapping(FaultyFileSystem& fs, std::unique_ptr<MappedFile> base)
      : MappedFile(base->data(), base->size()),
        fs_(fs),
        base_(std::move(base)),
        token_(fs, &FaultyFileSystem::mappings_) {}

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
  const Token token_;
};

class FaultyFileSystem::FaultyFile final : public File {
 public:
  FaultyFile(FaultyFileSystem& fs, std::unique_ptr<File> base)
      : File(base->path()), fs_(fs), base_(std::move(base)), token_(fs, &FaultyFileSystem::files_) {}

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
    {
      absl::MutexLock lock(&fs_.mutex_);
      if (fs_.mappings_ >= fs_.mappings_max_) {
        return absl::ResourceExhaustedError(absl::StrCat(path(), ": mmap: there are ", fs_.mappings_, " mappings"));
      }
    }
    KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, base_->Map(access, size));
    return std::make_unique<FaultyMapping>(fs_, std::move(mapping));
  }

 private:
  FaultyFileSystem& fs_;
  const std::unique_ptr<File> base_;
  const Token token_;
};

std::vector<absl::Status> FaultyFileSystem::ErrorsOf(absl::string_view name) {
  std::vector<absl::Status> errors;
  const auto errnos = Errnos().find(name);
  if (errnos == Errnos().end()) return errors;
  for (const int error : errnos->second) {
    absl::Status status = PlantedError(name, error);
    const auto same = [&](const absl::Status& other) { return other.code() == status.code(); };
    if (std::none_of(errors.begin(), errors.end(), same)) errors.push_back(std::move(status));
  }
  return errors;
}

bool FaultyFileSystem::IsSync(absl::string_view name) {
  return absl::EndsWith(name, "::Sync") || name == "SyncDirectory";
}

void FaultyFileSystem::FailCallAsItCan(uint64_t n, size_t k) {
  FailCall(n, absl::OkStatus());
  absl::MutexLock lock(&mutex_);
  fail_as_it_can_ = k;
}

void FaultyFileSystem::FailCallIfSync(uint64_t n) {
  FailCall(n, absl::AbortedError("planted: the sync failed"));
  absl::MutexLock lock(&mutex_);
  only_syncs_ = true;
}

void FaultyFileSystem::LimitFiles(uint64_t limit) {
  absl::MutexLock lock(&mutex_);
  files_max_ = limit;
}

void FaultyFileSystem::LimitMappings(uint64_t limit) {
  absl::MutexLock lock(&mutex_);
  mappings_max_ = limit;
}

absl::Status FaultyFileSystem::CheckFiles() const {
  absl::MutexLock lock(&mutex_);
  if (files_ < files_max_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("open: there are ", files_, " open files"));
}

bool EachFailure::Next() {
  Disarm();
  if (!planned_) return true;
  if (plan_.empty()) return false;
  std::tie(n_, k_) = plan_.back();
  plan_.pop_back();
  return true;
}

void EachFailure::Arm() {
  armed_ = true;
  if (!planned_) {
    fs_.FailCall(0, absl::OkStatus());
  } else if (kind_ == kNotMade) {
    fs_.FailCallAsItCan(n_, k_);
  } else {
    fs_.FailCallIfSync(n_);
  }
}

std::string EachFailure::Disarm() {
  if (!std::exchange(armed_, false)) return which_;
  if (!std::exchange(planned_, true)) {
    const std::vector<std::string> calls = fs_.calls();
    for (uint64_t n = calls.size(); n > 0; --n) {
      const std::string& name = calls[n - 1];
      const size_t errors =
          kind_ == kNotMade ? FaultyFileSystem::ErrorsOf(name).size() : FaultyFileSystem::IsSync(name);
      for (size_t k = errors; k-- > 0;) plan_.emplace_back(n, k);
    }
  }
  failed_ = fs_.failed();
  count_ += failed_;
  which_ = absl::StrCat("call ", n_, " (", fs_.failed_call(), "), error ", k_);
  fs_.Heal();
  return which_;
}

void FaultyFileSystem::FailCall(uint64_t n, absl::Status error, bool for_good) {
  absl::MutexLock lock(&mutex_);
  fail_at_ = n;
  for_good_ = for_good;
  error_ = std::move(error);
  fail_as_it_can_ = std::nullopt;
  only_syncs_ = false;
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
  if (!fails || (only_syncs_ && !IsSync(name))) return absl::OkStatus();
  if (fail_as_it_can_) {
    const std::vector<absl::Status> errors = ErrorsOf(name);
    if (*fail_as_it_can_ >= errors.size()) return absl::OkStatus();
    error_ = errors[*fail_as_it_can_];
  }
  if (failed_call_.empty()) failed_call_ = std::string(name);
  return error_;
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Wrap(absl::StatusOr<std::unique_ptr<File>> file) {
  if (!file.ok()) return file;
  return std::make_unique<FaultyFile>(*this, *std::move(file));
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Open(const std::string& path, Access access) {
  KB_RETURN_IF_ERROR(Count("Open"));
  KB_RETURN_IF_ERROR(CheckFiles());
  return Wrap(base_.Open(path, access));
}
absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::OpenOrCreate(const std::string& path) {
  KB_RETURN_IF_ERROR(Count("OpenOrCreate"));
  KB_RETURN_IF_ERROR(CheckFiles());
  return Wrap(base_.OpenOrCreate(path));
}
absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::CreateUnnamed(const std::string& directory,
                                                                      const std::string& path) {
  KB_RETURN_IF_ERROR(Count("CreateUnnamed"));
  KB_RETURN_IF_ERROR(CheckFiles());
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
  KB_RETURN_IF_ERROR(CheckFiles());
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
  KB_RETURN_IF_ERROR(CheckFiles());
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
