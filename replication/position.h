// Position says where a frame stands in the history of a journal.

#ifndef KEKBIT_REPLICATION_POSITION_H_
#define KEKBIT_REPLICATION_POSITION_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace kekbit {

// Number of a primary's reign, greater after every promotion and every restart; 0: none yet.
using Epoch = uint64_t;

// Number of a frame in its journal: 1, 2, 3, ... without holes, across segments and epochs; 0:
// before the first.
using Seq = uint64_t;

struct Position {
  Epoch epoch = 0;
  Seq seq = 0;

  std::string ToString() const { return absl::StrCat("{epoch ", epoch, ", seq ", seq, "}"); }

  // NOLINTNEXTLINE(modernize-use-nullptr): of what the compiler makes of it
  friend constexpr auto operator<=>(const Position&, const Position&) = default;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_POSITION_H_
