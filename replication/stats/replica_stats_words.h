// The words of a replica's statistics: a file DIR/replicas/PID-STARTTIME-N.stats, from its first
// byte on.
//
// ReplicaStats (replica_stats.h) stores them, ReadReplicaStats (replica_facts.h) loads them; both
// only by the accessors of kekbit/base/shared_word.h.

#ifndef KEKBIT_REPLICATION_STATS_REPLICA_STATS_WORDS_H_
#define KEKBIT_REPLICATION_STATS_REPLICA_STATS_WORDS_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kekbit/replication/stats/histogram.h"
#include "kekbit/replication/stats/versioned_words.h"

namespace kekbit {

inline constexpr uint64_t kReplicaStatsMagic = 0x3153'5441'5442'4B4B;  // "KKBTATS1" as bytes
inline constexpr uint64_t kReplicaStatsVersion = 1;

// Longest text of an error that is kept, in bytes: what follows four other words.
inline constexpr size_t kErrorTextBytes = 59 * sizeof(uint64_t);

// Little endian; a reader takes what it knows of a longer file of the same version. Words that
// different threads write are in different pairs of cache lines. They are in files: never change
// them.
struct ReplicaStatsWords {
  // Set before the file has its name.
  uint64_t magic = 0;
  uint64_t version = 0;
  uint64_t pid = 0;
  uint64_t start_time = 0;  // as in ProcessId
  uint64_t pid_namespace = 0;
  uint64_t created_ns = 0;  // since the Unix epoch
  uint64_t may_lead = 0;    // 1 or 0
  // Since its creation: the process that keeps the lease or its turn, shows no sign of life, and
  // can't be killed by this replica: pid, start time, pid namespace, ns of when that was said. All
  // 0: there is none now.
  VersionedWords<4> unkillable;

  // Words of what this replica published itself, as primary.
  uint64_t published_seq = 0;
  uint64_t published_epoch = 0;
  uint64_t published_time_ns = 0;  // the frame's
  uint64_t reserved2[13] = {};

  // Words of what this replica read, as follower.
  uint64_t applied_seq = 0;
  uint64_t applied_epoch = 0;
  uint64_t applied_time_ns = 0;  // the frame's
  uint64_t applied_segment = 0;  // where the next frame is looked for; 0: not said
  uint64_t applied_offset = 0;
  uint64_t reserved3[11] = {};

  uint64_t synced_seq = 0;
  uint64_t reserved4[15] = {};

  VersionedWords<7> role;  // 1 + the Role, epoch, since ns, ended ns (0: not); zeros
  uint64_t reserved5 = 0;
  VersionedWords<15> takeover;  // how many, ns of all, the last TakeoverReport, its times in ns; zeros
  uint64_t reserved6 = 0;
  VersionedWords<15> snapshot;  // how many, the last: epoch, seq, at ns, bytes, ns; zeros
  uint64_t reserved7 = 0;
  VersionedWords<63> error;  // how many, the last: code, at ns, bytes of its text, the text in 59 words
  uint64_t reserved8 = 0;

  HistogramWords apply_ns;    // of one command in about 64
  HistogramWords execute_ns;  // of one call in about 64, until it was acknowledged
  HistogramWords sync_ns;     // of each sync
  HistogramWords group;       // commands that became synced by each sync
};
static_assert(std::is_trivially_copyable_v<ReplicaStatsWords> && sizeof(ReplicaStatsWords) == 22400);
static_assert(offsetof(ReplicaStatsWords, published_seq) == 128 && offsetof(ReplicaStatsWords, applied_seq) == 256);
static_assert(offsetof(ReplicaStatsWords, synced_seq) == 384 && offsetof(ReplicaStatsWords, role) == 512);
static_assert(offsetof(ReplicaStatsWords, takeover) == 640 && offsetof(ReplicaStatsWords, snapshot) == 896);
static_assert(offsetof(ReplicaStatsWords, error) == 1152 && offsetof(ReplicaStatsWords, apply_ns) == 2176);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_REPLICA_STATS_WORDS_H_
