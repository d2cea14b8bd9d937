#include "kekbit/replication/journal/segment_sync.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Mappings are synced by whole pages.
constexpr uint64_t kPageBytes = 4096;

// The first byte to sync of a file that is synced up to `end`: from the last word on, which was a WATERMARK, in whose
// place a length stands now, maybe as the last one of its page.
uint64_t FirstUnsynced(uint64_t end) { return (end - std::min(end, kLengthBytes)) / kPageBytes * kPageBytes; }

}  // namespace

absl::StatusOr<std::vector<UnsyncedSegment>> FindUnsynced(FileSystem& fs, const JournalLayout& layout, Seq synced,
                                                          SegmentNumber last) {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> numbers, layout.ListSegments(fs));
  std::vector<UnsyncedSegment> segments;
  for (size_t i = numbers.size(); i-- > 0;) {
    if (numbers[i] > last) continue;
    const absl::StatusOr<KeptSegment> found = LookAtSegment(fs, layout, numbers[i]);
    // Trimmed just now, as all before it: only what is synced is.
    if (absl::IsNotFound(found.status())) break;
    // A segment that can't be read may hold anything: it counts, and those before it are looked at.
    if (!found.ok() && !absl::IsDataLoss(found.status()) && !absl::IsFailedPrecondition(found.status())) {
      return found.status();
    }
    // If a frame of it is synced, so is its name.
    const bool holds_synced = found.ok() && found->follows.seq < synced;
    segments.push_back({.number = numbers[i], .named = holds_synced});
    if (holds_synced) break;
  }
  std::reverse(segments.begin(), segments.end());
  return segments;
}

absl::Status SegmentSync::SyncAndMark(absl::Span<UnsyncedSegment> segments, uint64_t end, Seq seq) {
  if (Planted(PlantedBug::kMarkBeforeSync)) mark_.Advance(seq);
  const auto first = std::find_if(segments.begin(), segments.end(), [](const auto& segment) { return !segment.whole; });
  if (first != segments.end()) mark_.Begin(first->number, FirstUnsynced(first->synced_end));
  absl::Status status = Sync(segments, end);
  if (SyncFailed(status)) return status;
  // The system tells of an error once. If another process was told, this sync has proved nothing.
  if (status.ok() && mark_.in_doubt() && !Planted(PlantedBug::kPoisonForgotten)) {
    return absl::AbortedError(absl::StrCat(layout_.segment(mark_.poisoned()),
                                           ": a sync by another process failed; whether what was written after seq ",
                                           mark_.synced(), " lasts is unknown"));
  }
  if (status.ok()) mark_.Advance(seq);
  mark_.End();
  return status;
}

absl::Status SegmentSync::Sync(absl::Span<UnsyncedSegment> segments, uint64_t end) {
  if (Planted(PlantedBug::kAckBeforeSync)) return absl::OkStatus();
  if (!Planted(PlantedBug::kNamesNotSynced)) KB_RETURN_IF_ERROR(SyncNames(segments));
  for (UnsyncedSegment& segment : segments) {
    const bool last = &segment == &segments.back();
    if (segment.whole || (Planted(PlantedBug::kNewestSegmentFirst) && !last)) continue;
    // A frame counts only in a file that can be found.
    KB_CHECK(segment.named || Planted(PlantedBug::kNamesNotSynced));
    KB_RETURN_IF_ERROR(Judge(segment.number, SyncContent(segment, last ? end : kWhole)));
    segment.whole = !last;
  }
  return absl::OkStatus();
}

absl::Status SegmentSync::SyncNames(absl::Span<UnsyncedSegment> segments) {
  std::string synced;  // the directory
  for (UnsyncedSegment& segment : segments) {
    if (segment.named || segment.whole) continue;
    std::string directory = DirectoryOf(layout_.segment(segment.number));
    if (directory != synced) {
      KB_RETURN_IF_ERROR(Judge(segment.number, fs_.SyncDirectory(directory)));
      if (!above_synced_) KB_RETURN_IF_ERROR(Judge(segment.number, SyncNamesAbove()));
      above_synced_ = true;
      synced = std::move(directory);
    }
    segment.named = true;
  }
  return absl::OkStatus();
}

absl::Status SegmentSync::SyncNamesAbove() {
  KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.segments()));
  KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.directory()));
  const absl::Status above = fs_.SyncDirectory(DirectoryOf(layout_.directory()));
  // Who made the directory for a service that may not read around it has synced it, one hopes.
  return absl::IsPermissionDenied(above) ? absl::OkStatus() : above;
}

absl::Status SegmentSync::SyncContent(UnsyncedSegment& segment, uint64_t end) {
  const uint64_t from = FirstUnsynced(segment.synced_end);
  std::unique_ptr<MappedFile> mapped;
  MappedFile* mapping = segment.mapping.get();
  if (mapping == nullptr) {
    // What the kernel says of a mapping for reading: all is well, and nothing is synced.
    if (Planted(PlantedBug::kSyncedByReading)) return absl::OkStatus();
    // For writing: what is mapped for reading can't be synced.
    absl::StatusOr<std::unique_ptr<File>> file = fs_.Open(layout_.segment(segment.number), Access::kReadWrite);
    if (absl::IsNotFound(file.status())) return absl::OkStatus();
    KB_RETURN_IF_ERROR(file.status());
    KB_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Info());
    end = std::min(end, info.size);
    if (end <= from) return absl::OkStatus();
    KB_ASSIGN_OR_RETURN(mapped, (*file)->Map(Access::kReadWrite, end));
    mapping = mapped.get();
  }
  end = std::min(end, mapping->size());
  if (end > from) KB_RETURN_IF_ERROR(mapping->Sync(from, end - from));
  segment.synced_end = std::max(segment.synced_end, end);
  return absl::OkStatus();
}

absl::Status SegmentSync::Judge(SegmentNumber segment, const absl::Status& status) {
  if (!SyncFailed(status) || Planted(PlantedBug::kRetryFailedSync)) return status;
  mark_.Poison(segment);
  return absl::AbortedError(absl::StrCat(status.message(), ": a sync failed; whether what was written after seq ",
                                         mark_.synced(), " lasts is unknown"));
}

}  // namespace kekbit
