// Version 2 of the service's state: a thing can have a limit, which is a new command and a new
// member.

#ifndef KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V2_H_
#define KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V2_H_

#include <cereal/cereal.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/apply_context.h"

namespace kekbit::examples::v2 {

struct Add {
  std::string name;
  int64_t count = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, count);
  }
};

// New. Not to be used before every replica is of version 2: one of version 1 that meets it stops.
struct SetLimit {
  std::string name;
  int64_t count = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, count);
  }
};

class Inventory {
 public:
  static constexpr const char* kBuild = "v2";
  // Name of all versions, whatever their classes are called: see replication/state_name.h.
  static constexpr absl::string_view kStateName = "inventory";

  // New alternatives at the end: what is in the journal stays what it was.
  using Command = std::variant<Add, SetLimit>;
  using Result = absl::StatusOr<int64_t>;  // how many there are then

  // A command of version 1 does what it did in version 1, as long as no new one has come: replicas
  // of both versions apply the same journal.
  Result Apply(const Command& command, const ApplyContext& /*context*/) {
    return std::visit([this](const auto& c) { return Do(c); }, command);
  }

  // add NAME COUNT, limit NAME COUNT
  static std::optional<Command> Parse(const std::vector<absl::string_view>& words) {
    int64_t count = 0;
    if (words.size() != 3 || !absl::SimpleAtoi(words[2], &count)) return std::nullopt;
    if (words[0] == "add") return Add{.name = std::string(words[1]), .count = count};
    if (words[0] == "limit") return SetLimit{.name = std::string(words[1]), .count = count};
    return std::nullopt;
  }

  // A snapshot of version 1 has no limits, and there were none. A program of version 1 refuses one
  // of version 2.
  template <class Archive>
  void serialize(Archive& archive, uint32_t version) {
    archive(counts_);
    if (version >= 2) archive(limits_);
  }

 private:
  Result Do(const Add& add) {
    const auto limit = limits_.find(add.name);
    if (limit != limits_.end() && counts_[add.name] + add.count > limit->second) {
      return absl::FailedPreconditionError(absl::StrCat("no more than ", limit->second, " of ", add.name));
    }
    return counts_[add.name] += add.count;
  }

  Result Do(const SetLimit& command) {
    limits_[command.name] = command.count;
    return counts_[command.name];
  }

  std::map<std::string, int64_t> counts_;
  std::map<std::string, int64_t> limits_;
};

}  // namespace kekbit::examples::v2

CEREAL_CLASS_VERSION(kekbit::examples::v2::Inventory, 2)

#endif  // KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V2_H_
