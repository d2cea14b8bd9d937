#include "kekbit/replication/journal/journal_time.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kekbit/base/duration_text.h"

namespace kekbit {
namespace {

// The journal's time goes slower or faster by one part in so many.
constexpr int64_t kPart = 10;

// Two clocks can't be read at the very same moment.
constexpr int64_t kNoiseNs = 100'000;

// The log leaves out smaller steps: synchronized clocks are set by less.
constexpr int64_t kWorthTellingNs = 10'000'000;

std::string Text(int64_t ns) { return DurationText(absl::Nanoseconds(std::abs(ns))); }

// Returns how long it takes until the wall clock and the journal's time have met.
std::string CatchUpText(int64_t ns) { return DurationText(absl::Nanoseconds(std::abs(ns)) * kPart); }

// Returns what to say when the journal's time has got another pace, or the clock was set.
std::optional<ClockNote> NoteOf(JournalPace before, bool told, JournalPace after, int64_t set_by, int64_t gap) {
  const auto note = [&](ClockNote::What what) {
    return ClockNote{.what = what, .set_by_ns = set_by, .journal_less_wall_ns = -gap};
  };
  const bool set = std::abs(set_by) >= kWorthTellingNs;
  const bool worth = std::abs(gap) >= kWorthTellingNs;
  switch (after) {
    case JournalPace::kSlower:
      if (worth && (set || before != after)) return note(ClockNote::What::kSetBack);
      return std::nullopt;
    case JournalPace::kFaster:
      if (set || before != after) return note(ClockNote::What::kSetTooFar);
      return std::nullopt;
    case JournalPace::kClock:
      if (before != after && told) return note(ClockNote::What::kCaughtUp);
      if (set) return note(ClockNote::What::kSetAhead);
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

int64_t JournalTime::At(int64_t boot_ns) const {
  const int64_t passed = std::max<int64_t>(boot_ns - from_boot_ns, 0);
  switch (pace) {
    case JournalPace::kClock:
      break;
    case JournalPace::kSlower:
      return from_ns + passed - passed / kPart;
    case JournalPace::kFaster:
      return from_ns + passed + passed / kPart;
  }
  return from_ns + passed;
}

JournalTimeStep AdvanceJournalTime(const JournalTime& time, const ClockReading& now, int64_t set_ahead_max_ns) {
  const int64_t expected = time.At(now.boot_ns);
  const int64_t gap = now.wall_ns - expected;
  const int64_t wall_less_boot = now.wall_ns - now.boot_ns;
  JournalTimeStep step = {.next = time, .stamp_ns = expected, .note = std::nullopt};
  JournalPace pace = JournalPace::kClock;
  if (gap < -kNoiseNs) {
    pace = JournalPace::kSlower;
  } else if (gap > 0 && (time.pace == JournalPace::kFaster || gap > set_ahead_max_ns)) {
    pace = JournalPace::kFaster;
  } else {
    step.stamp_ns = now.wall_ns;
  }
  step.note = NoteOf(time.pace, time.told, pace, wall_less_boot - time.wall_less_boot_ns, gap);
  if (pace == JournalPace::kClock) {
    step.next.told = false;
  } else if (step.note) {
    step.next.told = true;
  }
  // While the pace stays slower or faster its beginning stays, too, so that nothing is lost by
  // rounding.
  if (pace == JournalPace::kClock || pace != time.pace) {
    step.next.from_ns = step.stamp_ns;
    step.next.from_boot_ns = now.boot_ns;
  }
  step.next.pace = pace;
  step.next.wall_less_boot_ns = wall_less_boot;
  return step;
}

JournalTimeStep BeginJournalTime(int64_t last_ns, std::optional<int64_t> expected_ns, const ClockReading& now,
                                 int64_t set_ahead_max_ns) {
  const int64_t begin = std::max(last_ns, expected_ns.value_or(last_ns));
  JournalTime time = {.from_ns = begin, .from_boot_ns = now.boot_ns, .wall_less_boot_ns = now.wall_ns - now.boot_ns};
  const int64_t ahead = now.wall_ns - begin;
  if (!expected_ns && ahead >= 0) {
    time.from_ns = now.wall_ns;
    JournalTimeStep step = {.next = time, .stamp_ns = now.wall_ns, .note = std::nullopt};
    if (last_ns != 0 && ahead > set_ahead_max_ns) {
      step.note = {.what = ClockNote::What::kUnknown, .set_by_ns = 0, .journal_less_wall_ns = -ahead};
    }
    return step;
  }
  JournalTimeStep step = AdvanceJournalTime(time, now, set_ahead_max_ns);
  step.stamp_ns = std::max(step.stamp_ns, last_ns);
  return step;
}

std::string ClockNote::ToString() const {
  const std::string set =
      set_by_ns == 0 ? "the clock is"
                     : absl::StrCat("the clock was set by ", set_by_ns < 0 ? "-" : "", Text(set_by_ns), ", and is");
  switch (what) {
    case What::kSetBack:
      return absl::StrCat(set, " before the journal's time, which is ahead by ", Text(journal_less_wall_ns),
                          ": it goes on slower by a tenth, until the clock has caught up, in ",
                          CatchUpText(journal_less_wall_ns));
    case What::kSetTooFar:
      return absl::StrCat(set, " ahead of the journal's time by ", Text(journal_less_wall_ns),
                          ", more than is believed at once: the journal's time goes on faster by a tenth, until it has "
                          "caught up, in ",
                          CatchUpText(journal_less_wall_ns));
    case What::kSetAhead:
      return absl::StrCat("the clock was set ahead by ", Text(set_by_ns), ", and the journal's time with it");
    case What::kCaughtUp:
      return "the journal's time is that of the clock again";
    case What::kUnknown:
      return absl::StrCat("the journal's last frame is ", Text(journal_less_wall_ns),
                          " old by the clock, and nobody knows better: the journal's time goes on by the clock");
  }
  return "?";
}

}  // namespace kekbit
