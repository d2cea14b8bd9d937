// Parts are the channels that a command's PATH names: itself, or the segments of a journal.
//
// Thread safety: any thread.

#ifndef KEKBIT_TOOLS_KEKBIT_PARTS_H_
#define KEKBIT_TOOLS_KEKBIT_PARTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/segment_scan.h"

namespace kekbit {

// Part is a channel that PATH names; parts are in order.
struct Part {
  SegmentNumber segment = 0;  // in the journal; 0: PATH is the channel itself
  std::string path;
};
bool IsDirectory(FileSystem& fs, const std::string& path);
// Returns FailedPrecondition for a directory that holds no journal. A path that is no directory is
// taken for a channel, which has still to be opened.
absl::StatusOr<std::vector<Part>> PartsOf(FileSystem& fs, const std::string& path);

// Opens a part of `path` that was listed before. Returns nullopt if it was trimmed meanwhile: the
// journal now begins later.
absl::StatusOr<std::optional<SegmentScan>> OpenPart(FileSystem& fs, const std::string& path, const Part& part);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_PARTS_H_
