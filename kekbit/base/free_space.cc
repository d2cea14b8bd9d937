#include "kekbit/base/free_space.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

bool EnoughSpace(const FreeSpaceLimits& limits, bool was_enough, uint64_t free_bytes) {
  return free_bytes >= (was_enough ? limits.floor_bytes : std::max(limits.floor_bytes, limits.resume_bytes));
}

absl::Status FreeSpace::Look(FileSystem& fs, const std::string& path, int64_t now_ns) {
  if (limits_.floor_bytes == 0) return absl::OkStatus();
  if (looked_ && now_ns - looked_at_ns_ < limits_.look_every_ns) return absl::OkStatus();
  looked_ = true;
  looked_at_ns_ = now_ns;
  KB_ASSIGN_OR_RETURN(const uint64_t free_bytes, fs.FreeBytes(path));
  free_bytes_ = free_bytes;
  enough_ = EnoughSpace(limits_, enough_, free_bytes);
  return absl::OkStatus();
}

absl::Status FreeSpace::Refusal(const std::string& path) const {
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": the disk has ", free_bytes(), " bytes left, fewer than the floor of ", limits_.floor_bytes,
                   "; commands are taken again from ", std::max(limits_.floor_bytes, limits_.resume_bytes), " on"));
}

}  // namespace kekbit
