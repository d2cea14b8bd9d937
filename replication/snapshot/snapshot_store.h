// SnapshotStore is the directory of a journal's snapshots: finds the newest good one, and keeps the
// last two.
//
//   SnapshotStore store(fs, layout.snapshots());
//   KB_ASSIGN_OR_RETURN(SnapshotStore::Found found, store.FindNewest(StateType<Ledger>()));
//   for (const auto& damaged : found.passed_over) log(damaged.ToString());
//   if (found.snapshot != nullptr) KB_RETURN_IF_ERROR(LoadState(*found.snapshot, &ledger));
//   ... the journal from found.snapshot->header().last on ...
//
// Several processes may share the directory: each may write snapshots (see snapshot_writer.h), and
// Retain() at any time. Files with other names are passed over and left alone. Writers that died
// have left nothing: their file had no name.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STORE_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STORE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"

namespace kekbit {

class SnapshotStore final {
 public:
  // How many verified snapshots are kept.
  static constexpr size_t kKept = 2;

  // `fs` outlives the store. The directory need not exist.
  SnapshotStore(FileSystem& fs, std::string directory) : fs_(fs), directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string PathOf(Seq seq) const { return JoinPath(directory_, SnapshotName(seq)); }

  // Returns the seqs of all files that are named as snapshots, ascending.
  absl::StatusOr<std::vector<Seq>> List() const;

  struct Found {
    std::unique_ptr<SnapshotReader> snapshot;  // at the beginning of the state; none if there is no good one
    std::vector<absl::Status> passed_over;     // why each newer one is not good: DataLoss with its path; newest first
  };
  // Finds the newest snapshot that is good from the first byte to the last. A damaged snapshot is
  // passed over, for the next older. FailedPrecondition if the newest good snapshot was written by
  // a newer version of kekbit or of the state's class, or is of another class. An older one is not
  // taken instead. nullopt: of any class.
  absl::StatusOr<Found> FindNewest(const std::optional<SnapshotType>& known);

  // Checks that snapshot from the first byte to the last. DataLoss if it is not good, NotFound if
  // it is gone, another code if nobody can tell. What this object has seen to be good is not read
  // again.
  absl::StatusOr<SnapshotHeader> Check(Seq seq) { return Verify(seq, /*trusting=*/true); }

  struct Retained {
    std::vector<SnapshotHeader> kept;   // verified; newest first; up to kKept
    std::vector<Seq> removed;           // older ones, good or not
    std::vector<absl::Status> damaged;  // those that were passed over, and are still there
    // Returns the last frame that no kept snapshot needs: the journal may be trimmed up to there. 0
    // if there are fewer than kKept.
    Seq journal_may_go_up_to() const { return kept.size() < kKept ? 0 : kept.back().last.position.seq; }
  };
  // Verifies the newest snapshots, unless verified before, until there are kKept good ones; deletes
  // what is older. Deletes nothing if there are fewer, or if one has a newer format, which this
  // code can't verify.
  absl::StatusOr<Retained> Retain();

 private:
  struct Verified {
    FileInfo file;
    SnapshotHeader header;
  };

  // Returns NotFound if one of them is gone.
  absl::StatusOr<Found> FindNewestOf(const std::vector<Seq>& seqs, const std::optional<SnapshotType>& known);
  // Returns DataLoss if the snapshot is not good, NotFound if it is gone. With `trusting`, a file
  // that this object has seen to be good is not read again.
  absl::StatusOr<SnapshotHeader> Verify(Seq seq, bool trusting);

  FileSystem& fs_;
  const std::string directory_;
  std::map<Seq, Verified> verified_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STORE_H_
