#include "tools/kekbit_parts.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

bool IsDirectory(FileSystem& fs, const std::string& path) {
  const absl::StatusOr<std::vector<std::string>> names = fs.List(path);
  // A directory that this process may not look into counts, too: its own error says more than that
  // of opening a file.
  return names.ok() || absl::IsPermissionDenied(names.status());
}

absl::StatusOr<std::vector<Part>> PartsOf(FileSystem& fs, const std::string& path) {
  if (!IsDirectory(fs, path)) return std::vector<Part>{{.segment = 0, .path = path}};
  const JournalLayout layout(path);
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> numbers, layout.ListSegments(fs));
  if (numbers.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": a directory without a journal: there are no segments in ", layout.segments()));
  }
  std::vector<Part> parts;
  parts.reserve(numbers.size());
  for (const SegmentNumber number : numbers) parts.push_back({.segment = number, .path = layout.segment(number)});
  return parts;
}

absl::StatusOr<std::optional<SegmentScan>> OpenPart(FileSystem& fs, const std::string& path, const Part& part) {
  absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(fs, part.path);
  if (absl::IsNotFound(scan.status()) && part.segment != 0) {
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, JournalLayout(path).ListSegments(fs));
    if (!kept.empty() && kept.front() > part.segment) return std::nullopt;
  }
  KB_RETURN_IF_ERROR(scan.status());
  return *std::move(scan);
}

}  // namespace kekbit
