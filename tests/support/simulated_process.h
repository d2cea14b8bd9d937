// SimulatedProcess: the file system of a SimulatedDisk as one process sees it, which can stand still, fail or die at
// any call.
//
//   SimulatedProcess process(disk, 7, [&](const SimulatedProcess::Call& call) { ...; return absl::OkStatus(); });
//   ... objects that use `process` as their file system ...
//   process.Kill();      // also from inside the hook: no call and no store has an effect from here on
//   ... destroy these objects ...
//   process.Bury();      // their stores are taken back, their locks are free
//
// It has an identity of its own in /proc, and its own locks.
//
// Thread safety: one thread, but for MappedFile::Touch.

#ifndef KEKBIT_TESTS_SUPPORT_SIMULATED_PROCESS_H_
#define KEKBIT_TESTS_SUPPORT_SIMULATED_PROCESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "tests/support/simulated_disk.h"

namespace kekbit {

class SimulatedProcess final : public FileSystem {
 public:
  struct Call {
    absl::string_view name;  // of the method: "Sync"
    absl::string_view path;
    bool done;    // its effect is there, and the caller has not seen it yet
    bool failed;  // it is done, and returns an error
    // Whether it may change what others see, or what the disk has.
    bool changes;
    bool is_sync() const { return name == "Sync" || name == "SyncDirectory"; }
    // Whether it takes a descriptor, a mapping or memory of the system, which may not be there.
    bool may_want_more() const {
      return name == "Open" || name == "OpenOrCreate" || name == "CreateUnnamed" || name == "Map" || name == "List" ||
             name == "SyncDirectory";
    }
  };
  // Called before and after each call that can fail. What it returns before is what the call returns, without effect;
  // afterwards that is not looked at.
  using Hook = std::function<absl::Status(const Call&)>;

  // `number` tells it from all others on this machine. `disk` outlives it.
  SimulatedProcess(SimulatedDisk& disk, uint64_t number, Hook hook);
  // REQUIRES: all that was opened by it is gone.
  ~SimulatedProcess() override = default;

  void Kill();
  bool dead() const { return dead_; }
  void Bury() { disk_.Thaw(); }

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
  class ProcessFile;
  class ProcessMapping;

  static absl::Status Died() { return absl::UnavailableError("the process is dead"); }

  // Runs `call` between two looks of the hook.
  template <typename Function>
  auto Do(absl::string_view name, absl::string_view path, bool changes, Function call) -> decltype(call());
  // The text of /proc/PID/stat.
  std::string Stat() const;

  SimulatedDisk& disk_;
  const uint64_t number_;
  const Hook hook_;
  bool dead_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_SIMULATED_PROCESS_H_
