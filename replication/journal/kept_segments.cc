#include "kekbit/replication/journal/kept_segments.h"

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/extension.h"
#include "kekbit/header.h"

namespace kekbit {
namespace {

// How often the list is taken anew when a segment of it is gone by the time it is looked at.
constexpr int kAttempts = 4;

absl::StatusOr<ChainLink> FollowedBy(Bytes start, SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(const Header header, Header::Decode(start));
  KB_ASSIGN_OR_RETURN(const std::optional<Extension> extension, Extension::Decode(start));
  KB_ASSIGN_OR_RETURN(const ChainLink follows, FollowedBySegment(extension));
  if (header.channel_id() == number) return follows;
  return absl::DataLossError(absl::StrCat("this is segment ", header.channel_id(), ", not ", number));
}

// The first `count` of them, or all; NotFound if one is gone by the time it is looked at.
absl::StatusOr<std::vector<KeptSegment>> LookAtFirst(FileSystem& fs, const JournalLayout& layout, size_t count) {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> numbers, layout.ListSegments(fs));
  std::vector<KeptSegment> segments;
  for (const SegmentNumber number : numbers) {
    if (segments.size() == count) break;
    KB_ASSIGN_OR_RETURN(const KeptSegment segment, LookAtSegment(fs, layout, number));
    if (!segments.empty()) {
      const KeptSegment& before = segments.back();
      if (number != before.number + 1) {
        return absl::DataLossError(absl::StrCat(layout.directory(), ": segment ", before.number + 1,
                                                " is missing, there is a segment ", number, " behind it"));
      }
      if (segment.follows < before.follows) {
        return absl::DataLossError(absl::StrCat(layout.segment(number), ": the segment follows ",
                                                segment.follows.ToString(), ", the one before it follows ",
                                                before.follows.ToString()));
      }
    }
    segments.push_back(segment);
  }
  return segments;
}

absl::StatusOr<std::vector<KeptSegment>> ListFirst(FileSystem& fs, const JournalLayout& layout, size_t count) {
  absl::StatusOr<std::vector<KeptSegment>> segments;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    segments = LookAtFirst(fs, layout, count);
    if (!absl::IsNotFound(segments.status())) return segments;
  }
  return absl::UnavailableError(absl::StrCat("the journal is being cut: ", segments.status().message()));
}

}  // namespace

absl::StatusOr<KeptSegment> LookAtSegment(FileSystem& fs, const JournalLayout& layout, SegmentNumber number) {
  const std::string path = layout.segment(number);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  std::array<uint8_t, kDataOffset> start;
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(start)));
  const absl::StatusOr<ChainLink> follows = FollowedBy(Bytes(start).first(size), number);
  if (follows.ok()) return KeptSegment{.number = number, .follows = follows->position, .bytes = info.allocated};
  return absl::Status(follows.status().code(), absl::StrCat(path, ": ", follows.status().message()));
}

absl::StatusOr<std::vector<KeptSegment>> ListKeptSegments(FileSystem& fs, const JournalLayout& layout) {
  return ListFirst(fs, layout, static_cast<size_t>(-1));
}

absl::StatusOr<Position> BeforeFirstKept(FileSystem& fs, const JournalLayout& layout) {
  KB_ASSIGN_OR_RETURN(const std::vector<KeptSegment> first, ListFirst(fs, layout, 1));
  return first.empty() ? Position{} : first.front().follows;
}

}  // namespace kekbit
