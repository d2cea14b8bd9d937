// CommandLog: a state that is nothing but the commands applied to it, so that every difference of two replicas shows.

#ifndef KEKBIT_TESTS_SCENARIOS_COMMAND_LOG_H_
#define KEKBIT_TESTS_SCENARIOS_COMMAND_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cereal/types/vector.hpp"
#include "kekbit/replication/apply_context.h"
#include "tests/scenarios/history.h"

namespace kekbit {

struct CommandLog {
  using Command = std::string;  // its id, a colon, and padding
  using Result = uint64_t;      // how many there are now

  static Command Make(uint64_t id, size_t padding) {
    Command command = absl::StrCat(id, ":");
    command.resize(command.size() + padding, static_cast<char>('a' + id % 26));
    return command;
  }
  // 0 if there is none.
  static uint64_t IdOf(absl::string_view command) {
    uint64_t id = 0;
    return absl::SimpleAtoi(command.substr(0, command.find(':')), &id) ? id : 0;
  }

  Result Apply(const Command& command, const ApplyContext& context) {
    commands.push_back({.position = context.position(), .id = IdOf(command), .time_ns = context.time_ns()});
    return commands.size();
  }

  template <typename Archive>
  void save(Archive& archive) const {
    std::vector<uint64_t> words;
    words.reserve(4 * commands.size());
    for (const AppliedCommand& command : commands) {
      words.insert(words.end(),
                   {command.position.epoch, command.position.seq, command.id, static_cast<uint64_t>(command.time_ns)});
    }
    archive(words);
  }
  template <typename Archive>
  void load(Archive& archive) {
    std::vector<uint64_t> words;
    archive(words);
    commands.clear();
    for (size_t i = 0; i + 3 < words.size(); i += 4) {
      commands.push_back({.position = {.epoch = words[i], .seq = words[i + 1]},
                          .id = words[i + 2],
                          .time_ns = static_cast<int64_t>(words[i + 3])});
    }
  }

  std::vector<AppliedCommand> commands;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SCENARIOS_COMMAND_LOG_H_
