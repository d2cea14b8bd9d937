// JournalTime decides which time a journal's next frame gets, whatever the machine's clock is set
// to. A pure decision: no clock, no file, no thread; JournalClock is its hands.
//
// The journal's time follows the wall clock. The boot clock, which nobody sets, tells what the wall
// clock should show:
//   set back             the journal's time goes on by the boot clock, slower by a tenth, until the wall clock has
//                        caught up;
//   set ahead            by at most the limit: the journal's time follows at once, as after a leap that was meant;
//   set ahead by more    the journal's time goes on by the boot clock, faster by a tenth, until it has caught up.
// So the journal's time never goes back and never stands still.

#ifndef KEKBIT_REPLICATION_JOURNAL_JOURNAL_TIME_H_
#define KEKBIT_REPLICATION_JOURNAL_JOURNAL_TIME_H_

#include <cstdint>
#include <optional>
#include <string>

namespace kekbit {

// ClockReading is both clocks at one moment.
struct ClockReading {
  int64_t wall_ns = 0;  // since the Unix epoch, as somebody has set it
  int64_t boot_ns = 0;  // since some moment before; never set
};

// JournalPace says how the journal's time goes.
enum class JournalPace {
  kClock,   // the wall clock's pace
  kSlower,  // the journal's time is ahead of the wall clock: nine tenths of the boot clock's pace
  kFaster,  // the wall clock is far ahead: eleven tenths of the boot clock's pace
};

struct JournalTime {
  JournalPace pace = JournalPace::kClock;
  // The journal's time was `from_ns` when the boot clock showed `from_boot_ns`, and has had this
  // pace since.
  int64_t from_ns = 0;
  int64_t from_boot_ns = 0;
  int64_t wall_less_boot_ns = 0;  // at the last look; changes only when the wall clock is set
  bool told = false;              // the log knows that the journal's time is not the wall clock's

  // Returns the journal's time at that moment, as far as the pace tells.
  int64_t At(int64_t boot_ns) const;
};

// ClockNote is what the log should say of the clocks.
struct ClockNote {
  enum class What {
    kSetBack,    // slower from now on
    kSetAhead,   // by no more than the limit: followed
    kSetTooFar,  // faster from now on
    kCaughtUp,   // the journal's time is the wall clock's again
    kUnknown,    // nobody knows how much time went by since the journal's last frame: the wall clock is believed
  };
  What what;
  int64_t set_by_ns = 0;             // how far the wall clock was set; 0: not known, before this reign
  int64_t journal_less_wall_ns = 0;  // how far the journal's time is ahead of the wall clock now

  // Returns true if somebody should look after the machine's clock.
  bool is_warning() const { return what == What::kSetBack || what == What::kSetTooFar; }
  // Returns one line.
  std::string ToString() const;
};

struct JournalTimeStep {
  JournalTime next;
  int64_t stamp_ns = 0;  // the journal's time now
  std::optional<ClockNote> note;
};

// Returns the journal's time at `now`. A wall clock that was set ahead by at most
// `set_ahead_max_ns` is followed.
JournalTimeStep AdvanceJournalTime(const JournalTime& time, const ClockReading& now, int64_t set_ahead_max_ns);

// Returns the time for a reign that begins after a frame of `last_ns`, 0 if there is none.
// `expected_ns` is what the reign before would have stamped now; nullopt if that can't be known.
JournalTimeStep BeginJournalTime(int64_t last_ns, std::optional<int64_t> expected_ns, const ClockReading& now,
                                 int64_t set_ahead_max_ns);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_TIME_H_
