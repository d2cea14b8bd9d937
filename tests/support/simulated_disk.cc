#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr uint64_t kRoot = 1;
constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";

// The second part of "/journal/segments/...", by which crash points are told apart; the first if there is no second.
absl::string_view PartOf(absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  return parts.empty() ? "" : parts[std::min<size_t>(1, parts.size() - 1)];
}

}  // namespace

// A file as it was opened: also what a mapping of it syncs by.
struct SimulatedDisk::OpenFile {
  OpenFile(SimulatedDisk& on, std::shared_ptr<SimulatedInode> of)
      : disk(on), inode(std::move(of)), errors(inode->errors) {}

  absl::Status Sync(uint64_t offset, uint64_t size, const std::string& path) {
    disk.Before("Sync", path);
    if (disk.SyncFails()) {
      inode->FailSync(offset, size, disk.random_);
      errors = ++inode->errors;
      return SyncError(path);
    }
    if (!disk.options_.lying) inode->Sync(offset, size);
    // What is written now is; of an error since the last time the caller is told all the same.
    return std::exchange(errors, inode->errors) == inode->errors ? absl::OkStatus() : SyncError(path);
  }

  SimulatedDisk& disk;
  const std::shared_ptr<SimulatedInode> inode;
  uint64_t errors;  // of the inode's, those that were told
};

class SimulatedDisk::SimulatedMapping final : public MappedFile {
 public:
  SimulatedMapping(std::shared_ptr<OpenFile> open, uint64_t size, bool writable, std::string path)
      : MappedFile(open->inode->memory(), size),
        open_(std::move(open)),
        inode_(open_->inode),
        writable_(writable),
        path_(std::move(path)) {
    inode_->Mapped(writable_);
  }
  ~SimulatedMapping() override { inode_->Unmapped(writable_); }

  absl::Status Sync(uint64_t offset, uint64_t size) override {
    if (!writable_) return absl::FailedPreconditionError(absl::StrCat(path_, ": mapped for reading"));
    return open_->Sync(offset, size, path_);
  }
  absl::Status Touch(uint64_t /*offset*/, uint64_t /*size*/) override { return absl::OkStatus(); }

 private:
  const std::shared_ptr<OpenFile> open_;
  const std::shared_ptr<SimulatedInode> inode_;
  const bool writable_;
  const std::string path_;
};

class SimulatedDisk::SimulatedFile final : public File {
 public:
  SimulatedFile(SimulatedDisk& disk, std::shared_ptr<SimulatedInode> inode, std::string path)
      : File(std::move(path)),
        open_(std::make_shared<OpenFile>(disk, std::move(inode))),
        disk_(disk),
        inode_(open_->inode) {}
  ~SimulatedFile() override {
    if (inode_->locked_by == this) inode_->locked_by = nullptr;
  }

  absl::StatusOr<FileInfo> Info() override {
    return FileInfo{.device = 1, .inode = inode_->id(), .size = inode_->size(), .allocated = inode_->allocated()};
  }
  absl::Status Allocate(uint64_t size) override {
    KB_RETURN_IF_ERROR(disk_.CheckSpace(*inode_, 0, size, path()));
    inode_->FillHoles(size);
    if (size <= inode_->size()) return absl::OkStatus();
    disk_.Before("Allocate", path());
    inode_->Grow(size);
    return absl::OkStatus();
  }
  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    disk_.Before("PunchHole", path());
    inode_->PunchHole(offset, size);
    return absl::OkStatus();
  }
  absl::Status CheckSupported() override { return absl::OkStatus(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) override {
    if (offset >= inode_->size()) return size_t{0};
    const size_t size = std::min<uint64_t>(to.size(), inode_->size() - offset);
    if (size != 0) std::copy_n(inode_->memory() + offset, size, to.data());
    return size;
  }
  absl::Status WriteAt(uint64_t offset, Bytes from) override {
    KB_RETURN_IF_ERROR(disk_.CheckSpace(*inode_, offset, offset + from.size(), path()));
    disk_.Before("WriteAt", path());
    inode_->Write(offset, from);
    return absl::OkStatus();
  }
  absl::Status Sync() override { return open_->Sync(0, inode_->size(), path()); }
  absl::Status DropCache(uint64_t offset, uint64_t size) override {
    inode_->Observe();
    inode_->DropCache(offset, size);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> TryLock() override {
    if (inode_->locked_by != nullptr && inode_->locked_by != this) return false;
    inode_->locked_by = this;
    return true;
  }
  absl::StatusOr<bool> LockedByOther() override { return inode_->locked_by != nullptr && inode_->locked_by != this; }
  absl::Status LinkTo(const std::string& path) override {
    KB_ASSIGN_OR_RETURN(Place place, disk_.Find(path));
    if (disk_.directories_.at(place.directory).names.contains(place.name)) {
      return absl::AlreadyExistsError(absl::StrCat(path, ": linkat: there is such a file"));
    }
    disk_.Before("LinkTo", path);
    disk_.Change({.set = std::move(place), .entry = {.is_directory = false, .id = inode_->id()}});
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access access, uint64_t size) override {
    if (size == 0 || size > inode_->size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path(), ": mmap of ", size, " bytes, the file has ", inode_->size()));
    }
    return std::make_unique<SimulatedMapping>(open_, size, access == Access::kReadWrite, path());
  }

 private:
  const std::shared_ptr<OpenFile> open_;
  SimulatedDisk& disk_;
  const std::shared_ptr<SimulatedInode> inode_;
};

SimulatedDisk::SimulatedDisk(const SimulatedDiskOptions& options) : options_(options) { directories_[kRoot]; }

void SimulatedDisk::Observe() {
  for (const auto& [id, inode] : inodes_) inode->Observe();
}

void SimulatedDisk::Freeze() {
  for (const auto& [id, inode] : inodes_) inode->Freeze();
}

void SimulatedDisk::Thaw() {
  for (const auto& [id, inode] : inodes_) inode->Thaw();
  Collect();
}

void SimulatedDisk::CrashPoint(absl::string_view tag) {
  Observe();
  if (hook_) hook_(tag);
}

void SimulatedDisk::Before(absl::string_view call, absl::string_view path) {
  if (hook_) {
    CrashPoint(absl::StrCat(call, " ", PartOf(path)));
  } else {
    Observe();
  }
}

void SimulatedDisk::DropCleanPages() {
  Observe();
  for (const auto& [id, inode] : inodes_) inode->DropCache(0, 0);
}

void SimulatedDisk::FailSync(uint64_t n, uint64_t seed) {
  fail_sync_at_ = n == 0 ? 0 : syncs_ + n;
  failed_ = false;
  random_ = SeededRandom(seed);
}

bool SimulatedDisk::SyncFails() {
  ++syncs_;
  if (syncs_ != fail_sync_at_) return false;
  failed_ = true;
  return true;
}

absl::Status SimulatedDisk::SyncError(absl::string_view path) {
  return absl::AbortedError(absl::StrCat(path, ": sync: input/output error"));
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::AfterDeath() {
  Observe();
  Collect();
  auto disk = std::make_unique<SimulatedDisk>(options_);
  disk->directories_ = directories_;
  disk->changes_ = changes_;
  disk->next_id_ = next_id_;
  disk->boot_ = boot_;
  for (const auto& [id, inode] : inodes_) disk->inodes_[id] = SimulatedInode::AfterDeath(*inode);
  disk->Collect();
  return disk;
}

uint64_t SimulatedDisk::ContentHash() {
  Observe();
  uint64_t hash = 0;
  std::vector<uint64_t> open = {kRoot};
  while (!open.empty()) {
    const uint64_t directory = open.back();
    open.pop_back();
    if (directories_.at(directory).scratch) continue;
    for (const auto& [name, entry] : directories_.at(directory).names) {
      const uint64_t name_hash = MixHash(HashOf(AsBytes(name)), MixHash(directory, entry.id));
      hash += name_hash;
      if (entry.is_directory) {
        open.push_back(entry.id);
        continue;
      }
      const SimulatedInode& inode = *inodes_.at(entry.id);
      uint64_t at = MixHash(entry.id, inode.size());
      hash += at;
      for (const UnitState& unit : inode.units()) {
        ++at;
        if (unit.cached) hash += unit.cached->hash * (at | 1);
      }
    }
  }
  return hash;
}

absl::StatusOr<SimulatedDisk::Place> SimulatedDisk::Find(absl::string_view path) const {
  Place place{.directory = kRoot, .name = {}};
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (!place.name.empty()) {
      const Names& names = directories_.at(place.directory).names;
      const auto found = names.find(place.name);
      if (found == names.end()) return absl::NotFoundError(absl::StrCat(path, ": there is no ", place.name));
      if (!found->second.is_directory) {
        return absl::FailedPreconditionError(absl::StrCat(path, ": ", place.name, " is no directory"));
      }
      place.directory = found->second.id;
    }
    place.name = std::string(part);
  }
  return place;
}

absl::StatusOr<SimulatedDisk::Entry> SimulatedDisk::Lookup(absl::string_view path) const {
  KB_ASSIGN_OR_RETURN(const Place place, Find(path));
  if (place.name.empty()) return Entry{.is_directory = true, .id = kRoot};
  const Names& names = directories_.at(place.directory).names;
  const auto found = names.find(place.name);
  if (found == names.end()) return absl::NotFoundError(absl::StrCat(path, ": no such file or directory"));
  return found->second;
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::OpenEntry(const Entry& entry, const std::string& path) {
  if (entry.is_directory) return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  return std::make_unique<SimulatedFile>(*this, inodes_.at(entry.id), path);
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::Open(const std::string& path, Access /*access*/) {
  if (path == kBootId) {
    auto inode = std::make_shared<SimulatedInode>(0, options_.unit_bytes, false);
    const std::string id = absl::StrFormat("%08x-0000-4000-8000-000000000000", boot_);
    inode->Write(0, AsBytes(id));
    return std::make_unique<SimulatedFile>(*this, std::move(inode), path);
  }
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(path));
  return OpenEntry(entry, path);
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::OpenOrCreate(const std::string& path) {
  const absl::StatusOr<Entry> there = Lookup(path);
  if (there.ok()) return OpenEntry(*there, path);
  KB_ASSIGN_OR_RETURN(Place place, Find(path));
  Before("Create", path);
  const Entry entry = {.is_directory = false, .id = NewInode(place.directory)->id()};
  Change({.set = std::move(place), .entry = entry});
  return OpenEntry(entry, path);
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::CreateUnnamed(const std::string& directory,
                                                                   const std::string& path) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(directory));
  if (!entry.is_directory) return absl::FailedPreconditionError(absl::StrCat(directory, ": not a directory"));
  return std::make_unique<SimulatedFile>(*this, NewInode(entry.id), path);
}

absl::StatusOr<FileInfo> SimulatedDisk::Info(const std::string& path) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(path));
  if (entry.is_directory) return FileInfo{.device = 1, .inode = entry.id, .size = 4096, .allocated = 4096};
  const SimulatedInode& inode = *inodes_.at(entry.id);
  return FileInfo{.device = 1, .inode = entry.id, .size = inode.size(), .allocated = inode.allocated()};
}

absl::Status SimulatedDisk::CreateDirectories(const std::string& path) {
  const absl::StatusOr<Entry> there = Lookup(path);
  if (there.ok() && there->is_directory) return absl::OkStatus();
  if (there.ok()) return absl::AlreadyExistsError(absl::StrCat(path, ": mkdir: there is such a file"));
  if (DirectoryOf(path) != "/") KB_RETURN_IF_ERROR(CreateDirectories(DirectoryOf(path)));
  KB_ASSIGN_OR_RETURN(Place place, Find(path));
  Before("CreateDirectory", path);
  const Entry entry = {.is_directory = true, .id = next_id_++};
  directories_[entry.id].scratch = !options_.scratch.empty() && place.name == options_.scratch;
  Change({.set = std::move(place), .entry = entry});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimulatedDisk::List(const std::string& directory) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(directory));
  if (!entry.is_directory) return absl::NotFoundError(absl::StrCat(directory, ": opendir: not a directory"));
  std::vector<std::string> names;
  for (const auto& [name, target] : directories_.at(entry.id).names) names.push_back(name);
  return names;
}

absl::Status SimulatedDisk::Rename(const std::string& from, const std::string& to) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(from));
  KB_ASSIGN_OR_RETURN(Place old_place, Find(from));
  KB_ASSIGN_OR_RETURN(Place new_place, Find(to));
  Before("Rename", to);
  Change({.erased = std::move(old_place), .set = std::move(new_place), .entry = entry});
  return absl::OkStatus();
}

absl::Status SimulatedDisk::Unlink(const std::string& path) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(path));
  if (entry.is_directory) return absl::FailedPreconditionError(absl::StrCat(path, ": unlink: is a directory"));
  KB_ASSIGN_OR_RETURN(Place place, Find(path));
  Before("Unlink", path);
  Change({.erased = std::move(place)});
  return absl::OkStatus();
}

absl::Status SimulatedDisk::SyncDirectory(const std::string& path) {
  KB_ASSIGN_OR_RETURN(const Entry entry, Lookup(path));
  if (!entry.is_directory) return absl::FailedPreconditionError(absl::StrCat(path, ": open: not a directory"));
  Before("SyncDirectory", path);
  if (SyncFails()) return SyncError(path);
  if (options_.lying) return absl::OkStatus();
  for (NameChange& change : changes_) {
    if (change.erased && change.erased->directory == entry.id) change.erased_synced = true;
    if (change.set && change.set->directory == entry.id) change.set_synced = true;
  }
  Settle();
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SimulatedDisk::FreeBytes(const std::string& path) {
  KB_RETURN_IF_ERROR(Lookup(path).status());
  if (options_.capacity == std::numeric_limits<uint64_t>::max()) return options_.capacity;
  return options_.capacity - std::min(options_.capacity, UsedBytes());
}

absl::StatusOr<uint64_t> SimulatedDisk::TotalBytes(const std::string& path) {
  KB_RETURN_IF_ERROR(Lookup(path).status());
  return options_.capacity;
}

std::shared_ptr<SimulatedInode> SimulatedDisk::NewInode(uint64_t directory) {
  const uint64_t id = next_id_++;
  auto inode = std::make_shared<SimulatedInode>(id, options_.unit_bytes, options_.torn);
  if (directories_.at(directory).scratch) inode->SetScratch();
  return inodes_[id] = std::move(inode);
}

bool SimulatedDisk::IsScratch(const NameChange& change) const {
  const uint64_t directory = change.set ? change.set->directory : change.erased->directory;
  return directories_.at(directory).scratch;
}

void SimulatedDisk::Apply(const NameChange& change, std::map<uint64_t, Directory>& directories,
                          Names Directory::*names) {
  if (change.erased) (directories.at(change.erased->directory).*names).erase(change.erased->name);
  if (change.set) (directories.at(change.set->directory).*names)[change.set->name] = change.entry;
}

void SimulatedDisk::Change(NameChange change) {
  Apply(change, directories_, &Directory::names);
  changes_.push_back(std::move(change));
}

// In their order: a later change of a name must not be undone by an earlier one that is settled after it.
void SimulatedDisk::Settle() {
  size_t settled = 0;
  while (settled < changes_.size() && changes_[settled].settled()) {
    Apply(changes_[settled], directories_, &Directory::durable);
    ++settled;
  }
  changes_.erase(changes_.begin(), changes_.begin() + static_cast<std::ptrdiff_t>(settled));
}

void SimulatedDisk::Collect() {
  std::set<uint64_t> reachable;
  for (const auto& [id, directory] : directories_) {
    for (const auto& [name, entry] : directory.names) reachable.insert(entry.id);
    for (const auto& [name, entry] : directory.durable) reachable.insert(entry.id);
  }
  for (const NameChange& change : changes_) reachable.insert(change.entry.id);
  std::erase_if(inodes_,
                [&](const auto& inode) { return inode.second.use_count() == 1 && !reachable.contains(inode.first); });
}

uint64_t SimulatedDisk::UsedBytes() {
  // An unlinked file gives its space back once nobody has it open, also while the device still has its name.
  std::set<uint64_t> named;
  for (const auto& [id, directory] : directories_) {
    for (const auto& [name, entry] : directory.names) named.insert(entry.id);
  }
  uint64_t bytes = 0;
  for (const auto& [id, inode] : inodes_) {
    if (inode.use_count() > 1 || named.contains(id)) bytes += inode->allocated();
  }
  return bytes;
}

absl::Status SimulatedDisk::CheckSpace(const SimulatedInode& inode, uint64_t begin, uint64_t end,
                                       absl::string_view path) {
  if (options_.capacity == std::numeric_limits<uint64_t>::max()) return absl::OkStatus();
  const uint64_t wanted = std::max(end, inode.size()) - inode.size() + inode.HoleBytes(begin, end);
  if (wanted == 0) return absl::OkStatus();
  const uint64_t used = UsedBytes();
  if (used + wanted <= options_.capacity) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": ", wanted, " bytes don't fit: ", used, " of ", options_.capacity, " are in use"));
}

}  // namespace kekbit
