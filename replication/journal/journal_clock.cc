#include "kekbit/replication/journal/journal_clock.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kekbit/base/check.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// How long Stamp() believes the wall clock alone: a set clock makes no greater error before it is noticed.
constexpr int64_t kLookEveryNs = 10'000'000;

// The clocks are read anew, so often at most, if the thread lost its processor between them.
constexpr int kReads = 4;
constexpr int64_t kReadMaxNs = 10'000;

}  // namespace

JournalClock::JournalClock(Options options) : options_(std::move(options)) {}

void JournalClock::Follow(int64_t time_ns, bool live) {
  reigns_ = false;
  live_ = live;
  looks_at_ = std::numeric_limits<int64_t>::min();
  time_ = {.from_ns = time_ns, .from_boot_ns = options_.clock->BootNanos()};
}

int64_t JournalClock::Begin(int64_t last_ns, std::optional<int64_t> line) {
  const ClockReading now = Read();
  if (Planted(PlantedBug::kTimeGoesBack)) {
    return Take(BeginJournalTime(0, std::nullopt, now, set_ahead_max_ns()));
  }
  std::optional<int64_t> expected;
  if (line) {
    expected = now.boot_ns + *line;
  } else if (reigns_ || live_) {
    expected = time_.At(now.boot_ns);
  }
  reigns_ = true;
  const int64_t begin_ns = Take(BeginJournalTime(std::max(last_ns, shown()), expected, now, set_ahead_max_ns()));
  KB_CHECK(begin_ns >= last_ns);  // the journal's time never goes back
  return begin_ns;
}

int64_t JournalClock::Look() {
  if (Planted(PlantedBug::kTimeStandsStill)) return options_.clock->RealtimeNanos();
  return Take(AdvanceJournalTime(time_, Read(), set_ahead_max_ns()));
}

int64_t JournalClock::Take(const JournalTimeStep& step) {
  time_ = step.next;
  looks_at_ = std::numeric_limits<int64_t>::min();
  if (time_.pace == JournalPace::kClock) looks_at_ = step.stamp_ns + kLookEveryNs;
  if (step.note && options_.say) options_.say(*step.note);
  return Show(step.stamp_ns);
}

int64_t JournalClock::Now(std::optional<int64_t> line) const {
  if (reigns_) return Show(AdvanceJournalTime(time_, Read(), set_ahead_max_ns()).stamp_ns);
  if (time_.from_boot_ns == 0) return Show(options_.clock->RealtimeNanos());  // no frame yet
  const int64_t boot = options_.clock->BootNanos();
  return Show(std::max(time_.from_ns, line ? boot + *line : time_.At(boot)));
}

int64_t JournalClock::Line() const {
  const int64_t boot = options_.clock->BootNanos();
  return time_.At(boot) - boot;
}

int64_t JournalClock::Show(int64_t time_ns) const {
  RaiseWord(&shown_, static_cast<uint64_t>(std::max<int64_t>(time_ns, 0)));
  return shown();
}

ClockReading JournalClock::Read() const {
  ClockReading reading;
  for (int i = 0; i < kReads; ++i) {
    reading = {.wall_ns = options_.clock->RealtimeNanos(), .boot_ns = options_.clock->BootNanos()};
    const int64_t took = options_.clock->RealtimeNanos() - reading.wall_ns;
    if (took >= 0 && took < kReadMaxNs) break;
  }
  return reading;
}

}  // namespace kekbit
