// RecoveryReport is what opening a journal took, and what recovery did since; for logs.

#ifndef KEKBIT_REPLICATION_RECOVERY_REPORT_H_
#define KEKBIT_REPLICATION_RECOVERY_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct RecoveryReport {
  std::string snapshot = {};  // the path of the snapshot that was loaded; empty: none
  Seq snapshot_seq = 0;
  std::vector<std::string> skipped = {};  // snapshots that were passed over, and why
  uint64_t frames = 0;                    // replayed
  absl::Duration duration = absl::ZeroDuration();
  uint64_t bytes_cut = 0;
  std::vector<std::string> why = {};
  std::vector<std::string> aside = {};

  // Returns one line.
  std::string ToString() const;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_REPORT_H_
