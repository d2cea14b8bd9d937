// Checks a journal's small files, beside its segments and snapshots, for `verify` and `repair`.
//
// What is promised of each file, and so what a bad file means:
//
//   file or directory    who needs it                            if it is bad
//   epoch, synced        every replica                           damage; nobody opens the journal
//   wake                 every replica, for nothing that lasts   damage; nobody opens the journal
//   lease, lease.next    a primary, for the lock                 damage if no file; its bytes: a note
//   segments, snapshots  every replica                           damage; see FindStart()
//   readers/NAME         that reader                             damage; the reader starts over
//   replicas             `kekbit stat`, StepDown()               damage
//   replicas/*.stats     `kekbit stat`                           a note: nobody syncs them
//   aside                recovery and repair, to move things to  damage; what is in it is nobody's
//   any other name       nobody                                  passed over
//
// Thread safety: one thread at a time. Nothing here changes anything.

#ifndef KEKBIT_REPLICATION_RECOVERY_JOURNAL_FILES_H_
#define KEKBIT_REPLICATION_RECOVERY_JOURNAL_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

// BadFile is a small file that is not what it should be.
struct BadFile {
  std::string path;
  std::string reason;  // with the path, and what it means for the journal
  bool damage = true;  // false: nobody was promised anything of it, so the journal is sound all the same
  bool moves = true;   // whether the file is in somebody's way: repair moves it aside
  bool stops = false;  // whether it keeps every replica from opening the journal, or from leading
};
// Looks at all of these but segments and snapshots, of which it only looks whether they are
// directories. One that is not there is fine, as is one of a newer version.
absl::StatusOr<std::vector<BadFile>> CheckSmallFiles(FileSystem& fs, const JournalLayout& layout);

// Appends RepairHint() to an error for which a journal can't be opened, if something of the journal
// is damaged or missing, or something else stands in the place of a file: unless the error names
// the command already.
absl::Status WithRepairHint(FileSystem& fs, const JournalLayout& layout, const absl::Status& error);

// Returns true if there is anything of a journal in the directory, even without segments.
bool HoldsJournal(FileSystem& fs, const JournalLayout& layout);

// Returns the file by which the lease is taken: see Lease.
std::string LeaseNext(const JournalLayout& layout);
// Returns true if the files that a primary locks exist, or can be made; false where a directory
// stands in the way.
bool LeaseCanBeTaken(FileSystem& fs, const JournalLayout& layout);
// Returns true if anything can be moved to DIR/aside.
bool AsideCanBeUsed(FileSystem& fs, const JournalLayout& layout);

// Returns true if somebody holds the lease: a primary that lives, or is about to be one.
absl::StatusOr<bool> LeaseHeld(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_JOURNAL_FILES_H_
