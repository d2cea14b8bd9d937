// Checks of the examples' command lines, and what they have in common. CLI11's own checks take -1 for
// a large number, or name all possible values.

#ifndef KEKBIT_EXAMPLES_ARGUMENT_CHECKS_H_
#define KEKBIT_EXAMPLES_ARGUMENT_CHECKS_H_

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace kekbit::examples {

// Each check returns what is wrong with the text of an option; empty if the text is fine.
inline std::string CheckCount(const std::string& text) {
  uint64_t count = 0;
  return absl::SimpleAtoi(text, &count) ? "" : absl::StrCat("\"", text, "\" is not a number from 0 up");
}
inline std::string CheckSeconds(const std::string& text) {
  double seconds = 0;
  const bool good = absl::SimpleAtod(text, &seconds) && seconds >= 0;
  return good ? "" : absl::StrCat("\"", text, "\" is not a number of seconds from 0 up");
}

// What --archive is for.
inline constexpr char kArchiveHelp[] =
    "Copy the journal and its snapshots there, a standby if there is one: a directory, on another disk or a mounted "
    "share, or s3://BUCKET/PREFIX. kekbit restore brings any moment back";

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_ARGUMENT_CHECKS_H_
