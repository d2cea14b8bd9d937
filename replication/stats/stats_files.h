// The files of replicas' statistics: their names, which exist, and which may go.
//
// Errors: what can't be listed, opened or removed is passed over, since nobody depends on it.
// Thread safety: any thread, any process; two that remove at once remove the same.

#ifndef KEKBIT_REPLICATION_STATS_STATS_FILES_H_
#define KEKBIT_REPLICATION_STATS_STATS_FILES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

// PID-STARTTIME-N.stats: pid and start time as in ProcessId, which tell apart processes of the same
// pid.
struct StatsFileName {
  uint64_t pid = 0;
  uint64_t start_time = 0;
  uint64_t number = 0;  // of the replica in its process

  std::string ToString() const;
};
// Returns nullopt for any other name.
std::optional<StatsFileName> ParseStatsFileName(absl::string_view name);

// Returns the paths of all files with such names, in the order of their names.
std::vector<std::string> ListStatsFiles(FileSystem& fs, const JournalLayout& layout);

// Returns true if the replica lives: its file is locked. False also if that can't be asked.
bool IsReplicaAlive(FileSystem& fs, const std::string& path);

// Removes files of dead replicas, the oldest first, until at most `kept` are left.
void RemoveDeadStats(FileSystem& fs, const JournalLayout& layout, size_t kept);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_STATS_FILES_H_
