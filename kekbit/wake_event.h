// WakeEvent lets readers in any process sleep at no CPU until a writer has published something.
//
//   Reader:                                         Writer:
//   for (;;) {                                      publish a record
//     auto ticket = event.Prepare();                event.Notify();
//     if (there is a record) break;
//     event.Wait(ticket, timeout);
//   }
//
// The event is one word in a small file beside what is waited for, which all map for writing. (A
// channel itself is mapped read-only by its readers.) Bit 0 says that someone may sleep, the rest
// counts wakings. Notify() costs the writer one load of a word that nobody changes while all
// readers are awake: no fence and no system call. A sleeper pays for both (see asymmetric_fence.h).
// A sleeper that died costs one needless waking, once.
//
// In a forked child the event wakes nobody, and a wait is a short sleep.
//
// Thread safety: any thread of any process.
// Publication: what was stored before Notify() is seen by a reader that looks after Wait()
// returned. A reader that looks after Prepare() and finds nothing is woken by the next Notify().
// Durability: none, and none needed; the file may be deleted when nobody uses it.

#ifndef KEKBIT_WAKE_EVENT_H_
#define KEKBIT_WAKE_EVENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/base/shared_word.h"

namespace kekbit {

class WakeEvent final {
 public:
  // Opens the event in the file `path`, which is made if it does not exist. The writer's call:
  // joins the asymmetric fence. FailedPrecondition if the file is something else.
  static absl::StatusOr<WakeEvent> OpenForWriter(FileSystem& fs, const std::string& path);
  // Opens an event that exists. NotFound if the file does not exist, PermissionDenied if this
  // process may not write to it; a reader then has to poll.
  static absl::StatusOr<WakeEvent> OpenForReader(FileSystem& fs, const std::string& path);
  // Checks, for callers that only look, whether these would take the file: FailedPrecondition if it
  // is something else.
  static absl::Status Check(FileSystem& fs, const std::string& path);
  // Returns an event of this process alone, for a writer whose readers never sleep.
  static WakeEvent Unshared();

  WakeEvent(WakeEvent&&) = default;
  WakeEvent& operator=(WakeEvent&&) = default;

  // Wakes every sleeper, if there is one.
  void Notify() {
    LightFence();
    if (ABSL_PREDICT_FALSE((PeekWord32(word_) & kSleepers) != 0)) Wake();
  }

  // Announces that this thread may sleep; to be followed by another look at what is waited for.
  uint32_t Prepare();
  // Sleeps until a Notify() after Prepare() returned `ticket`, or until the timeout is over; may
  // return early.
  void Wait(uint32_t ticket, absl::Duration timeout);

 private:
  static constexpr uint32_t kSleepers = 1;

  WakeEvent(std::unique_ptr<MappedFile> mapping, std::unique_ptr<uint32_t> own, bool can_fence);
  void Wake();

  std::unique_ptr<MappedFile> mapping_;
  std::unique_ptr<uint32_t> own_;
  uint32_t* word_;  // in mapping_, or own_
  ForkMark mark_;
  bool can_fence_;  // else a sleep is kept short, since a waking may be missed
};

}  // namespace kekbit

#endif  // KEKBIT_WAKE_EVENT_H_
