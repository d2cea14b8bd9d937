// DurationText writes a duration for people, in the unit that fits, to three digits: "1.5 ms", "12
// us", "2 d".

#ifndef KEKBIT_BASE_DURATION_TEXT_H_
#define KEKBIT_BASE_DURATION_TEXT_H_

#include <string>

#include "absl/time/time.h"

namespace kekbit {

std::string DurationText(absl::Duration duration);

}  // namespace kekbit

#endif  // KEKBIT_BASE_DURATION_TEXT_H_
