// Frame: one line of the tally's input, `NAME AMOUNT`. A folder and a file of this name are kekbit's, too; kekbit's are
// included as kekbit/replication/..., so that the two never meet.

#ifndef REPLICATION_FRAME_H_
#define REPLICATION_FRAME_H_

#include <optional>
#include <sstream>
#include <string>

#include "tally.h"

namespace tally {

struct Frame {
  std::string line;

  // The command that it stands for; nullopt if it is none.
  std::optional<Add> ToCommand() const {
    Add add;
    std::istringstream words(line);
    if (!(words >> add.name >> add.amount) || !(words >> std::ws).eof()) return std::nullopt;
    return add;
  }
};

}  // namespace tally

#endif  // REPLICATION_FRAME_H_
