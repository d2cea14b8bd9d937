// A robust word in shared memory tells every process of the death of the thread that holds the
// word, by the kernel. The word tells long before a killed process is gone: its memory is freed
// before its files are closed and its locks released. Freeing takes a millisecond for each few MB.
//
//   The holder:                         Anybody else:
//     RobustWordHolder holder(word);      auto watch = RobustWordWatch::Start(word, event);
//     holder.Hold();                      event.Wait(...);
//     ...                                 if (watch->TakeNotice()) ...
//
// This is the robust futex of set_robust_list(2): the word holds its holder's thread id. When that
// thread ends, in whatever way, the kernel sets FUTEX_OWNER_DIED in the word and wakes a waiter.
// The word is a hint, never a proof. A word in a file may hold anything, and a process whose thread
// ended may live on. See ProcessWatch::IsExiting().

#ifndef KEKBIT_REPLICATION_JOURNAL_ROBUST_WORD_H_
#define KEKBIT_REPLICATION_JOURNAL_ROBUST_WORD_H_

#include <linux/futex.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/stop_event.h"

namespace kekbit {

struct RobustWord {
  std::shared_ptr<MappedFile> mapping;
  uint64_t offset = 0;  // a multiple of 4

  uint8_t* data() const { return mapping->data() + offset; }
};

// RobustWordHolder is the side whose death is to be told.
//
// Thread safety: made, used and destroyed by one thread, the one whose death is to be told.
// Meanwhile that thread must not hold robust mutexes of the C library: a thread has only one list.
class RobustWordHolder final {
 public:
  explicit RobustWordHolder(RobustWord word);
  RobustWordHolder(const RobustWordHolder&) = delete;
  RobustWordHolder& operator=(const RobustWordHolder&) = delete;
  ~RobustWordHolder();

  // Holds the word, even if another thread holds it: the last call counts. Does nothing if this
  // thread holds the word already.
  void Hold();
  void LetGo();

 private:
  const RobustWord word_;
  const uint32_t mine_;  // what the word is while it is held
  bool holds_ = false;
  robust_list entry_ = {};
  robust_list_head head_ = {};
  robust_list_head* before_ = nullptr;  // the C library's
};

// RobustWordWatch signals an event when the holder of a word dies. A thread of its own sleeps until
// then.
//
// Thread safety: any thread, one at a time.
class RobustWordWatch final {
 public:
  // `event` outlives the watch. ResourceExhausted if there is no thread to be had.
  static absl::StatusOr<std::unique_ptr<RobustWordWatch>> Start(RobustWord word, StopEvent& event);
  RobustWordWatch(const RobustWordWatch&) = delete;
  RobustWordWatch& operator=(const RobustWordWatch&) = delete;
  ~RobustWordWatch();

  // Returns true if the holder has died since the last call; the first call also tells of an
  // earlier death.
  bool TakeNotice() { return told_.exchange(false); }

 private:
  RobustWordWatch(RobustWord word, StopEvent& event) : word_(std::move(word)), event_(event) {}
  void Run();

  const RobustWord word_;
  StopEvent& event_;
  std::atomic<bool> told_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_ROBUST_WORD_H_
