// Seeking finds places in a journal: where a frame stands, by its seq or by the frame before.
//
//   KB_ASSIGN_OR_RETURN(JournalPlace place, PlaceAfter(fs, layout, content, snapshot.last));
//   KB_ASSIGN_OR_RETURN(JournalReader reader, JournalReader::At(fs, layout, content, std::move(place)));
//
// A binary search looks at what each segment says that it follows. Then the headers of one segment
// are read, up to the frame. `content`: what the commands must be. `fs` outlives the place.
//
// Thread safety: any thread, also while others write and trim.

#ifndef KEKBIT_REPLICATION_JOURNAL_SEEK_H_
#define KEKBIT_REPLICATION_JOURNAL_SEEK_H_

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// Returns the place of the frame `seq` (at least 1), which may be the next to come; the journal may
// still be to be made. OutOfRange if the frame is no longer kept, or further ahead. What is before
// the frame is not checked, but for the one just before it; the frame itself is, by the reader.
absl::StatusOr<JournalPlace> PlaceOfSeq(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                        Seq seq);

// Returns the place after a frame that is known from elsewhere, as from a snapshot: that of the seq
// after `link`, whose time is not compared. Earlier damage does not matter. OutOfRange if that seq
// is no longer kept. DataLoss if the journal does not reach that frame, or has a different frame
// of that seq.
absl::StatusOr<JournalPlace> PlaceAfter(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                        const ChainLink& link);

// Returns the place after `link` and before the first segment: no segment that exists follows
// `link`.
absl::StatusOr<JournalPlace> PlaceBeforeAll(FileSystem& fs, const JournalLayout& layout, const ChainLink& link);

// Opens a reader at PlaceOfSeq() the frame `from`.
absl::StatusOr<JournalReader> ReadJournal(FileSystem& fs, const JournalLayout& layout,
                                          const JournalContent& content = {}, Seq from = 1);

// Opens a reader at PlaceAfter() that frame.
absl::StatusOr<JournalReader> ReadJournalAfter(FileSystem& fs, const JournalLayout& layout,
                                               const JournalContent& content, const ChainLink& link);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SEEK_H_
