// Environment is what all units of a replica use and none of them owns: what the user chose, the
// journal's files, and the signs that the replica's threads give each other.
//
// Thread safety: any thread; mark and wake as they say.

#ifndef KEKBIT_REPLICATION_CORE_ENVIRONMENT_H_
#define KEKBIT_REPLICATION_CORE_ENVIRONMENT_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/free_space.h"
#include "kekbit/base/logger.h"
#include "kekbit/base/stop_event.h"
#include "kekbit/replication/core/state_hooks.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/start.h"
#include "kekbit/replication/replica_options.h"
#include "kekbit/replication/stats/replica_stats.h"
#include "kekbit/wake_event.h"

namespace kekbit {

// Returns what a replica of such a journal can begin with.
inline StartRules RulesFor(const JournalContent& content, const StateHooks& hooks) {
  return {.content = content, .loads = hooks.load != nullptr, .type = hooks.snapshot_type};
}

struct Environment {
  FileSystem& fs() const { return *options.file_system; }
  int64_t MonotonicNanos() const { return options.clock->MonotonicNanos(); }

  // Logs the text, with the journal's directory before it.
  void Say(LogSeverity severity, absl::string_view text) const;
  // Counts and logs the error.
  void LogError(const absl::Status& error, absl::string_view what) const;

  const ReplicaOptions options;
  const JournalContent content;
  const JournalLayout layout;
  const StateHooks hooks;
  EpochStore epochs;
  SyncMark mark;
  const uint64_t boot_clock;  // for SyncMark::journal_line()
  const std::unique_ptr<ReplicaStats> stats;
  FreeSpace space;  // where the journal is

  WakeEvent wake;  // for sleeping: the loop's; for waking the loop: anybody's
  // Events end a thread's wait; on descriptors.
  StopEvent loop_event;
  StopEvent lease_event;
  StopEvent snapshot_event;
  StopEvent archive_event;
  std::atomic<bool> stopping = false;
  std::atomic<bool> beat_waits = false;  // somebody who would show a sign of life waits for the mutex
  std::atomic<bool> lease_held = false;  // the loop's sign that the lease is there
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_ENVIRONMENT_H_
