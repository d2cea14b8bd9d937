// MemoryFile is a File whose bytes are a string, for tests that open many small files, as a fuzz
// target does.
//
// A memory file can read, write and sync; a mapping, a lock or a name is FailedPrecondition.
// Thread safety: one thread at a time.

#ifndef KEKBIT_TESTS_SUPPORT_MEMORY_FILE_H_
#define KEKBIT_TESTS_SUPPORT_MEMORY_FILE_H_

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

class MemoryFile final : public File {
 public:
  explicit MemoryFile(std::string bytes = "") : File("memory"), bytes_(std::move(bytes)) {}

  const std::string& bytes() const { return bytes_; }

  absl::StatusOr<FileInfo> Info() override { return FileInfo{.device = 0, .inode = 0, .size = bytes_.size()}; }
  absl::Status Allocate(uint64_t size) override {
    bytes_.resize(std::max<size_t>(bytes_.size(), size));
    return absl::OkStatus();
  }
  absl::Status CheckSupported() override { return absl::OkStatus(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, MutableBytes to) override {
    if (offset >= bytes_.size()) return size_t{0};
    const size_t size = std::min<size_t>(to.size(), bytes_.size() - offset);
    if (size != 0) std::memcpy(to.data(), bytes_.data() + offset, size);
    return size;
  }
  absl::Status WriteAt(uint64_t offset, Bytes from) override {
    bytes_.resize(std::max<size_t>(bytes_.size(), offset + from.size()));
    if (!from.empty()) std::memcpy(bytes_.data() + offset, from.data(), from.size());
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status DropCache(uint64_t /*offset*/, uint64_t /*size*/) override { return absl::OkStatus(); }
  absl::StatusOr<bool> TryLock() override { return None(); }
  absl::StatusOr<bool> LockedByOther() override { return None(); }
  absl::Status LinkTo(const std::string& /*path*/) override { return None(); }
  absl::StatusOr<std::unique_ptr<MappedFile>> Map(Access /*access*/, uint64_t /*size*/) override { return None(); }

 private:
  static absl::Status None() { return absl::FailedPreconditionError("a file in memory has no such thing"); }

  std::string bytes_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_MEMORY_FILE_H_
