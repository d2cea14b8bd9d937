// ReplicaFacts is what a replica's statistics say, read at one time, of a live replica or a dead
// one.
//
//   for (const std::string& path : ListStatsFiles(fs, layout)) {
//     absl::StatusOr<ReplicaFacts> facts = ReadReplicaStats(fs, path);
//     ...
//   }
//
// Whatever bytes the file holds, a read gives facts or an error. DataLoss: the file is none of
// these files. FailedPrecondition: the file is of a newer version. Nothing is written, and the
// replica does not notice.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_STATS_REPLICA_FACTS_H_
#define KEKBIT_REPLICATION_STATS_REPLICA_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/lease/process_watch.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/role.h"
#include "kekbit/replication/stats/histogram.h"
#include "kekbit/replication/stats/replica_stats.h"
#include "kekbit/replication/stats/replica_stats_words.h"
#include "kekbit/replication/takeover_report.h"

namespace kekbit {

// Times are nanoseconds since the Unix epoch; 0: never.
struct ReplicaFacts {
  struct Takeovers {
    uint64_t count = 0;
    int64_t total_ns = 0;
    // Figures of the last one.
    int64_t at_ns = 0;
    TakeoverReport report;
  };
  struct Snapshots {
    uint64_t count = 0;
    // Figures of the last one.
    int64_t at_ns = 0;
    SnapshotTaken taken;
  };
  struct Error {
    uint64_t count = 0;
    // Figures of the last one.
    int64_t at_ns = 0;
    absl::Status status;  // its text cut to kErrorTextBytes
  };

  // A process that hangs with the lease, and that this replica was to kill and can't.
  struct Unkillable {
    ProcessId process;
    int64_t at_ns = 0;  // when that was found
  };

  std::string path;    // empty if read from memory
  bool alive = false;  // the replica's lock is held
  ProcessId process;
  int64_t created_ns = 0;
  bool may_lead = false;

  std::optional<Role> role;  // of a dead replica: its last; nullopt if the file has none that this code knows
  Epoch epoch = 0;           // that the role was taken in
  int64_t role_since_ns = 0;
  int64_t ended_ns = 0;  // when the replica was closed; 0 for one that is dead: it was killed, or crashed

  Position published;  // by itself, as primary
  int64_t published_time_ns = 0;
  Position applied;  // published by the replica itself, or read
  int64_t applied_time_ns = 0;
  Seq synced = 0;  // by itself
  // The place where a follower looks for the next frame; nullopt if it did not say.
  SegmentNumber segment = 0;
  uint64_t offset = 0;

  Takeovers takeovers;
  Snapshots snapshots;
  std::optional<Error> last_error;
  std::optional<Unkillable> unkillable;

  Histogram apply_ns;
  Histogram execute_ns;
  Histogram sync_ns;
  Histogram group;

  // Returns true if the replica lives, and follows so as to take over.
  bool stands_by() const { return alive && may_lead && role == Role::kFollower; }
};

absl::StatusOr<ReplicaFacts> ReadReplicaStats(FileSystem& fs, const std::string& path);

// Returns the facts of a journal's living replicas, as far as their statistics can be read.
std::vector<ReplicaFacts> ReadLivingReplicas(FileSystem& fs, const JournalLayout& layout);

// Reads words in memory, as ReplicaStats::words(). Knows neither path nor life.
ReplicaFacts ReadReplicaStats(const ReplicaStatsWords& words);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_REPLICA_FACTS_H_
