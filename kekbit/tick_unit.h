// TickUnit is the unit in which a channel's header counts time: its timeout and its time of
// creation.

#ifndef KEKBIT_TICK_UNIT_H_
#define KEKBIT_TICK_UNIT_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "kekbit/base/clock.h"

namespace kekbit {

// The values are those in the file: the number of decimal digits of a second in the unit. Never
// change them.
enum class TickUnit : uint8_t { kSecs = 0, kMillis = 3, kMicros = 6, kNanos = 9 };

// Returns the unit with this value in a file, or nullopt if there is none.
constexpr std::optional<TickUnit> TickUnitFromId(uint8_t id) {
  if (id == 0 || id == 3 || id == 6 || id == 9) return static_cast<TickUnit>(id);
  return std::nullopt;
}

// Returns how many nanoseconds a tick lasts.
constexpr uint64_t NanosPerTick(TickUnit unit) {
  switch (unit) {
    case TickUnit::kSecs:
      return 1'000'000'000;
    case TickUnit::kMillis:
      return 1'000'000;
    case TickUnit::kMicros:
      return 1'000;
    case TickUnit::kNanos:
      return 1;
  }
  return 1;
}

// Returns the ticks since the Unix epoch.
inline uint64_t TicksNow(TickUnit unit, const Clock& clock = Clock::System()) {
  return static_cast<uint64_t>(clock.RealtimeNanos()) / NanosPerTick(unit);
}

// "ns", "us", "ms" or "s".
constexpr absl::string_view TickUnitName(TickUnit unit) {
  switch (unit) {
    case TickUnit::kSecs:
      return "s";
    case TickUnit::kMillis:
      return "ms";
    case TickUnit::kMicros:
      return "us";
    case TickUnit::kNanos:
      return "ns";
  }
  return "?";
}

}  // namespace kekbit

#endif  // KEKBIT_TICK_UNIT_H_
