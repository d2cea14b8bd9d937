#include "tests/support/simulated_process.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/memory_file.h"

namespace kekbit {

template <typename Function>
auto SimulatedProcess::Do(absl::string_view name, absl::string_view path, bool changes, Function call)
    -> decltype(call()) {
  if (dead_) return Died();
  Call what = {.name = name, .path = path, .done = false, .failed = false, .changes = changes};
  absl::Status status = hook_(what);
  if (dead_) return Died();
  if (!status.ok()) return status;
  auto result = call();
  what.done = true;
  what.failed = !result.ok();
  hook_(what).IgnoreError();
  if (dead_) return Died();
  return result;
}

class SimulatedProcess::ProcessMapping final : public MappedFile {
 public:
  ProcessMapping(SimulatedProcess& process, std::unique_ptr<MappedFile> mapping, std::string path)
      : MappedFile(mapping->data(), mapping->size()),
        process_(process),
        mapping_(std::move(mapping)),
        path_(std::move(path)) {}

  absl::Status Sync(uint64_t offset, uint64_t size) override {
    return process_.Do("Sync", path_, true, [&] { return mapping_->Sync(offset, size); });
  }
  // By any thread: no call that is looked at.
  absl::Status Touch(uint64_t offset, uint64_t size) override { return mapping_->Touch(offset, size); }

 private:
  SimulatedProcess& process_;
  const std::unique_ptr<MappedFile> mapping_;
  const std::string path_;
};

class SimulatedProcess::ProcessFile final : public File {
 public:
  ProcessFile(SimulatedProcess& process, std::unique_ptr<File> file)
      : File(file->path()), process_(process), file_(std::move(file)) {}

  absl::StatusOr<FileInfo> Info() override { return file_->Info(); }
  absl::Status Allocate(uint64_t size) override {
    return process_.Do("Allocate", path(), true, [&] { return file_->Allocate(size); });
  }
  absl::Status CheckSupported() override { return absl::OkStatus(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) override {
    return process_.Do("ReadAt", path(), false, [&] { return file_->ReadAt(offset, to); });
  }
  absl::Status WriteAt(uint64_t offset, Bytes from) override {
    return process_.Do("WriteAt", path(), true, [&] { return file_->WriteAt(offset, from); });
  }
  absl::Status Sync() override {
    return process_.Do("Sync", path(), true, [&] { return file_->Sync(); });
  }
  absl::Status DropCache(uint64_t offset, uint64_t size) override {
    return process_.Do("DropCache", path(), true, [&] { return file_->DropCache(offset, size); });
  }
  absl::Status PunchHole(uint64_t offset, uint64_t size) override {
    return process_.Do("PunchHole", path(), true, [&] { return file_->PunchHole(offset, size); });
  }
  absl::StatusOr<bool> TryLock() override {
    return process_.Do("TryLock", path(), true, [&] { return file_->TryLock(); });
  }
  absl::StatusOr<bool> LockedByOther() override {
    return process_.Do("LockedByOther", path(), false, [&] { return file_->LockedByOther(); });
  }
  absl::Status LinkTo(const std::string& to) override {
    return process_.Do("LinkTo", to, true, [&] { return file_->LinkTo(to); });
  }
  absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access access, uint64_t size) override {
    return process_.Do("Map", path(), false, [&]() -> absl::StatusOr<std::unique_ptr<MappedFile>> {
      absl::StatusOr<std::unique_ptr<MappedFile>> mapping = file_->Map(access, size);
      if (!mapping.ok()) return mapping;
      return std::make_unique<ProcessMapping>(process_, *std::move(mapping), path());
    });
  }

 private:
  SimulatedProcess& process_;
  const std::unique_ptr<File> file_;
};

SimulatedProcess::SimulatedProcess(SimulatedDisk& disk, uint64_t number, Hook hook)
    : disk_(disk), number_(number), hook_(std::move(hook)) {}

void SimulatedProcess::Kill() {
  if (std::exchange(dead_, true)) return;
  disk_.Freeze();
}

// As proc(5) has it: one thread, which runs; of the numbers only that and the start time mean something.
std::string SimulatedProcess::Stat() const {
  return absl::StrCat(::getpid(), " (simulated) R 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ", 1000 + number_, " 0 0\n");
}

absl::StatusOr<std::unique_ptr<File>> SimulatedProcess::Open(const std::string& path, Access access) {
  if (absl::StartsWith(path, "/proc/") && absl::EndsWith(path, "/stat")) {
    // Everybody has the same pid, and is told from others by its start time alone.
    if (path != absl::StrCat("/proc/", ::getpid(), "/stat")) return absl::NotFoundError(path);
    return std::make_unique<MemoryFile>(Stat());
  }
  return Do("Open", path, false, [&]() -> absl::StatusOr<std::unique_ptr<File>> {
    absl::StatusOr<std::unique_ptr<File>> file = disk_.Open(path, access);
    if (!file.ok()) return file;
    return std::make_unique<ProcessFile>(*this, *std::move(file));
  });
}

absl::StatusOr<std::unique_ptr<File>> SimulatedProcess::OpenOrCreate(const std::string& path) {
  return Do("OpenOrCreate", path, true, [&]() -> absl::StatusOr<std::unique_ptr<File>> {
    absl::StatusOr<std::unique_ptr<File>> file = disk_.OpenOrCreate(path);
    if (!file.ok()) return file;
    return std::make_unique<ProcessFile>(*this, *std::move(file));
  });
}

absl::StatusOr<std::unique_ptr<File>> SimulatedProcess::CreateUnnamed(const std::string& directory,
                                                                      const std::string& path) {
  return Do("CreateUnnamed", path, false, [&]() -> absl::StatusOr<std::unique_ptr<File>> {
    absl::StatusOr<std::unique_ptr<File>> file = disk_.CreateUnnamed(directory, path);
    if (!file.ok()) return file;
    return std::make_unique<ProcessFile>(*this, *std::move(file));
  });
}

absl::StatusOr<FileInfo> SimulatedProcess::Info(const std::string& path) {
  if (absl::StartsWith(path, "/proc/self/ns/")) return FileInfo{.device = 4, .inode = 4'026'531'836, .size = 0};
  return Do("Info", path, false, [&] { return disk_.Info(path); });
}

absl::Status SimulatedProcess::CreateDirectories(const std::string& path) {
  return Do("CreateDirectories", path, true, [&] { return disk_.CreateDirectories(path); });
}

absl::StatusOr<std::vector<std::string>> SimulatedProcess::List(const std::string& directory) {
  // No call that is looked at: a search for the holders of a lock goes on as real time does.
  if (absl::StartsWith(directory, "/proc")) return absl::NotFoundError(directory);
  return Do("List", directory, false, [&] { return disk_.List(directory); });
}

absl::Status SimulatedProcess::Rename(const std::string& from, const std::string& to) {
  return Do("Rename", to, true, [&] { return disk_.Rename(from, to); });
}

absl::Status SimulatedProcess::Unlink(const std::string& path) {
  return Do("Unlink", path, true, [&] { return disk_.Unlink(path); });
}

absl::Status SimulatedProcess::SyncDirectory(const std::string& path) {
  return Do("SyncDirectory", path, true, [&] { return disk_.SyncDirectory(path); });
}

absl::StatusOr<uint64_t> SimulatedProcess::FreeBytes(const std::string& path) {
  return Do("FreeBytes", path, false, [&] { return disk_.FreeBytes(path); });
}

absl::StatusOr<uint64_t> SimulatedProcess::TotalBytes(const std::string& path) {
  return Do("TotalBytes", path, false, [&] { return disk_.TotalBytes(path); });
}

}  // namespace kekbit
