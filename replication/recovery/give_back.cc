#include "kekbit/replication/recovery/give_back.h"

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/channel_scan.h"
#include "kekbit/replication/journal/segment_size.h"

namespace kekbit {
namespace {

// Less is not worth a system call.
constexpr uint64_t kWorthBytes = 8u << 10;

// Limit of the segments that are looked at: only such as take a moment to scan.
constexpr int kLooks = 64;
constexpr uint64_t kScannedBytes = kSegmentGrowth * kFirstSegmentBytes + kHeaderBytes;

// Returns true if there was anything to give back.
absl::StatusOr<bool> GiveBack(File& file, uint64_t position) {
  KB_ASSIGN_OR_RETURN(const FileInfo info, file.Info());
  const uint64_t end = kDataOffset + position + kLengthBytes;
  if (info.allocated < end + kWorthBytes) return false;
  uint8_t word[kLengthBytes];
  KB_ASSIGN_OR_RETURN(const size_t size, file.ReadAt(end - kLengthBytes, MutableBytes(word)));
  if (size != sizeof word || LoadUnaligned<uint64_t>(word) != kClose) {
    return absl::FailedPreconditionError(absl::StrCat(file.path(), ": the segment is not closed at offset ", position));
  }
  KB_RETURN_IF_ERROR(file.PunchHole(end, info.size - end));
  return true;
}

// Does GiveBack() for a segment that is short enough to be scanned for its end.
absl::StatusOr<bool> GiveBackShort(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const FileInfo info, fs.Info(path));
  if (info.size > kScannedBytes || info.allocated < kWorthBytes) return false;
  KB_ASSIGN_OR_RETURN(ChannelScan scan, ChannelScan::OpenAt(path, fs));
  ChannelItem item = scan.Next();
  while (!item.is_last()) item = scan.Next();
  if (item.kind != ChannelItemKind::kCloseMarker) return false;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  return GiveBack(*file, item.offset);
}

}  // namespace

absl::Status GiveBackSpace(FileSystem& fs, const JournalLayout& layout, SegmentNumber last, uint64_t position) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(layout.segment(last), Access::kReadWrite));
  KB_RETURN_IF_ERROR(GiveBack(*file, position).status());
  for (int looks = 0; looks < kLooks && last > 1; ++looks) {
    const absl::StatusOr<bool> given = GiveBackShort(fs, layout.segment(--last));
    // The journal was trimmed there.
    if (absl::IsNotFound(given.status())) break;
    KB_RETURN_IF_ERROR(given.status());
    if (!*given) break;
  }
  return absl::OkStatus();
}

}  // namespace kekbit
