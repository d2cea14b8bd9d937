// PosixMappedFile: part of a file as memory of this process, by mmap(2).

#ifndef KEKBIT_BASE_POSIX_MAPPED_FILE_H_
#define KEKBIT_BASE_POSIX_MAPPED_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"

namespace kekbit {

class PosixMappedFile final : public MappedFile {
 public:
  // Of what mmap(2) returned. `in_children`: whether forked children have the mapping, too.
  PosixMappedFile(void* data, uint64_t size, Access access, bool in_children, std::string path)
      : MappedFile(static_cast<uint8_t*>(data), size),
        access_(access),
        in_children_(in_children),
        path_(std::move(path)) {}
  ~PosixMappedFile() override;

  absl::Status Sync(uint64_t offset, uint64_t size) override;
  absl::Status Touch(uint64_t offset, uint64_t size) override;
  void KeepPagesApart() override;

 private:
  const Access access_;
  const bool in_children_;
  const ForkMark mark_;
  const std::string path_;
};

}  // namespace kekbit

#endif  // KEKBIT_BASE_POSIX_MAPPED_FILE_H_
