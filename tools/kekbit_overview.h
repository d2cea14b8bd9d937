// Shows a journal with all its replicas for the `kekbit` command: as JSON objects, or as lines for
// people.
//
// Thread safety: any thread.

#ifndef KEKBIT_TOOLS_KEKBIT_OVERVIEW_H_
#define KEKBIT_TOOLS_KEKBIT_OVERVIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "kekbit/replication/journal_view.h"

namespace kekbit {

// EarlierLook is an earlier look, to say how fast things go.
struct EarlierLook {
  const JournalFacts* facts = nullptr;  // none yet
  absl::Duration ago;
};

// Returns one JSON object a line. The first is of the kind "journal": `directory`, `epoch`,
// `first_seq`, `last_epoch`, `last_seq`, `last_time`, `segments`, `first_segment`, `last_segment`,
// `bytes`, `synced`, `poisoned`, `lease` ("held" or "free"), `primary_start_time`,
// `primary_pid_namespace`, `primary_pid`, `primary_silent_ns` (since its last sign of life),
// `primary_hangs`, `primary_stopped`, `snapshots`, `newest_snapshot_seq`, `newest_snapshot_bytes`,
// `replicas_alive`, `replicas_dead`, `reason` (why frames after the last can't be read). Then comes
// a "replica" for each, a "reader" for each registered reader, and an "unreadable" for what else
// exists and can't be read, with `reason`. What is not known is left out. Times are in nanoseconds,
// points in time since the Unix epoch.
std::vector<std::string> OverviewJson(const JournalFacts& facts, const EarlierLook& earlier = {});

// Returns the overview for people.
std::vector<std::string> OverviewText(const JournalFacts& facts, const EarlierLook& earlier = {});

// "0", "999 ns", "1.23 us", "45.6 ms", "7.89 s", "12 min", "3.4 h", "5.6 d".
std::string NanosText(int64_t nanos);
// "0", "999 B", "1.2 KiB", ...
std::string BytesText(uint64_t bytes);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_OVERVIEW_H_
