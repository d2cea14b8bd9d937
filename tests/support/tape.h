// Tape is the simplest possible state. It keeps every command, so that a test sees what was
// applied, and in what order.

#ifndef KEKBIT_TESTS_SUPPORT_TAPE_H_
#define KEKBIT_TESTS_SUPPORT_TAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "cereal/types/string.hpp"
#include "cereal/types/vector.hpp"
#include "kekbit/replication/apply_context.h"
#include "kekbit/replication/position.h"

namespace kekbit {

struct Tape {
  // Of those derived from it, too: they take over from each other.
  static constexpr absl::string_view kStateName = "tape";
  using Command = std::string;
  using Result = absl::StatusOr<uint64_t>;  // how many commands were taken, with this one

  // A command that begins with "bad" is not taken.
  Result Apply(const Command& command, const ApplyContext& context) {
    positions.push_back(context.position());
    times.push_back(context.time_ns());
    if (absl::StartsWith(command, "bad")) return absl::InvalidArgumentError("a bad command");
    commands.push_back(command);
    return commands.size();
  }

  template <typename Archive>
  void save(Archive& archive) const {
    std::vector<uint64_t> numbers;
    for (const Position& position : positions) numbers.insert(numbers.end(), {position.epoch, position.seq});
    archive(commands, numbers, times);
  }
  template <typename Archive>
  void load(Archive& archive) {
    std::vector<uint64_t> numbers;
    archive(commands, numbers, times);
    positions.clear();
    for (size_t i = 0; i + 1 < numbers.size(); i += 2)
      positions.push_back({.epoch = numbers[i], .seq = numbers[i + 1]});
  }

  std::vector<std::string> commands;
  // Positions of all commands, the bad ones included.
  std::vector<Position> positions;
  std::vector<int64_t> times;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TAPE_H_
