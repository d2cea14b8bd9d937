// SegmentSync brings segments of a journal to stable storage, in order, with their names. Nobody
// else does.
//
//   KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs, layout, mark.synced()));
//   SegmentSync sync(fs, layout, mark);
//   KB_RETURN_IF_ERROR(sync.SyncAndMark(segments, end, last_seq));   // the holder of the lease
//   KB_RETURN_IF_ERROR(sync.Sync(segments, end));                    // a follower: the mark is not its own to move
//
// Names come before contents, since a frame counts only in a file that can be found; contents come
// oldest first. A segment that is not mapped already is opened and mapped for the time of its sync
// alone: however many segments there are, one descriptor and one mapping are taken.
//
// There are two kinds of errors, and they are never mixed up:
//   Aborted      a sync was made and failed. Nobody can know what of the segment lasts, and a second sync may claim
//                success. The segment is poisoned in the mark, which ends every replica that has read it. Syncs for
//                the mark fail from then on, whichever process the system told of the error.
//   other codes  a call could not be made on the way to a sync: no descriptor, no mapping, no memory. Nothing is in
//                doubt and nothing is poisoned. Call again: what was synced by then is not synced again.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_JOURNAL_SEGMENT_SYNC_H_
#define KEKBIT_REPLICATION_JOURNAL_SEGMENT_SYNC_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// UnsyncedSegment is a segment that may hold something that is not on stable storage.
struct UnsyncedSegment {
  SegmentNumber number = 0;
  std::shared_ptr<MappedFile> mapping = nullptr;  // for writing; null: mapped for the time of its sync
  uint64_t synced_end = 0;                        // so many bytes of the file are synced
  bool named = false;                             // its name is synced
  bool whole = false;                             // all is synced, and nothing is written any more
};

// Returns the segments that may hold something after `synced`, oldest first: the newest one that
// holds a frame up to `synced`, and all later ones, up to the segment `last`. None of them is
// mapped.
absl::StatusOr<std::vector<UnsyncedSegment>> FindUnsynced(
    FileSystem& fs, const JournalLayout& layout, Seq synced,
    SegmentNumber last = std::numeric_limits<SegmentNumber>::max());

class SegmentSync final {
 public:
  // The end of the whole file.
  static constexpr uint64_t kWhole = std::numeric_limits<uint64_t>::max();

  // `fs` and `mark` outlive it.
  SegmentSync(FileSystem& fs, JournalLayout layout, SyncMark& mark)
      : fs_(fs), layout_(std::move(layout)), mark_(mark) {}

  // Syncs the segments, which are ascending: of the last one the first `end` bytes of the file, of
  // the others all. Notes in each how far it is synced, also when a later one fails. A segment that
  // is no longer there was trimmed: only what is synced is.
  absl::Status Sync(absl::Span<UnsyncedSegment> segments, uint64_t end);

  // Does the same for the holder of the lease, which moves the mark: tells of the sync as long as
  // it is under way, or failed; then all frames up to `seq` are synced.
  absl::Status SyncAndMark(absl::Span<UnsyncedSegment> segments, uint64_t end, Seq seq);

 private:
  // The directories that hold names which are not synced. Those above them once for each object.
  absl::Status SyncNames(absl::Span<UnsyncedSegment> segments);
  absl::Status SyncNamesAbove();
  absl::Status SyncContent(UnsyncedSegment& segment, uint64_t end);
  // Poisons the segment if that was the error of a sync.
  absl::Status Judge(SegmentNumber segment, const absl::Status& status);

  FileSystem& fs_;
  const JournalLayout layout_;
  SyncMark& mark_;
  bool above_synced_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SEGMENT_SYNC_H_
