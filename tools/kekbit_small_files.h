// What `verify` and `repair` ask of a journal beside its segments and snapshots: how the small files are.
//
// Thread safety: one thread at a time. Nothing here changes anything.

#ifndef KEKBIT_TOOLS_KEKBIT_SMALL_FILES_H_
#define KEKBIT_TOOLS_KEKBIT_SMALL_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

// A small file that is not what it should be.
struct BadFile {
  std::string path;
  std::string reason;  // with the path, and what it means for the journal
  bool moves = true;   // whether it is in somebody's way: repair moves it aside
  bool stops = false;  // whether it keeps every replica from opening the journal, or from leading
};
// Looks at DIR/epoch, DIR/synced, DIR/wake, DIR/lease, and those in DIR/readers and DIR/replicas; one that is not there
// is fine, as is one of a newer version. Then at the directories: what stands there must be one.
absl::StatusOr<std::vector<BadFile>> CheckSmallFiles(FileSystem& fs, const JournalLayout& layout);

// DataLoss if the path is a link to nothing: where files are opened, it is not there; where they are made, it is.
absl::Status CheckNoDeadLink(FileSystem& fs, const std::string& path);

// Whether there is anything of a journal in the directory, be its segments gone.
bool HoldsJournal(FileSystem& fs, const JournalLayout& layout);

// The file by which the lease is taken: see Lease.
std::string LeaseNext(const JournalLayout& layout);
// Whether the files are there, or can be made, that a primary locks; not where one of them is a directory.
bool LeaseCanBeTaken(FileSystem& fs, const JournalLayout& layout);
// Whether anything can be moved to DIR/aside.
bool AsideCanBeUsed(FileSystem& fs, const JournalLayout& layout);

// Whether somebody holds the lease: a primary that lives, or is about to be one.
absl::StatusOr<bool> LeaseHeld(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_SMALL_FILES_H_
