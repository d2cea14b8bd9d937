// KillLoop is a journal of a ledger whose processes are killed, restarted and told to step down at
// random, while they take snapshots and trim the journal.
//
// After each round every acknowledged command stands in the journal once, in order. The same state
// is held by the primary, by a follower that goes through all rounds, and by a follower that starts
// now, from the newest snapshot. Before and after a hand-over the standby holds it, too.

#ifndef KEKBIT_TESTS_SCENARIOS_KILL_LOOP_H_
#define KEKBIT_TESTS_SCENARIOS_KILL_LOOP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "examples/ledger_client.h"
#include "examples/ledger_process.h"
#include "examples/ledger_state.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

struct KillFigures {
  std::map<std::string, uint64_t> rounds;
  uint64_t kills = 0;
  uint64_t step_downs = 0;
  uint64_t commands = 0;
  uint64_t unanswered = 0;  // on the way when their primary died
  uint64_t published = 0;   // of these
  uint64_t segments = 0;
  uint64_t segments_cut = 0;
  uint64_t damaged = 0;         // snapshots, by the loop
  uint64_t from_snapshots = 0;  // starts of a follower that did not read the journal from its beginning
  std::vector<absl::Duration> takeovers;
  absl::Duration slowest;
  std::string slowest_in;  // which kind of round
};

class KillLoop final {
 public:
  // `ledger`: the program. `directory`: of the journal. `ack`: the stage that most processes
  // acknowledge at.
  KillLoop(std::string ledger, std::string directory, Ack ack, std::mt19937_64* random, KillFigures* figures);

  absl::Status Run(uint64_t rounds);

 private:
  using Process = std::unique_ptr<LedgerProcess>;

  uint64_t Random(uint64_t from, uint64_t to) { return std::uniform_int_distribution<uint64_t>(from, to)(random_); }
  void Pause(uint64_t us_max);

  absl::StatusOr<Process> StartProcess();
  Ledger::Command NextCommand();
  // Returns a command that is not mixed up with any other.
  Ledger::Command Probe() { return OpenAccount{.name = absl::StrCat("probe-", ++probes_), .amount = 0}; }
  // Commands for a while; some are on the way when it returns.
  absl::Status Load();
  void Kill(LedgerProcess& process);
  // Takes what the dead primary had answered.
  absl::Status Bury();

  // Goes on with `next`, which is to become the primary; Unavailable if it dies before it has
  // answered.
  absl::Status FailOver(LedgerProcess& next);
  absl::Status Promote(Process next);
  absl::Status KillDuringFailOver(LedgerProcess& next, uint64_t after_us);
  // Waits until one of both processes leads in an epoch after `before`, and makes it the primary.
  absl::Status AwaitLeader(Epoch before);
  absl::StatusOr<Epoch> CurrentEpoch() const;

  absl::Status RunRound(const std::string& name);
  absl::Status RunRoundBody(const std::string& name);
  absl::Status KillPrimary(const std::string& name);
  absl::Status StepDown();
  absl::Status KillWhileSteppingDown();
  // Both processes are dead: starts both at once.
  absl::Status RestartAll();
  // Flips a bit of the newest of two snapshots.
  absl::Status DamageSnapshot();

  absl::Status Check();
  absl::Status CheckProcess(LedgerProcess& process);
  absl::Status CheckReplica(Replica<Ledger>& replica, absl::string_view who);
  absl::Status CheckDigest(uint64_t digest, absl::string_view who);
  absl::Status Finish();

  const std::string ledger_;
  const std::string directory_;
  const Ack ack_;
  LedgerClient client_;
  std::optional<LedgerAudit> audit_;
  Process primary_;
  Process standby_;
  std::unique_ptr<Replica<Ledger>> follower_;
  std::mt19937_64& random_;
  KillFigures& figures_;
  std::string round_;
  int64_t opened_ = 0;
  uint64_t probes_ = 0;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_TESTS_SCENARIOS_KILL_LOOP_H_
