// The FileSystem of the machine: system calls, one a method, with their errors made into absl::Status.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/errno_code.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/file_system_types.h"
#include "kekbit/base/fork_guard.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/base/posix_calls.h"
#include "kekbit/base/posix_mapped_file.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// What stands at the end of the path, where a file or a directory was wanted; nullptr: no such
// thing, or it is that.
const char* WrongKind(const std::string& path, bool wants_directory) {
  struct stat stat;
  if (::stat(path.c_str(), &stat) != 0) {
    const int error = errno;
    struct stat link;
    if (::lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return nullptr;
    if (error == ENOENT || error == ENOTDIR) return "a link that leads nowhere";
    return error == ELOOP ? "a link that leads to itself" : nullptr;
  }
  if (S_ISREG(stat.st_mode)) return wants_directory ? "a file" : nullptr;
  if (S_ISDIR(stat.st_mode)) return wants_directory ? nullptr : "a directory";
  if (S_ISFIFO(stat.st_mode)) return "a pipe";
  return S_ISSOCK(stat.st_mode) ? "a socket" : "a device";
}

// FailedPrecondition if something of a wrong kind stands at the path; otherwise what the system
// said.
absl::Status OpenError(int error, absl::string_view operation, const std::string& path, bool wants_directory) {
  const char* const kind = WrongKind(path, wants_directory);
  if (kind == nullptr) return ErrorOf(error, operation, path);
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": is ", kind, ", not a ", wants_directory ? "directory" : "file"));
}

// Bytes that the device has, and does not give, are damaged.
absl::Status ReadError(int error, absl::string_view path) {
  absl::Status status = ErrorOf(error, "pread", path);
  return error == EIO ? absl::DataLossError(status.message()) : status;
}

// The unit of st_blocks, whatever the file system's own is.
constexpr uint64_t kStatBlockBytes = 512;

FileInfo InfoOf(const struct stat& stat) {
  return {.device = stat.st_dev,
          .inode = stat.st_ino,
          .size = static_cast<uint64_t>(stat.st_size),
          .allocated = static_cast<uint64_t>(stat.st_blocks) * kStatBlockBytes,
          .mode = static_cast<uint32_t>(stat.st_mode & 07777),
          .modified_ns = stat.st_mtim.tv_sec * 1'000'000'000 + stat.st_mtim.tv_nsec};
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, Access access, std::string path) : File(std::move(path)), fd_(fd), access_(access) {}
  ~PosixFile() override {
    if (locked_) UnguardFromFork(fd_);
    // In a child the lock is the parent's, and the descriptor may lead elsewhere.
    if (locked_ && !mark_.in_child()) {
      // Not left to close(): a mapping that outlives this object keeps the open file, and its lock with it.
      struct flock lock = WholeFile(F_UNLCK);
      ::fcntl(fd_, F_OFD_SETLK, &lock);
    }
    ::close(fd_);
  }

  absl::StatusOr<FileInfo> Info() override {
    struct stat stat;
    if (::fstat(fd_, &stat) != 0) return ErrorOf(errno, "fstat", path());
    return InfoOf(stat);
  }

  // Not posix_fallocate: where the file system can't reserve space, that one writes zeros instead and calls it done.
  absl::Status Allocate(uint64_t size) override {
    KB_RETURN_IF_ERROR(CheckSizeLimit(size));
    if (Uninterrupted([&] { return ::fallocate(fd_, 0, 0, static_cast<off_t>(size)); }) != 0) {
      return ErrorOf(errno, absl::StrCat("reserving ", size, " bytes"), path());
    }
    return absl::OkStatus();
  }

  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    struct statfs fs;
    if (::fstatfs(fd_, &fs) != 0) return ErrorOf(errno, "fstatfs", path());
    KB_RETURN_IF_ERROR(CheckHolesCanBeRead(static_cast<uint32_t>(fs.f_type), path()));
    const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t begin = (offset + page_bytes - 1) / page_bytes * page_bytes;
    const uint64_t end = (offset + size) / page_bytes * page_bytes;
    if (begin >= end) return absl::OkStatus();
    const auto punch = [&] {
      return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                         static_cast<off_t>(end - begin));
    };
    if (Uninterrupted(punch) != 0) return ErrorOf(errno, "fallocate(FALLOC_FL_PUNCH_HOLE)", path());
    return absl::OkStatus();
  }

  absl::Status CheckSupported() override {
    struct statfs fs;
    if (::fstatfs(fd_, &fs) != 0) return ErrorOf(errno, "fstatfs", path());
    return CheckFileSystemType(fd_, static_cast<uint32_t>(fs.f_type), path());
  }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) override {
    size_t done = 0;
    while (done < to.size()) {
      const ssize_t n = Uninterrupted(
          [&] { return ::pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done)); });
      if (n < 0) return ReadError(errno, path());
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::Status WriteAt(uint64_t offset, Bytes from) override {
    KB_RETURN_IF_ERROR(CheckSizeLimit(offset + from.size()));
    size_t done = 0;
    while (done < from.size()) {
      const ssize_t n = Uninterrupted(
          [&] { return ::pwrite(fd_, from.data() + done, from.size() - done, static_cast<off_t>(offset + done)); });
      if (n < 0) return ErrorOf(errno, "pwrite", path());
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (::fdatasync(fd_) != 0) return SyncErrorOf(errno, "fdatasync", path());
    return absl::OkStatus();
  }

  absl::Status DropCache(uint64_t offset, uint64_t size) override {
    const int error = ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
    return error == 0 ? absl::OkStatus() : ErrorOf(error, "posix_fadvise", path());
  }

  absl::StatusOr<bool> TryLock() override {
    struct flock lock = WholeFile(F_WRLCK);
    if (::fcntl(fd_, F_OFD_SETLK, &lock) == 0) {
      if (!std::exchange(locked_, true)) GuardFromFork(fd_);
      return true;
    }
    if (errno == EAGAIN || errno == EACCES) return false;
    return ErrorOf(errno, "fcntl(F_OFD_SETLK)", path());
  }

  absl::StatusOr<bool> LockedByOther() override {
    struct flock lock = WholeFile(F_RDLCK);
    if (::fcntl(fd_, F_OFD_GETLK, &lock) != 0) return ErrorOf(errno, "fcntl(F_OFD_GETLK)", path());
    return lock.l_type != F_UNLCK;
  }

  absl::StatusOr<std::optional<FileLock>> Blocker() override {
    struct flock lock = WholeFile(F_WRLCK);
    if (::fcntl(fd_, F_OFD_GETLK, &lock) != 0) return ErrorOf(errno, "fcntl(F_OFD_GETLK)", path());
    if (lock.l_type == F_UNLCK) return std::nullopt;
    // 0 of a process in another pid namespace.
    return FileLock{.exclusive = lock.l_type == F_WRLCK,
                    .of_open_file = lock.l_pid < 0,
                    .pid = static_cast<uint64_t>(std::max(lock.l_pid, 0))};
  }

  absl::Status LinkTo(const std::string& path) override {
    const std::string self = absl::StrCat("/proc/self/fd/", fd_);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      const int error = errno;
      if (error == ENOENT && ::access(self.c_str(), F_OK) != 0) {
        return absl::FailedPreconditionError(
            absl::StrCat("linkat: ", path, ": there is no ", self, ": is /proc mounted?"));
      }
      return ErrorOf(error, "linkat", path);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access access, uint64_t size) override {
    const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
    void* const data = ::mmap(nullptr, size, protection, MAP_SHARED, fd_, 0);
    if (data == MAP_FAILED) return ErrorOf(errno, absl::StrCat("mmap of ", size, " bytes"), path());
    // A forked child that lives on must not keep a mapping into which it could write, nor one that keeps a lock alive.
    // What can do neither, it may go on reading.
    const bool in_children = access == Access::kRead && access_ == Access::kRead;
    if (!in_children) ::madvise(data, size, MADV_DONTFORK);
    return std::make_unique<PosixMappedFile>(data, size, access, in_children, path());
  }

 private:
  // Looked at first: beyond the limit of the process, the system sends a signal that ends it.
  absl::Status CheckSizeLimit(uint64_t size) const {
    rlimit limit;
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || size <= limit.rlim_cur) return absl::OkStatus();
    return ErrorOf(EFBIG, absl::StrCat("growing to ", size, " bytes"), path());
  }

  static struct flock WholeFile(short type) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
  }

  const int fd_;
  const Access access_;  // that the descriptor allows
  const ForkMark mark_;
  bool locked_ = false;
};

class PosixFileSystem final : public FileSystem {
 public:
  explicit PosixFileSystem(GroupAccess group) : group_(group) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, Access access) override {
    return OpenFd(path, path, access == Access::kRead ? O_RDONLY : O_RDWR);
  }

  absl::StatusOr<std::unique_ptr<File>> OpenOrCreate(const std::string& path) override {
    if (group_ == GroupAccess::kNone) return OpenFd(path, path, O_RDWR | O_CREAT);
    // Named with the mode that it keeps: the next one who opens it may be another user of the group.
    absl::StatusOr<std::unique_ptr<File>> file = Open(path, Access::kReadWrite);
    if (!absl::IsNotFound(file.status())) return file;
    file = CreateUnnamed(DirectoryOf(path), path);
    if (file.ok() && (*file)->LinkTo(path).ok()) return file;
    return OpenFd(path, path, O_RDWR | O_CREAT);
  }

  absl::StatusOr<std::unique_ptr<File>> CreateUnnamed(const std::string& directory, const std::string& path) override {
    auto file = OpenFd(directory, path, O_RDWR | O_TMPFILE);
    const bool unsupported = absl::IsFailedPrecondition(file.status()) && WrongKind(directory, true) == nullptr;
    if (!unsupported) return file;
    return absl::FailedPreconditionError(
        absl::StrCat(file.status().message(),
                     "; a file without a name (O_TMPFILE) is wanted there: use a local ext4, xfs or tmpfs"));
  }

  absl::StatusOr<FileInfo> Info(const std::string& path) override {
    struct stat stat;
    if (::stat(path.c_str(), &stat) != 0) return ErrorOf(errno, "stat", path);
    return InfoOf(stat);
  }

  absl::Status CreateDirectories(const std::string& path) override {
    if (::mkdir(path.c_str(), DirectoryMode(group_)) == 0) return AddDirectoryMode(path);
    const int error = errno;
    struct stat stat;
    if (error == EEXIST && ::stat(path.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode)) return absl::OkStatus();
    if (error == EEXIST) return ErrorOf(error, "mkdir: it is no directory", path);
    if (error != ENOENT) return ErrorOf(error, "mkdir", path);
    KB_RETURN_IF_ERROR(CreateDirectories(DirectoryOf(path)));
    if (::mkdir(path.c_str(), DirectoryMode(group_)) == 0) return AddDirectoryMode(path);
    return errno == EEXIST ? absl::OkStatus() : ErrorOf(errno, "mkdir", path);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
    if (stream == nullptr) return OpenError(errno, "opendir", directory, /*wants_directory=*/true);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
      const absl::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) return ErrorOf(errno, "readdir", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrorOf(errno, absl::StrCat("rename to ", to), from);
    return absl::OkStatus();
  }

  absl::Status Unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrorOf(errno, "unlink", path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = Uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return ErrorOf(errno, "open", path);
    const int result = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    if (result != 0) return SyncErrorOf(error, "fsync", path);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs fs;
    if (::statvfs(path.c_str(), &fs) != 0) return ErrorOf(errno, "statvfs", path);
    return static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  }

  absl::StatusOr<uint64_t> TotalBytes(const std::string& path) override {
    struct statvfs fs;
    if (::statvfs(path.c_str(), &fs) != 0) return ErrorOf(errno, "statvfs", path);
    return static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize;
  }

 private:
  // Of a directory that was just made.
  absl::Status AddDirectoryMode(const std::string& path) const {
    if (group_ == GroupAccess::kNone) return absl::OkStatus();
    const int fd = Uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
    if (fd < 0) return ErrorOf(errno, "open", path);
    absl::Status added = AddMode(fd, DirectoryMode(group_), path);
    ::close(fd);
    return added;
  }

  absl::StatusOr<std::unique_ptr<File>> OpenFd(const std::string& opened, const std::string& path, int flags) const {
    // O_NONBLOCK: opening a pipe must not wait for its other end before it is refused.
    int fd = Uninterrupted([&] { return ::open(opened.c_str(), flags | O_CLOEXEC | O_NONBLOCK, FileMode(group_)); });
    if (fd < 0) return OpenError(errno, "open", opened, /*wants_directory=*/(flags & O_TMPFILE) == O_TMPFILE);
    // A process that was started with its standard output closed must not print into a journal.
    if (fd <= STDERR_FILENO) {
      const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      const int error = errno;
      ::close(fd);
      if (higher < 0) return ErrorOf(error, "fcntl(F_DUPFD_CLOEXEC)", opened);
      fd = higher;
    }
    const Access access = (flags & O_ACCMODE) == O_RDONLY ? Access::kRead : Access::kReadWrite;
    auto file = std::make_unique<PosixFile>(fd, access, path);
    struct stat stat;
    if (::fstat(fd, &stat) != 0) return ErrorOf(errno, "fstat", path);
    if (!S_ISREG(stat.st_mode)) return OpenError(EINVAL, "open", opened, /*wants_directory=*/false);
    if ((flags & O_TMPFILE) == O_TMPFILE && group_ != GroupAccess::kNone) {
      KB_RETURN_IF_ERROR(AddMode(fd, FileMode(group_), path));
    }
    return file;
  }

  const GroupAccess group_;
};

}  // namespace

FileSystem& FileSystem::Posix(GroupAccess group) {
  static PosixFileSystem file_systems[] = {PosixFileSystem(GroupAccess::kNone), PosixFileSystem(GroupAccess::kRead),
                                           PosixFileSystem(GroupAccess::kReadWrite)};
  return file_systems[static_cast<size_t>(group)];
}

absl::Status File::PunchHole(uint64_t /*offset*/, uint64_t /*size*/) {
  return absl::FailedPreconditionError(absl::StrCat(path_, ": there can be no holes in such a file"));
}

std::string DirectoryOf(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(directory, !directory.empty() && directory.back() == '/' ? "" : "/", name);
}

}  // namespace kekbit
