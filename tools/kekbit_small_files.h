// What `verify` and `repair` ask of a journal beside its segments: where its frames end for a new primary, and how the
// small files are.
//
// Thread safety: one thread at a time. Nothing here changes anything.

#ifndef KEKBIT_TOOLS_KEKBIT_TAIL_H_
#define KEKBIT_TOOLS_KEKBIT_TAIL_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/file_system.h"
#include "replication/journal_layout.h"
#include "replication/journal_reader.h"
#include "replication/journal_tail.h"
#include "replication/sync_mark.h"

namespace kekbit {

// A small file that is not what it should be.
struct BadFile {
  std::string path;
  std::string reason;  // with the path
};
// Looks at DIR/epoch, DIR/synced and DIR/lease; one that is not there is fine.
std::vector<BadFile> CheckSmallFiles(FileSystem& fs, const JournalLayout& layout);

// Whether somebody holds the lease: a primary that lives, or is about to be one.
absl::StatusOr<bool> LeaseHeld(FileSystem& fs, const JournalLayout& layout);

// A reader where a replica would begin: behind the newest snapshot that is good, else at the first frame kept. `known`
// is given that snapshot.
absl::StatusOr<JournalReader> OpenAtStart(FileSystem& fs, const JournalLayout& layout, std::vector<KnownSeq>& known);

// Where the frames end for a new primary.
struct JournalEnd {
  JournalTail tail;
  ChainLink last;
};
// `mark`: as it was before anything was read; null: none.
absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_TAIL_H_
