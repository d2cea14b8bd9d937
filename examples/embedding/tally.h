// Tally is the state of this service: named sums, the same in every replica.

#ifndef TALLY_H_
#define TALLY_H_

#include <cereal/types/string.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "kekbit/replication/apply_context.h"

namespace tally {

// The one command there is.
struct Add {
  std::string name;
  int64_t amount = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, amount);
  }
};

struct Tally {
  using Command = Add;
  using Result = int64_t;  // the sum after it

  Result Apply(const Add& add, const kekbit::ApplyContext& /*context*/) { return sums[add.name] += add.amount; }

  std::map<std::string, int64_t> sums;
};

}  // namespace tally

#endif  // TALLY_H_
