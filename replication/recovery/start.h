// FindStart decides where a replica begins: with which snapshot, and at which place of the journal.
// SurveyStart asks the same for an operator, and looks at every other snapshot, too.
//
//   KB_ASSIGN_OR_RETURN(ReplicaStart start, FindStart(fs, layout, {.content = content, .type = type}));
//   if (start.found.snapshot != nullptr) KB_RETURN_IF_ERROR(Load(*start.found.snapshot));
//   ... apply what start.reader gives ...
//
// A state begins after the newest good snapshot; without one, with seq 1. Damaged snapshots are
// passed over. A snapshot that this code can't read is not: an older one is not taken instead.
//
// Thread safety: one thread at a time. Nothing here changes anything. A journal that lives may be
// trimmed meanwhile, and its snapshots replaced: then all is looked at anew.

#ifndef KEKBIT_REPLICATION_RECOVERY_START_H_
#define KEKBIT_REPLICATION_RECOVERY_START_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {

// StartRules says what a replica can begin with.
struct StartRules {
  JournalContent content = {};  // what the commands must be
  // False: the state can't be loaded. The replica begins with seq 1, and snapshots do not matter.
  bool loads = true;
  std::optional<SnapshotType> type = std::nullopt;  // what a snapshot must be; nullopt: any
};

// ReplicaStart is where a replica begins: the newest good snapshot, if any, and the later journal.
struct ReplicaStart {
  SnapshotStore::Found found;
  JournalReader reader;

  // Returns the last frame whose effect the snapshot holds; 0: there is no snapshot.
  Seq snapshot_seq() const { return found.snapshot == nullptr ? 0 : found.snapshot->header().last.position.seq; }
};

// OutOfRange and DataLoss if there is no place: the message has the snapshots that were looked at,
// and the commands that show what can be done. Whether all segments exist is not checked: see
// CheckSegments().
absl::StatusOr<ReplicaStart> FindStart(FileSystem& fs, const JournalLayout& layout, const StartRules& rules);

// SnapshotSeen is a file that is named as a snapshot.
struct SnapshotSeen {
  Seq seq = 0;
  std::string path;
  // OK if the snapshot is whole; DataLoss with path and offset if it is damaged, another code if
  // this version can't read it.
  absl::Status good;
  ChainLink last;  // the last frame of its state, if the snapshot is good
  // OK if the journal goes on after that frame. DataLoss if it has another history, or ends before.
  // OutOfRange if what comes after is no longer kept. FailedPrecondition if this version can't read
  // the journal.
  absl::Status joins;
};

// StartSurvey is what there is to begin with, whatever the commands and the state are.
struct StartSurvey {
  std::vector<SnapshotSeen> snapshots;  // newest first
  Seq first_kept = 1;                   // of the first segment; 0: it can't be read
  // OK if FindStart() finds a place to begin; else its error, without the advice.
  absl::Status begins;
  // OK if the segments exist that must exist.
  absl::Status there;

  // OK if a replica opens the journal, or begins to.
  absl::Status opens() const { return begins.ok() ? there : begins; }

  // Returns the snapshot that a replica begins with; null: there is no good one.
  const SnapshotSeen* newest_good() const;
};

// Reads every snapshot from the first byte to the last.
absl::StatusOr<StartSurvey> SurveyStart(FileSystem& fs, const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_START_H_
