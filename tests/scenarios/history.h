// History: what clients of a journal did and were told, and what replicas showed; it finds what can't be true.
//
//   History history;
//   const uint64_t id = history.Invoke();            // a client sends a command, which holds this id
//   history.Acknowledged(id, position);              // or Refused(id), or Unknown(id)
//   history.Synced(position);                        // everything up to there is acknowledged at Ack::kSynced
//   history.Saw(observer, state, applied);           // what the state of a replica, or a read, shows
//   history.Leads(observer, epoch);                  // that replica has become primary
//   EXPECT_TRUE(history.violations().empty());
//
// Checked, by the numbers of the invariants:
//   I1  what was acknowledged, or seen by anybody, is there ever after: unless the power failed or a sync, and it was
//       not acknowledged as synced.
//   I2  states are prefixes of one order of commands, without holes; each command stands there at most once, and only
//       if somebody sent it and was not told that it was refused. A batch is there whole or not at all.
//   I3, I5  all states hold the same commands at the same positions and times.
//   I4  what was lost once does not come back.
//   I6  nobody acknowledges in an epoch that was over when the command was sent; no epoch is led twice.
//   I10 an unknown outcome may be either, and is one of them for ever.
//   P15 the time of commands never goes back.
//
// Thread safety: one thread.

#ifndef KEKBIT_TESTS_SCENARIOS_HISTORY_H_
#define KEKBIT_TESTS_SCENARIOS_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// A command as a state holds it.
struct AppliedCommand {
  Position position;
  uint64_t id = 0;
  int64_t time_ns = 0;
  friend bool operator==(const AppliedCommand&, const AppliedCommand&) = default;
};

class History final {
 public:
  using Observer = uint64_t;

  // A command, or `count` of them in one batch, is sent; returns the id of the first, the others follow it.
  uint64_t Invoke(uint64_t count = 1);
  // The command is acknowledged as published; its effect is that of the `nth` command, from 1 on, if that is not 0.
  void Acknowledged(uint64_t id, Position position, uint64_t nth = 0);
  // Nothing was done.
  void Refused(uint64_t id);
  // Whether it was done is unknown, and will be until somebody sees it.
  void Unknown(uint64_t id);
  // Everything up to `position` is acknowledged as synced.
  void Synced(Position position);

  // This epoch is granted.
  void Granted(Epoch epoch);

  // A state after the frame `applied`, as seen by `observer`: a replica from its opening on.
  void Saw(Observer observer, absl::Span<const AppliedCommand> state, Position applied);
  // The observer, which Saw() was called of just now, has become primary in `epoch`: its state is the journal's.
  void Leads(Observer observer, Epoch epoch);
  // The observer is gone.
  void Forget(Observer observer) { observers_.erase(observer); }
  // A reader of frames was given one, the next after the one before.
  void Read(const AppliedCommand& command, absl::string_view reader);

  // What is not synced may be lost, until somebody leads.
  void PowerFailed();
  // The same, but those who live may keep what they have.
  void SyncFailed() { may_lose_ = true; }
  bool may_lose() const { return may_lose_; }

  // How many commands are known to be in the journal, and with which position the last; how many of them have to stay.
  size_t size() const { return log_.size(); }
  const std::vector<AppliedCommand>& log() const { return log_; }
  Position last() const { return log_.empty() ? Position{} : log_.back().position; }
  size_t must_stay() const { return must_stay_; }
  // How often something was lost that could be.
  uint64_t generation() const { return generation_; }
  // Of the ids given out, those whose outcome is unknown.
  uint64_t unknown() const;

  void Violate(absl::string_view invariant, absl::string_view what);
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  enum class Outcome { kPending, kRefused, kUnknown, kAcknowledged };
  struct Operation {
    Outcome outcome = Outcome::kPending;
    Epoch granted = 0;        // when it was sent
    uint64_t batch = 0;       // id of the first of its batch
    uint64_t batch_size = 1;  // of that
    bool in_log = false;
    uint64_t lost = 0;        // the generation that began with its loss; 0: it was not lost
    bool batch_torn = false;  // a part of its batch was lost
  };
  struct Seen {
    size_t commands = 0;
    uint64_t opened = 0;    // generation
    bool stranded = false;  // it shows commands that are lost
  };

  Operation* Find(uint64_t id, absl::string_view who);
  // A command that nobody has seen before, after all that are known.
  bool Learn(const AppliedCommand& command, absl::string_view who);
  size_t CountUpTo(Seq seq) const;
  void CheckBatch(size_t end, absl::string_view who);
  void Truncate(size_t size);

  std::vector<Operation> operations_ = std::vector<Operation>(1);  // by id; 0 is none
  std::vector<AppliedCommand> log_;
  size_t must_stay_ = 0;
  Epoch granted_ = 0;
  Epoch led_ = 0;
  bool may_lose_ = false;
  bool power_failed_ = false;
  uint64_t generation_ = 1;
  std::map<Observer, Seen> observers_;
  std::vector<std::string> violations_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SCENARIOS_HISTORY_H_
