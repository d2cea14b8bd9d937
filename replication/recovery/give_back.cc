#include "kekbit/replication/recovery/give_back.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

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
constexpr size_t kLooks = 1024;
constexpr uint64_t kScannedBytes = kSegmentGrowth * kFirstSegmentBytes + kHeaderBytes;

// A closed segment that takes more of the disk than it needs, and the position of its CLOSE.
struct Unneeded {
  SegmentNumber number = 0;
  uint64_t position = 0;
};

uint64_t EndOf(uint64_t position) { return kDataOffset + position + kLengthBytes; }

absl::Status GiveBack(FileSystem& fs, const std::string& path, uint64_t position) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  const uint64_t end = EndOf(position);
  if (info.allocated < end + kWorthBytes) return absl::OkStatus();
  uint8_t word[kLengthBytes];
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(end - kLengthBytes, MutableBytes(word)));
  if (size != sizeof word || LoadUnaligned<uint64_t>(word) != kClose) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the segment is not closed at offset ", position));
  }
  return file->PunchHole(end, info.size - end);
}

// Looks whether a segment that is short enough to be scanned has anything to give back: the position
// of its CLOSE, or nullopt.
absl::StatusOr<std::optional<uint64_t>> FindUnneeded(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const FileInfo info, fs.Info(path));
  if (info.size > kScannedBytes || info.allocated < kWorthBytes) return std::nullopt;
  KB_ASSIGN_OR_RETURN(ChannelScan scan, ChannelScan::OpenAt(path, fs));
  ChannelItem item = scan.Next();
  while (!item.is_last()) item = scan.Next();
  if (item.kind != ChannelItemKind::kCloseMarker) return std::nullopt;
  if (info.allocated < EndOf(item.offset) + kWorthBytes) return std::nullopt;
  return item.offset;
}

}  // namespace

absl::Status GiveBackSpace(FileSystem& fs, const JournalLayout& layout, SegmentNumber last, uint64_t position) {
  std::vector<Unneeded> segments = {{.number = last, .position = position}};
  for (SegmentNumber number = last - 1; number > 0 && segments.size() < kLooks; --number) {
    const absl::StatusOr<std::optional<uint64_t>> close = FindUnneeded(fs, layout.segment(number));
    // The journal was trimmed there.
    if (absl::IsNotFound(close.status())) break;
    KB_RETURN_IF_ERROR(close.status());
    if (!*close) break;
    segments.push_back({.number = number, .position = **close});
  }
  // The oldest first: after a death in here, the next primary finds the rest before its own segment.
  for (size_t i = segments.size(); i-- > 0;) {
    KB_RETURN_IF_ERROR(GiveBack(fs, layout.segment(segments[i].number), segments[i].position));
  }
  return absl::OkStatus();
}

}  // namespace kekbit
