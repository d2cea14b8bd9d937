// An incarnation is one life of a journal: a number that no other journal has, and what it was
// restored from. Archives tell journals apart by it: a journal and what was restored from its
// archive go different ways.
//
// File: DIR/incarnation, 64 bytes, see archive_format.md. Made when the journal is first archived,
// or restored; never changed after that. Whoever gives a part of a journal up for good moves the
// file aside, so that the archive of before is left as it is.
//
// Thread safety: any thread; several processes may make it at once, one of them does.

#ifndef KEKBIT_REPLICATION_ARCHIVE_INCARNATION_H_
#define KEKBIT_REPLICATION_ARCHIVE_INCARNATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/recovery/aside.h"

namespace kekbit {

struct Incarnation {
  uint64_t id = 0;  // not 0
  Origin origin;

  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

// Returns a number that nobody has.
uint64_t NewIncarnationId();

// Returns the path of the file.
std::string IncarnationPath(const JournalLayout& layout);

// Reads the file. NotFound if there is none; DataLoss if it is damaged.
absl::StatusOr<Incarnation> ReadIncarnation(FileSystem& fs, const JournalLayout& layout);

// Makes the file; it is on stable storage once this returns. AlreadyExists if there is one.
absl::Status WriteIncarnation(FileSystem& fs, const JournalLayout& layout, const Incarnation& incarnation);

// Reads the file, or makes it with a new number.
absl::StatusOr<Incarnation> TakeIncarnation(FileSystem& fs, const JournalLayout& layout);

// Moves the file aside, if there is one: a part of the journal is given up, so it goes another way
// from here on. Appends the path to `kept`.
absl::Status SetIncarnationAside(FileSystem& fs, const JournalLayout& layout, Aside& aside,
                                 std::vector<std::string>& kept);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_INCARNATION_H_
