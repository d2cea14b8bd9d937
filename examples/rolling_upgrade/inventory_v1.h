// Version 1 of a service's state: how many there are of each thing.

#ifndef KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V1_H_
#define KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V1_H_

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

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/apply_context.h"

namespace kekbit::examples::v1 {

struct Add {
  std::string name;
  int64_t count = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, count);
  }
};

class Inventory {
 public:
  static constexpr const char* kBuild = "v1";
  // Name of all versions, whatever their classes are called: see replication/state_name.h.
  static constexpr absl::string_view kStateName = "inventory";

  // A variant, though there is one command only: others can be appended to it.
  using Command = std::variant<Add>;
  using Result = absl::StatusOr<int64_t>;  // how many there are then

  Result Apply(const Command& command, const ApplyContext& /*context*/) {
    const Add& add = std::get<Add>(command);
    return counts_[add.name] += add.count;
  }

  // add NAME COUNT
  static std::optional<Command> Parse(const std::vector<absl::string_view>& words) {
    Add add;
    if (words.size() != 3 || words[0] != "add" || !absl::SimpleAtoi(words[2], &add.count)) return std::nullopt;
    add.name = std::string(words[1]);
    return add;
  }

  template <class Archive>
  void serialize(Archive& archive, uint32_t /*version*/) {
    archive(counts_);
  }

 private:
  std::map<std::string, int64_t> counts_;
};

}  // namespace kekbit::examples::v1

CEREAL_CLASS_VERSION(kekbit::examples::v1::Inventory, 1)

#endif  // KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_V1_H_
