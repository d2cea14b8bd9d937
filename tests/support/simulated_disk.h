// SimulatedDisk: a FileSystem in memory that knows what a power failure could leave of it.
//
//   SimulatedDisk disk;
//   disk.SetHook([&](absl::string_view tag) {             // wherever the power could fail
//     CrashImages images(disk, random, {});
//     while (auto after = images.Next()) Recover(*after);  // see crash_images.h
//   });
//   Use(disk);
//
// Mappings are plain memory, one for all who map a file. What is stored there reaches the device
// when the kernel likes: each unit by itself, with any content that it had since the last sync. A
// file's length is old or new until a sync of the file. Names come and go on the device each by
// itself, until the directory is synced; a rename is whole or not at all. A sync that fails leaves
// the pages clean: memory keeps the new bytes, the device may have the old ones, and no later sync
// tries again. Whoever has the file open since before is told of the error by its next sync, once;
// whoever opens it afterwards is not. That is what Linux does.
//
// Stores can't be seen by a file system: contents are collected at each call that changes
// something, before its effect, and at CrashPoint(). What words were stored in between is taken in
// several orders (see SimulatedInode).
//
// Thread safety: one thread at a time, but for MappedFile::Touch. It outlives all that was opened
// by it.

#ifndef KEKBIT_TESTS_SUPPORT_SIMULATED_DISK_H_
#define KEKBIT_TESTS_SUPPORT_SIMULATED_DISK_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "tests/support/simulated_inode.h"

namespace kekbit {

struct SimulatedDiskOptions {
  // Bytes that the device writes whole or not at all: 4096 or 512.
  uint64_t unit_bytes = 4096;
  // Bytes of all files together. Beyond: ResourceExhausted.
  uint64_t capacity = std::numeric_limits<uint64_t>::max();
  // Whether contents between two observations are made up, with some words changed and some not.
  bool torn = true;
  // Syncs succeed and do nothing.
  bool lying = false;
  // The name of a directory whose files nobody relies on: a power failure leaves none of them, and
  // they don't count in ContentHash().
  std::string scratch = {};
};

class SimulatedDisk final : public FileSystem {
 public:
  using Hook = std::function<void(absl::string_view tag)>;

  explicit SimulatedDisk(const SimulatedDiskOptions& options = {});
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  // Called before each call takes effect that changes a file or a name, or syncs; and by
  // CrashPoint(). `tag` says which, and in which part of the journal: "Sync segments". It looks at
  // the disk, and changes nothing.
  void SetHook(Hook hook) { hook_ = std::move(hook); }
  void CrashPoint(absl::string_view tag);

  // The `n`-th sync from now on (1: the next), of a file, a mapping or a directory, fails. 0: none.
  void FailSync(uint64_t n, uint64_t seed = 1);
  // Returns true if that sync has failed.
  bool failed() const { return failed_; }
  uint64_t syncs() const { return syncs_; }
  void SetCapacity(uint64_t capacity) { options_.capacity = capacity; }

  // Bytes of all files that somebody can reach; what SetCapacity() counts.
  uint64_t UsedBytes();

  // The system needs memory: what it takes for written, of files that nobody maps, is read anew from
  // the device.
  void DropCleanPages();

  // A process dies: from Freeze() on nothing that is stored into mappings has an effect, so that
  // its objects can be destroyed. Thaw() takes it all back. Between the two, nobody else uses the
  // disk.
  void Freeze();
  void Thaw();

  // Returns what another process finds if all that had files open here die now: everything in
  // memory, no locks. What was not synced still isn't.
  std::unique_ptr<SimulatedDisk> AfterDeath();

  // Returns a hash of all names and bytes that a process can read now. Two disks with the same hash
  // are the same to everybody, until the power fails.
  uint64_t ContentHash();

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
  friend class CrashImages;
  struct OpenFile;
  class SimulatedFile;
  class SimulatedMapping;

  // Entry is where a name leads: a directory or a file, by its number.
  struct Entry {
    bool is_directory = false;
    uint64_t id = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  using Names = std::map<std::string, Entry, std::less<>>;
  struct Directory {
    Names names;    // in memory
    Names durable;  // on the device
    bool scratch = false;
  };
  struct Place {
    uint64_t directory = 0;
    std::string name;
  };
  // A change of names that is not known to be on the device: `erased` goes, `set` comes, both at
  // once.
  struct NameChange {
    std::optional<Place> erased = std::nullopt;
    std::optional<Place> set = std::nullopt;
    Entry entry = {};
    bool erased_synced = false;
    bool set_synced = false;
    bool settled() const { return (!erased || erased_synced) && (!set || set_synced); }
  };

  void Observe();
  // Takes note of everything, then calls the hook.
  void Before(absl::string_view call, absl::string_view path);
  // Counts a sync; whether it is the one that fails.
  bool SyncFails();
  static absl::Status SyncError(absl::string_view path);

  absl::StatusOr<Place> Find(absl::string_view path) const;
  absl::StatusOr<Entry> Lookup(absl::string_view path) const;
  absl::StatusOr<std::unique_ptr<File>> OpenEntry(const Entry& entry, const std::string& path);
  std::shared_ptr<SimulatedInode> NewInode(uint64_t directory);
  bool IsScratch(const NameChange& change) const;
  void Change(NameChange change);
  static void Apply(const NameChange& change, std::map<uint64_t, Directory>& directories, Names Directory::*names);
  void Settle();
  // Forgets files that nobody can reach any more.
  void Collect();
  // Whether there is room for what [begin, end) of the file lacks.
  absl::Status CheckSpace(const SimulatedInode& inode, uint64_t begin, uint64_t end, absl::string_view path);

  SimulatedDiskOptions options_;
  Hook hook_;
  std::map<uint64_t, Directory> directories_;
  std::map<uint64_t, std::shared_ptr<SimulatedInode>> inodes_;
  std::vector<NameChange> changes_;  // in their order
  uint64_t next_id_ = 2;             // 1: the root
  uint64_t boot_ = 1;                // one more after each power failure
  uint64_t syncs_ = 0;
  uint64_t fail_sync_at_ = 0;
  bool failed_ = false;
  SeededRandom random_{1};
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_SIMULATED_DISK_H_
