#include "kekbit/base/duration_text.h"

#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kekbit {

std::string DurationText(absl::Duration duration) {
  struct Unit {
    double nanos;
    const char* name;
  };
  constexpr Unit kUnits[] = {{864e11, "d"}, {36e11, "h"}, {6e10, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  // A value from here on is rounded to a whole 1 by three digits.
  constexpr double kNearlyOne = 0.9995;
  if (duration == absl::InfiniteDuration()) return "forever";
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  if (nanos == 0) return "0";
  const auto value = static_cast<double>(nanos);
  for (const Unit& unit : kUnits) {
    if (std::abs(value) < unit.nanos * kNearlyOne) continue;
    return absl::StrFormat("%.3g %s", value / unit.nanos, unit.name);
  }
  return absl::StrCat(nanos, " ns");
}

}  // namespace kekbit
