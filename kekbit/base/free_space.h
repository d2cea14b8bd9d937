// FreeSpace tells a primary when the disk is too full for new commands, and when there is room
// again.
//
//   FreeSpace space({.floor_bytes = 1 << 30, .resume_bytes = 2 << 30});
//   space.Look(fs, directory, clock.MonotonicNanos());     // now and then, in the background or by Poll()
//   if (!space.enough()) return space.Refusal(directory);  // at each command: one load
//
// A floor above zero leaves room for what must go on when no command is taken any more. Above all,
// that is the snapshot up to which the journal can be trimmed.
//
// Thread safety: enough() and Refusal() any thread at any time; Look() one thread at a time.

#ifndef KEKBIT_BASE_FREE_SPACE_H_
#define KEKBIT_BASE_FREE_SPACE_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

struct FreeSpaceLimits {
  // With less than this left, no new command is taken; 0: the space is not watched.
  uint64_t floor_bytes = 0;
  // With at least this left, commands are taken again. A value below the floor counts as the floor;
  // space that varies around the floor then changes the answer at each look.
  uint64_t resume_bytes = 0;
  // At most one look in this time, since a look is a system call.
  int64_t look_every_ns = 50'000'000;
};

// Decides whether there is enough, given the last answer: the whole decision.
bool EnoughSpace(const FreeSpaceLimits& limits, bool was_enough, uint64_t free_bytes);

class FreeSpace final {
 public:
  // There is enough until a look says otherwise.
  explicit FreeSpace(const FreeSpaceLimits& limits) : limits_(limits) {}
  FreeSpace(const FreeSpace&) = delete;
  FreeSpace& operator=(const FreeSpace&) = delete;

  bool enough() const { return enough_; }

  // Returns how much was left at the last look.
  uint64_t free_bytes() const { return free_bytes_; }

  // Asks how much `path`, which exists, has left, unless the last look was less than
  // limits.look_every_ns ago. An error changes nothing: a failed look does not say that the space
  // got less.
  absl::Status Look(FileSystem& fs, const std::string& path, int64_t now_ns);

  // Returns ResourceExhausted, with what is left and what is wanted.
  absl::Status Refusal(const std::string& path) const;

 private:
  const FreeSpaceLimits limits_;
  std::atomic<bool> enough_ = true;
  std::atomic<uint64_t> free_bytes_ = 0;
  bool looked_ = false;
  int64_t looked_at_ns_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_BASE_FREE_SPACE_H_
