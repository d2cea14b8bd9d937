// FreeSpace tells a primary when the disk is too full for new commands, and when there is room
// again.
//
//   FreeSpace space({.floor_bytes = 1 << 30, .resume_bytes = 2 << 30});
//   space.Look(fs, directory, clock.MonotonicNanos());     // now and then, in the background or by Poll()
//   if (!space.enough()) return space.Refusal(directory);  // at each command: one load
//
// A floor above zero leaves room for what must go on when no command is taken any more. Above all,
// that is the snapshot after which the journal can be trimmed.
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
  // With less than that left, no new command is taken; 0: the space is not watched.
  uint64_t floor_bytes = 0;
  // With at least that left they are taken again. What is not above the floor counts as the floor: then a disk that
  // stands just there makes the answer change at each look.
  uint64_t resume_bytes = 0;
  // No more than one look in that time: it is a system call.
  int64_t look_every_ns = 50'000'000;
};

// Whether there is enough, given what the last answer was: the whole decision.
bool EnoughSpace(const FreeSpaceLimits& limits, bool was_enough, uint64_t free_bytes);

class FreeSpace final {
 public:
  // There is enough until a look says otherwise.
  explicit FreeSpace(const FreeSpaceLimits& limits) : limits_(limits) {}
  FreeSpace(const FreeSpace&) = delete;
  FreeSpace& operator=(const FreeSpace&) = delete;

  bool enough() const { return enough_; }

  // How much was left at the last look.
  uint64_t free_bytes() const { return free_bytes_; }

  // Asks how much `path`, which exists, has left, unless the last time was less than limits.look_every_ns ago. An error
  // changes nothing: who could not look does not know that it got worse.
  absl::Status Look(FileSystem& fs, const std::string& path, int64_t now_ns);

  // ResourceExhausted, with what is left, and what is wanted.
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
