#include "kekbit/base/posix_mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "kekbit/base/errno_code.h"
#include "kekbit/base/posix_calls.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace kekbit {
namespace {

// The alignment that msync and madvise want; larger where the machine's pages are.
uint64_t PageBytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

PosixMappedFile::~PosixMappedFile() {
  // A child that does not have it may have something else there by now.
  if (in_children_ || !mark_.in_child()) ::munmap(data(), size());
}

absl::Status PosixMappedFile::Sync(uint64_t offset, uint64_t size) {
  if (access_ == Access::kRead) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": is mapped for reading, and can't be synced by that"));
  }
  const uint64_t begin = offset & ~(PageBytes() - 1);
  if (::msync(data() + begin, offset + size - begin, MS_SYNC) != 0) return SyncErrorOf(errno, "msync", path_);
  return absl::OkStatus();
}

absl::Status PosixMappedFile::Touch(uint64_t offset, uint64_t size) {
  const uint64_t begin = offset & ~(PageBytes() - 1);
  const uint64_t length = std::min(offset + size, this->size()) - begin;
  if (Uninterrupted([&] { return ::madvise(data() + begin, length, MADV_POPULATE_WRITE); }) != 0) {
    return ErrorOf(errno, "madvise(MADV_POPULATE_WRITE)", path_);
  }
  return absl::OkStatus();
}

void PosixMappedFile::KeepPagesApart() { ::madvise(data(), size(), MADV_RANDOM); }

}  // namespace kekbit
