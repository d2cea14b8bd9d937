// ExamineTail looks at the place where a reader of the journal stopped, and says what the place is:
// see tail_verdict.h. Nothing is changed.
//
// Thread safety: one thread at a time; while nobody writes to the journal.

#ifndef KEKBIT_REPLICATION_RECOVERY_JOURNAL_TAIL_H_
#define KEKBIT_REPLICATION_RECOVERY_JOURNAL_TAIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery/tail_verdict.h"

namespace kekbit {

// KnownSeq is something other than the journal that shows how far the journal reached on the disk:
// a verified snapshot, a cursor.
struct KnownSeq {
  Seq seq = 0;
  std::string what;  // for messages: "the snapshot PATH"
};

struct JournalTail {
  TailFacts facts;
  TailVerdict verdict = TailVerdict::kClean;
  // True if the frames go on in the next segment: its writer decided that this segment ends here.
  // Anything else that stands here then (facts.misfit) was truncated by that.
  bool continues = false;

  // Where the frames end: see JournalReader. `path` is that of the segment. If no segment is open,
  // it is that of the first later segment, or the journal's directory.
  SegmentNumber segment = 0;
  bool segment_open = false;
  uint64_t offset = 0;  // in the data area
  std::string path;
  // True if something else than the end of the records stands there; it ends before `end`.
  bool occupied = false;
  uint64_t end = 0;
  // Later segments, which do not follow what was read; empty if `continues`.
  std::vector<SegmentNumber> beyond;

  // Whole frames found in the bytes that don't belong, and their last seq; 0: none.
  uint64_t whole_frames = 0;
  Seq last_whole_seq = 0;

  std::string what;      // what is wrong at the place, with path and offset; empty if nothing is
  std::string evidence;  // for damage: what shows that it is

  // Returns the error for damage: DataLoss, with the file, offset, seq, and what to do.
  absl::Status Error(const JournalLayout& layout) const;
};

// Examines the place where the reader has read all it can. `mark` may be null: nothing is known of
// syncs. Returns the reader's own error if that is not about the journal's bytes: an unknown
// format, say, or no memory. A segment that is missing between others is OutOfRange, since it may
// have been trimmed just now. With `holes`, when nobody trims, it is damage, too.
absl::StatusOr<JournalTail> ExamineTail(FileSystem& fs, const JournalLayout& layout, const JournalReader& reader,
                                        const SyncMark* mark, const std::vector<KnownSeq>& known, bool holes = false);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_JOURNAL_TAIL_H_
