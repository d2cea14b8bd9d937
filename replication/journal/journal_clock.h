// JournalClock gives a journal's frames their times (see journal_time.h), and others the time that
// a frame would get.
//
//   JournalClock clock({.clock = ..., .say = ...});
//   clock.Follow(frame.time_ns, live);           // a follower: after each batch of frames
//   int64_t first = clock.Begin(last_ns, line);  // a reign begins; the first frame's time
//   int64_t stamp = clock.Stamp();               // the primary: a command's time; one clock reading
//   clock.Look();                                // the primary, now and then; Stamp() looks, too
//
// A set clock is noticed at the next command, unless the wall clock still shows a time of the next
// 10 ms: then within these 10 ms.
//
// Across processes: Line() is the journal's time less the boot clock, a number that stays as long
// as no clock is set. From that a successor on the same machine and boot computes what its
// predecessor would stamp now (see SyncMark).
//
// Thread safety: Now() any thread while no other method runs; everything else one thread at a time.

#ifndef KEKBIT_REPLICATION_JOURNAL_JOURNAL_CLOCK_H_
#define KEKBIT_REPLICATION_JOURNAL_JOURNAL_CLOCK_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/base/optimization.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/journal_time.h"

namespace kekbit {

class JournalClock final {
 public:
  struct Options {
    const Clock* clock = &Clock::System();  // outlives this
    // A wall clock that was set ahead by more is not followed at once.
    absl::Duration set_ahead_max = absl::Hours(1);
    // Is told what the log should know of the clocks.
    std::function<void(const ClockNote&)> say = {};
  };

  explicit JournalClock(Options options);
  JournalClock(const JournalClock&) = delete;
  JournalClock& operator=(const JournalClock&) = delete;

  // Takes the time of the journal's last frame, as a follower that has just applied the frame.
  // `live`: as far as anybody can tell, the frame was published just now, and is not replayed.
  void Follow(int64_t time_ns, bool live);

  // Begins a reign after a frame of `last_ns`, 0 if there is none. Returns the journal's time now,
  // for the reign's first frame. `line` is Line() of the reign before; nullopt if that is not
  // known: then what Follow() saw live tells.
  int64_t Begin(int64_t last_ns, std::optional<int64_t> line);

  // Returns the time of a command that is appended now. REQUIRES: Begin() was called after the last
  // Follow().
  int64_t Stamp() {
    const int64_t wall = options_.clock->RealtimeNanos();
    if (ABSL_PREDICT_FALSE(wall < shown() || wall >= looks_at_)) return Look();
    PrepareWord(&shown_, static_cast<uint64_t>(wall));
    return wall;
  }

  // Compares the clocks; returns what Stamp() would.
  int64_t Look();

  // Returns the time that Stamp() would return. Without a reign returns the time of the last frame,
  // and what has gone by since then, or by `line`, if known. Never before a time that was returned
  // earlier.
  int64_t Now(std::optional<int64_t> line = std::nullopt) const;

  // Returns the journal's time less the boot clock's.
  int64_t Line() const;

 private:
  ClockReading Read() const;
  int64_t Take(const JournalTimeStep& step);
  // Makes `time_ns` the time shown last, unless a later one was; returns that.
  int64_t Show(int64_t time_ns) const;
  int64_t shown() const { return static_cast<int64_t>(PeekWord(&shown_)); }
  int64_t set_ahead_max_ns() const { return absl::ToInt64Nanoseconds(options_.set_ahead_max); }

  const Options options_;
  mutable uint64_t shown_ = 0;  // the latest time that anybody was told; never negative
  int64_t looks_at_ = 0;        // from that wall clock time on Stamp() compares the clocks
  bool reigns_ = false;
  bool live_ = false;  // the last frame that was followed was
  JournalTime time_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_CLOCK_H_
