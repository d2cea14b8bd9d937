#include "tests/scenarios/history.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace kekbit {
namespace {

constexpr size_t kViolationsMax = 8;

std::string Text(const AppliedCommand& command) {
  return absl::StrCat("command ", command.id, " at ", command.position.ToString(), " of time ", command.time_ns);
}

}  // namespace

void History::Violate(absl::string_view invariant, absl::string_view what) {
  if (violations_.size() < kViolationsMax) violations_.push_back(absl::StrCat(invariant, ": ", what));
}

uint64_t History::Invoke(uint64_t count) {
  const uint64_t first = operations_.size();
  Operation operation;
  operation.granted = granted_;
  operation.batch = first;
  operation.batch_size = count;
  operations_.resize(first + count, operation);
  return first;
}

History::Operation* History::Find(uint64_t id, absl::string_view who) {
  if (id != 0 && id < operations_.size()) return &operations_[id];
  Violate("I2", absl::StrCat(who, " has command ", id, ", which nobody sent"));
  return nullptr;
}

void History::Acknowledged(uint64_t id, Position position, uint64_t nth) {
  Operation& operation = operations_.at(id);
  operation.outcome = Outcome::kAcknowledged;
  if (position.epoch < operation.granted) {
    Violate("I6", absl::StrCat("command ", id, " is acknowledged at ", position.ToString(),
                               ", and was sent when epoch ", operation.granted, " was granted"));
    return;
  }
  if (operation.lost != 0) {
    Violate("I1", absl::StrCat("command ", id, " is acknowledged after it was lost"));
    return;
  }
  if (!operation.in_log) {
    // The time is what the first state that shows it says.
    if (!Learn({.position = position, .id = id, .time_ns = 0}, "an acknowledgement")) return;
  }
  const auto found = std::find_if(log_.begin(), log_.end(), [id](const AppliedCommand& one) { return one.id == id; });
  if (found == log_.end() || found->position != position) {
    Violate("I3", absl::StrCat("command ", id, " is acknowledged at ", position.ToString(), " and seen at ",
                               found == log_.end() ? "no place" : found->position.ToString()));
    return;
  }
  const auto index = static_cast<uint64_t>(found - log_.begin()) + 1;
  if (nth != 0 && nth != index) {
    Violate("I2", absl::StrCat("command ", id, " had the effect of the ", nth, "th command, and is the ", index, "th"));
  }
}

void History::Refused(uint64_t id) {
  Operation& operation = operations_.at(id);
  operation.outcome = Outcome::kRefused;
  if (operation.in_log || operation.lost != 0) {
    Violate("I10", absl::StrCat("command ", id, " is refused, and was seen in the journal"));
  }
}

void History::Unknown(uint64_t id) { operations_.at(id).outcome = Outcome::kUnknown; }

uint64_t History::unknown() const {
  return static_cast<uint64_t>(std::count_if(operations_.begin(), operations_.end(), [](const Operation& operation) {
    return operation.outcome == Outcome::kUnknown;
  }));
}

size_t History::CountUpTo(Seq seq) const {
  const auto end = std::upper_bound(log_.begin(), log_.end(), seq, [](Seq wanted, const AppliedCommand& command) {
    return wanted < command.position.seq;
  });
  return static_cast<size_t>(end - log_.begin());
}

void History::Synced(Position position) {
  const size_t count = CountUpTo(position.seq);
  // Not what has replaced it, if that was lost.
  if (count > 0 && log_[count - 1].position.epoch > position.epoch) {
    Violate("I1", absl::StrCat(position.ToString(), " is acknowledged as synced, and the journal has ",
                               log_[count - 1].position.ToString(), " there"));
    return;
  }
  must_stay_ = std::max(must_stay_, count);
}

void History::Granted(Epoch epoch) {
  if (epoch < granted_ && !power_failed_) {
    Violate("I6", absl::StrCat("epoch ", epoch, " is the newest, and ", granted_, " was granted"));
  }
  granted_ = std::max(granted_, epoch);
}

bool History::Learn(const AppliedCommand& command, absl::string_view who) {
  Operation* const operation = Find(command.id, who);
  if (operation == nullptr) return false;
  const char* invariant = "I2";
  std::string wrong;
  if (operation->in_log) {
    wrong = "it stands in the journal already";
  } else if (operation->lost != 0) {
    invariant = "I4";
    wrong = "it was lost once";
  } else if (operation->outcome == Outcome::kRefused) {
    invariant = "I10";
    wrong = "it was refused";
  } else if (!log_.empty() && command.position.seq <= log_.back().position.seq) {
    wrong = absl::StrCat("the last one known is ", Text(log_.back()));
  } else if (!log_.empty() && command.position.epoch < log_.back().position.epoch) {
    invariant = "I6";
    wrong = absl::StrCat("the one before is of a later epoch: ", Text(log_.back()));
  } else if (command.position.epoch < operation->granted) {
    invariant = "I6";
    wrong = absl::StrCat("it was sent when epoch ", operation->granted, " was granted");
  }
  if (!wrong.empty()) {
    Violate(invariant, absl::StrCat(who, " has ", Text(command), ", but ", wrong));
    return false;
  }
  operation->in_log = true;
  log_.push_back(command);
  return true;
}

void History::CheckBatch(size_t end, absl::string_view who) {
  if (end == 0 || may_lose_) return;
  const AppliedCommand& last = log_[end - 1];
  const Operation& operation = operations_[last.id];
  if (operation.batch_torn || last.id + 1 == operation.batch + operation.batch_size) return;
  Violate("I2", absl::StrCat(who, " has ", Text(last), " as its last one, in the middle of a batch of ",
                             operation.batch_size));
}

void History::Saw(Observer observer, absl::Span<const AppliedCommand> state, Position applied) {
  const auto [it, is_new] = observers_.try_emplace(observer, Seen{.opened = generation_});
  Seen& seen = it->second;
  const std::string who = absl::StrCat("replica ", observer);
  if (state.size() < seen.commands) {
    Violate("I1", absl::StrCat(who, " had ", seen.commands, " commands and has ", state.size()));
    return;
  }
  if (seen.stranded) {
    if (state.size() > seen.commands) Violate("I4", absl::StrCat(who, " goes on after commands that are lost"));
    return;
  }
  for (size_t i = 0; i < state.size(); ++i) {
    const AppliedCommand& command = state[i];
    if (i < log_.size()) {
      AppliedCommand& known = log_[i];
      if (known == command) continue;
      if (known.time_ns == 0) known.time_ns = command.time_ns;
      if (known == command) {
        if (i > 0 && log_[i - 1].time_ns > command.time_ns) {
          Violate("P15", absl::StrCat(Text(command), " comes after one of time ", log_[i - 1].time_ns));
        }
        continue;
      }
      // It may live since before that was lost, and has not looked yet.
      const bool lost = command.id < operations_.size() && operations_[command.id].lost > seen.opened;
      if (lost) {
        seen = {.commands = state.size(), .opened = seen.opened, .stranded = true};
        return;
      }
      Violate("I3", absl::StrCat(who, " has as command ", i + 1, " ", Text(command), ", the journal ", Text(known)));
      return;
    }
    if (command.id < operations_.size() && operations_[command.id].lost > seen.opened) {
      seen = {.commands = state.size(), .opened = seen.opened, .stranded = true};
      return;
    }
    if (i > 0 && log_[i - 1].time_ns > command.time_ns) {
      Violate("P15", absl::StrCat(Text(command), " comes after one of time ", log_[i - 1].time_ns));
    }
    if (!Learn(command, who)) return;
  }
  seen.commands = state.size();
  // A primary's first frame may stand where a lost command did.
  if (const size_t wanted = CountUpTo(applied.seq); wanted != state.size() && !may_lose_) {
    Violate("I2", absl::StrCat(who, " has applied everything up to ", applied.ToString(), ", that is ", wanted,
                               " commands, and has ", state.size()));
  }
  CheckBatch(state.size(), who);
}

void History::Leads(Observer observer, Epoch epoch) {
  const Seen& seen = observers_.at(observer);
  const std::string who = absl::StrCat("primary ", observer);
  if (epoch <= led_) Violate("I6", absl::StrCat(who, " leads in epoch ", epoch, ", and ", led_, " was led before"));
  led_ = std::max(led_, epoch);
  if (seen.stranded) Violate("I4", absl::StrCat(who, " leads with commands that are lost"));
  if (seen.stranded) return;
  if (seen.commands < must_stay_) {
    Violate("I1", absl::StrCat(who, " leads with ", seen.commands, " commands, ", must_stay_, " have to stay: lost is ",
                               Text(log_[seen.commands])));
    return;
  }
  if (seen.commands < log_.size()) {
    if (!may_lose_) {
      Violate("I1", absl::StrCat(who, " leads with ", seen.commands, " commands of ", log_.size(), ": lost is ",
                                 Text(log_[seen.commands])));
    }
    Truncate(seen.commands);
  }
  if (power_failed_) must_stay_ = log_.size();
  may_lose_ = power_failed_ = false;
}

void History::Truncate(size_t size) {
  ++generation_;
  for (auto& [id, other] : observers_) {
    if (other.commands > size) other.stranded = true;
  }
  for (size_t i = size; i < log_.size(); ++i) {
    operations_[log_[i].id].in_log = false;
    operations_[log_[i].id].lost = generation_;
  }
  // What is left of a batch stays so.
  if (size > 0) {
    const Operation last = operations_[log_[size - 1].id];
    for (uint64_t id = last.batch; id < last.batch + last.batch_size; ++id) operations_[id].batch_torn = true;
  }
  log_.resize(size);
}

void History::PowerFailed() {
  may_lose_ = power_failed_ = true;
  // Nobody lives who could know more.
  observers_.clear();
}

void History::Read(const AppliedCommand& command, absl::string_view reader) {
  const auto found = std::lower_bound(log_.begin(), log_.end(), command.position.seq,
                                      [](const AppliedCommand& one, Seq seq) { return one.position.seq < seq; });
  if (found == log_.end()) {
    Learn(command, reader);
  } else if (found->position != command.position || found->id != command.id) {
    Violate("I3", absl::StrCat(reader, " was given ", Text(command), ", the journal has ", Text(*found)));
  }
}

}  // namespace kekbit
