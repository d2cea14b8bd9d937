// FileSystem is the seam for every call to the operating system on files, so that tests can make
// any of them fail, tear or forget. The hot paths are stores into mapped memory and never come
// here.
//
// The real one is FileSystem::Posix(). Errors are absl::Status with the path, the operation and the
// system's reason: NotFound, AlreadyExists, ResourceExhausted (disk, quota, file size or
// descriptors at an end), PermissionDenied, FailedPrecondition (the file system can't do it),
// Unavailable (EINTR, EAGAIN, and an input/output error of anything but a read), and DataLoss for
// an input/output error of a read.
//
// Syncs are told apart from all else: Aborted is a sync that was made and failed. Then nobody can
// know which bytes or names are on stable storage, and a second sync may claim success: never try
// again. Any other error of a method that syncs is that of a call on the way there: nothing was
// lost, and the call may be tried again. See SyncFailed().
//
// Thread safety: FileSystem: any thread. File and MappedFile: one thread at a time unless a method
// says otherwise.

#ifndef KEKBIT_BASE_FILE_SYSTEM_H_
#define KEKBIT_BASE_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

enum class Access { kRead, kReadWrite };

// GroupAccess says which other users may use what a FileSystem makes: never others than its owner
// and its group.
enum class GroupAccess {
  kNone,       // files 0600, directories 0700
  kRead,       // files 0640, directories 0750: the group can read all, and hold a read lock
  kReadWrite,  // files 0660, directories 0770: the group can do what the owner can
};

struct FileInfo {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;  // bytes
  // Bytes that it takes on the device: fewer than `size` where it has holes.
  uint64_t allocated = 0;
  uint32_t mode = 0;        // permission bits; 0: not known
  int64_t modified_ns = 0;  // when its bytes were last changed, since the Unix epoch; 0: not known

  // Returns true if both describe the same file, whatever its name.
  bool SameFile(const FileInfo& other) const { return device == other.device && inode == other.inode; }
};

// Returns what the mode of a directory lets its group do.
inline GroupAccess GroupAccessOf(const FileInfo& directory) {
  if ((directory.mode & 020) != 0) return GroupAccess::kReadWrite;
  return (directory.mode & 040) != 0 ? GroupAccess::kRead : GroupAccess::kNone;
}

// A lock on a file, as the system describes it.
struct FileLock {
  bool exclusive = false;     // else a read lock
  bool of_open_file = false;  // as File::TryLock takes it; else of a process as a whole
  uint64_t pid = 0;           // of the process; 0: not told, as of each lock of an open file
};

// MappedFile is part of a file as memory, shared with every other process that maps the file.
// Unmapped by the destructor.
class MappedFile {
 public:
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  virtual ~MappedFile() = default;

  // Valid as long as this object. A store into a mapping opened for Access::kRead is a fault.
  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  Bytes bytes() const { return Bytes(data_, size_); }

  // Returns once the bytes [offset, offset + size) are on stable storage. Aborted: see above.
  // FailedPrecondition for a mapping for Access::kRead, of which the kernel would sync nothing, and
  // say that all is well. Any thread.
  virtual absl::Status Sync(uint64_t offset, uint64_t size) = 0;

  // Makes [offset, offset + size) ready to be stored to without a page fault; changes no byte. Any
  // thread.
  virtual absl::Status Touch(uint64_t offset, uint64_t size) = 0;

  // Has pages that are not in memory yet brought in one by one. Otherwise the page cache joins
  // neighbours into larger pieces, and a sync writes the whole of a piece for one store. Makes page
  // faults dearer. Best effort.
  virtual void KeepPagesApart() {}

 protected:
  MappedFile(uint8_t* data, uint64_t size) : data_(data), size_(size) {}

 private:
  uint8_t* const data_;
  const uint64_t size_;
};

// File is an open file. Closed by the destructor, which also releases its lock.
class File {
 public:
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;

  // Returns the path by which the file was opened; for messages.
  const std::string& path() const { return path_; }

  virtual absl::StatusOr<FileInfo> Info() = 0;

  // Makes the file `size` bytes long (never shorter) with space on the device reserved for all of
  // them. So no store into a mapping of the file can fail for want of space. FailedPrecondition
  // where the file system can't promise that.
  virtual absl::Status Allocate(uint64_t size) = 0;

  // Gives the space of whole pages inside [offset, offset + size) back. The file keeps its length,
  // and reads as zeros there. From then on nobody may store there by a mapping: on a full disk that
  // would be SIGBUS. FailedPrecondition where the file system can't do it, or where a mapping could
  // then not even be read on a full disk (tmpfs).
  virtual absl::Status PunchHole(uint64_t offset, uint64_t size);

  // FailedPrecondition if the file lies where a shared mapping or a lock can't hold what kekbit
  // promises. These are network and user-space file systems, and copy-on-write ones that need new
  // space for each store.
  virtual absl::Status CheckSupported() = 0;

  // Reads up to `to.size()` bytes, fewer only at the end of the file; returns how many. Any thread.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) = 0;
  // Writes all of `from`. Any thread.
  virtual absl::Status WriteAt(uint64_t offset, Bytes from) = 0;
  // Returns once all written data and what is needed to find it are on stable storage. Aborted: see
  // above. Any thread.
  virtual absl::Status Sync() = 0;
  // Drops the bytes [offset, offset + size) from memory, so that they are next read from the
  // device. After a failed sync, memory may hold what the device does not. Bytes that wait to be
  // written, or that somebody maps, stay. Any thread.
  virtual absl::Status DropCache(uint64_t offset, uint64_t size) = 0;

  // Takes the exclusive lock of the file, if no other open file has the lock. The lock belongs to
  // this object, and works between threads, processes and containers. The kernel releases it with
  // any death of the process; a child never has it. Needs kReadWrite.
  virtual absl::StatusOr<bool> TryLock() = 0;
  // Returns true if some other open file has the lock now.
  virtual absl::StatusOr<bool> LockedByOther() = 0;

  // A lock that keeps TryLock() from succeeding now; nullopt if there is none. Of several it is
  // any.
  virtual absl::StatusOr<std::optional<FileLock>> Blocker() {
    const absl::StatusOr<bool> locked = LockedByOther();
    if (!locked.ok()) return locked.status();
    if (!*locked) return std::nullopt;
    return FileLock{.exclusive = true, .of_open_file = true};
  }

  // Gives a file that was made by CreateUnnamed its name. AlreadyExists if something has that name.
  virtual absl::Status LinkTo(const std::string& path) = 0;

  // Maps the first `size` bytes, which the file must have. The mapping outlives the file object.
  virtual absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access access, uint64_t size) = 0;

 protected:
  explicit File(std::string path) : path_(std::move(path)) {}

 private:
  const std::string path_;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The file system of the machine. Lives as long as the process. What it makes is for its user
  // alone, unless told otherwise, and whatever the umask says. What is there already keeps its
  // mode.
  static FileSystem& Posix(GroupAccess group = GroupAccess::kNone);

  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, Access access) = 0;
  // Opens for Access::kReadWrite; makes an empty file if there is none.
  virtual absl::StatusOr<std::unique_ptr<File>> OpenOrCreate(const std::string& path) = 0;
  // Makes a file without a name in `directory`: the file is gone if the process dies before
  // File::LinkTo. `path` is for messages: the name that the file shall get, say.
  virtual absl::StatusOr<std::unique_ptr<File>> CreateUnnamed(const std::string& directory,
                                                              const std::string& path) = 0;

  virtual absl::StatusOr<FileInfo> Info(const std::string& path) = 0;
  // Makes the directory and those above; OK if it exists.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Returns the names in the directory, without "." and "..", sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& directory) = 0;
  // Puts `from` in the place of `to`, if that exists, in one step.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Unlink(const std::string& path) = 0;
  // Returns once the names in the directory are on stable storage. Aborted: see above; other
  // errors: the directory could not be opened, say for want of descriptors.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Returns how many bytes the file system of `path`, which exists, has left for this user.
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& path) = 0;
  // How many bytes the file system of `path`, which exists, has in all; 0: it does not say.
  virtual absl::StatusOr<uint64_t> TotalBytes(const std::string& /*path*/) { return 0; }
};

// Returns true if a method that syncs made its sync, and the sync failed: see above.
inline bool SyncFailed(const absl::Status& status) { return absl::IsAborted(status); }

// Returns true if a call could not be made this time, and may be later: room on the disk,
// descriptors, memory, a lock or a right may come. Such an error says nothing of the call's
// subject.
inline bool IsTransient(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status) || absl::IsPermissionDenied(status);
}

// Returns the directory part of a path ("." if it has none).
std::string DirectoryOf(absl::string_view path);
// Returns `directory` and `name` joined by one slash.
std::string JoinPath(absl::string_view directory, absl::string_view name);

}  // namespace kekbit

#endif  // KEKBIT_BASE_FILE_SYSTEM_H_
