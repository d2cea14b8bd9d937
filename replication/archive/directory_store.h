// DirectoryStore keeps objects as files of a directory: on another disk, or a mounted share.
//
//   DirectoryStore store(FileSystem::Posix(), "/mnt/backup/ledger");
//
// An object is a file, which gets its name once all its bytes are synced; then the directory is
// synced. Files without a name hold what is being written. A share whose file system has no such
// files holds that under a name that begins with a dot; after a crash such a file stays, is no
// object, and can be deleted. Files with names that no object has are passed over.
//
// Thread safety: any thread; any number of processes, and of hosts if the share's file system links
// files in one step, as NFS does.

#ifndef KEKBIT_REPLICATION_ARCHIVE_DIRECTORY_STORE_H_
#define KEKBIT_REPLICATION_ARCHIVE_DIRECTORY_STORE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

class DirectoryStore final : public ObjectStore {
 public:
  // `fs` outlives the store. The directory is made by the first put.
  DirectoryStore(FileSystem& fs, absl::string_view directory) : fs_(fs), directory_(directory) {}

  using ObjectStore::Put;

  const std::string& location() const override { return directory_; }
  absl::Status Put(absl::string_view name, ObjectSource& source) override;
  absl::Status PutIfAbsent(absl::string_view name, Bytes bytes) override;
  absl::StatusOr<size_t> Get(absl::string_view name, uint64_t offset, MutableBytes to) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::Status Delete(absl::string_view name) override;

 private:
  std::string PathOf(absl::string_view name) const { return JoinPath(directory_, name); }

  // What to do with an object of that name.
  enum class Existing { kReplace, kKeep };

  // Makes the directory, with the names on the way to it on stable storage.
  absl::Status MakeDirectory(const std::string& directory);
  std::string TemporaryBeside(const std::string& path);
  absl::Status PutFile(absl::string_view name, ObjectSource& source, Existing existing);
  FileSystem& fs_;
  const std::string directory_;
  absl::Mutex mutex_;
  absl::flat_hash_set<std::string> made_ ABSL_GUARDED_BY(mutex_);  // directories whose names are synced
  std::atomic<uint64_t> temporaries_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_DIRECTORY_STORE_H_
