// A word in shared memory by which the kernel tells every process of the death of the thread that holds it, long before
// a killed process is gone: its memory is freed before its files are closed and its locks released, which takes a
// millisecond for each few MB.
//
// The holder:                                        Anybody else:
//   RobustWordHolder holder(word);                     auto watch = RobustWordWatch::Start(word, event);
//   holder.Hold();                                     event.Wait(...);
//   ...                                                if (watch->TakeNotice()) ...
//
// It is the robust futex of set_robust_list(2): the word holds its holder's thread id; when that thread ends, in
// whatever way, the kernel sets FUTEX_OWNER_DIED in it and wakes a waiter. It is a hint, never a proof: a word in a
// file may hold anything, and a process whose thread ended may live on. See ProcessWatch::IsExiting().

#ifndef KEKBIT_BASE_ROBUST_WORD_H_
#define KEKBIT_BASE_ROBUST_WORD_H_

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

// Thread safety: made, used and destroyed by one thread, the one whose death is to be told. Meanwhile that thread must
// not hold robust mutexes of the C library: there is one list a thread.
class RobustWordHolder final {
 public:
  explicit RobustWordHolder(RobustWord word);
  RobustWordHolder(const RobustWordHolder&) = delete;
  RobustWordHolder& operator=(const RobustWordHolder&) = delete;
  ~RobustWordHolder();

  // Also if another thread holds it: the last one does. Fine if this one does already.
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

// Signals an event when the holder of a word dies. It has a thread, which sleeps until then.
//
// Thread safety: any thread, one at a time.
class RobustWordWatch final {
 public:
  // `event` outlives it. ResourceExhausted if there is no thread to be had.
  static absl::StatusOr<std::unique_ptr<RobustWordWatch>> Start(RobustWord word, StopEvent& event);
  RobustWordWatch(const RobustWordWatch&) = delete;
  RobustWordWatch& operator=(const RobustWordWatch&) = delete;
  ~RobustWordWatch();

  // Whether the holder has died since the last call; of one that had died before the first, the first tells.
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

#endif  // KEKBIT_BASE_ROBUST_WORD_H_
