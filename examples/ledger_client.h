// LedgerClient sends commands to a primary and keeps book of what was acknowledged. After a
// failover the client finds out what became of unanswered commands. LedgerAudit proves from the
// journal itself that nothing was lost.

#ifndef KEKBIT_EXAMPLES_LEDGER_CLIENT_H_
#define KEKBIT_EXAMPLES_LEDGER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/ledger_process.h"
#include "examples/ledger_state.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/reader_cursor.h"

namespace kekbit::examples {

class LedgerClient final {
 public:
  // Done is a command that is surely done.
  struct Done {
    Ledger::Command command;
    Seq seq;
  };

  // `directory`: of the journal. `next` makes the commands, one after the other, for ever.
  LedgerClient(std::string directory, std::function<Ledger::Command()> next)
      : directory_(std::move(directory)), next_(std::move(next)) {}

  // Keeps the primary busy until `enough()`, asked after each batch of answers, is true.
  // Unavailable if the primary died; all that it had answered is then taken into account.
  absl::Status Drive(LedgerProcess& primary, const std::function<bool()>& enough);

  // Takes every answer that is still to come, until all that was sent is answered. Unavailable if
  // the primary died.
  absl::Status Drain(LedgerProcess& primary);

  // Makes the primary step down after all that was sent, once there is a standby, and takes every
  // answer. The next commands are for the standby. Unavailable if the primary died.
  absl::Status StepDown(LedgerProcess& primary);

  // Fails over after the death of the primary: has `standby` do the command `first`, and waits for
  // the answer. Then the journal says which of the unanswered commands the dead primary had
  // published; the others will be sent again. Returns how many were published. Unavailable if the
  // standby died, too: call this with the next standby then.
  absl::StatusOr<size_t> FailOver(LedgerProcess& standby, const Ledger::Command& first);

  // Returns the commands in the order in which they were done.
  const std::vector<Done>& done() const { return done_; }
  size_t unanswered() const { return sent_.size(); }

 private:
  absl::Status Step(LedgerProcess& primary, bool send);
  absl::Status TakeAnswers();
  void Queue(const Ledger::Command& command);
  // Appends what is left of the longest dead primary's commands to `lost`.
  void LoseFirst(std::deque<Ledger::Command>* lost);

  std::string directory_;
  std::function<Ledger::Command()> next_;
  std::deque<Ledger::Command> sent_;    // to the living primary, and not answered yet
  std::deque<Ledger::Command> resend_;  // to be sent before new ones
  // Commands sent to primaries that died since the last acknowledgement, not answered: an entry for
  // each primary.
  std::deque<std::deque<Ledger::Command>> unsure_;
  bool stepping_down_ = false;  // the answer to that comes after those to sent_
  std::string to_send_;
  std::string answers_;
  std::vector<Done> done_;
};

// LedgerAudit reads the journal and compares it with what a client knows.
class LedgerAudit final {
 public:
  // Reads from the journal's beginning on. With a name the audit registers as a reader: what it has
  // not read is not trimmed.
  static absl::StatusOr<LedgerAudit> Open(const std::string& directory, const std::string& name = "");

  // Reads on to the end of the journal. Its commands must be those of `done`, each once, in this
  // order, at the seq that was acknowledged, and nothing else. DataLoss with the first difference.
  // Remembers how far the audit came: `done` may only have grown since the last call. REQUIRES: the
  // client has no command on the way.
  absl::Status Check(const std::vector<LedgerClient::Done>& done);

  // Returns the state after all commands read, made by this audit's own Ledger.
  const Ledger& ledger() const { return ledger_; }
  // Returns how many commands were compared.
  size_t commands() const { return commands_; }
  Position last() const { return reader_.last().position; }

 private:
  LedgerAudit(std::optional<ReaderCursor> cursor, JournalReader reader)
      : cursor_(std::move(cursor)), reader_(std::move(reader)) {}

  std::optional<ReaderCursor> cursor_;
  JournalReader reader_;
  Ledger ledger_;
  size_t commands_ = 0;
};

// Returns the command as written to a ledger's input, without the end of line.
std::string ToLine(const Ledger::Command& command);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_LEDGER_CLIENT_H_
