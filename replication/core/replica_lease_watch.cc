// The thread that waits for the primary's death, and takes the lease: ReplicaCore's lease watch.

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/replication/core/replica_core.h"

namespace kekbit {
namespace {

// How often a follower asks for the lease whose holder it can't watch.
constexpr absl::Duration kAskEvery = absl::Milliseconds(5);
// How long it waits for the death of one whom it can, before it looks again who that is.
constexpr absl::Duration kWatchFor = absl::Seconds(1);
// How many signs of life a watcher wants to miss before it kills.
constexpr int kMissedBeats = 4;
// How often, and how often quickly, it looks whether a holder that began to exit has done so.
constexpr int kQuickLooksAtExit = 100;
constexpr int kLooksAtExit = 1'000;

}  // namespace

void ReplicaCore::RunLeaseWatch() {
  // Tells of this process's death: this thread ends with it.
  RobustWordHolder life(epochs_.robust_word());
  std::unique_ptr<RobustWordWatch> told;
  while (!stopping_) {
    // Commands may follow each other so closely that this thread does not get the lock: then they beat for it.
    beat_waits_ = lease_held_.load();
    const Role now = role();
    if (now == Role::kStopped) return;
    if (now == Role::kPrimary || lease_held_) {
      // The kernel wakes one of those who wait for a thread's death: not one that dies with it.
      told.reset();
      life.Hold();
      Beat();
      events_.lease_watch.Wait(kTickEvery);
      continue;
    }
    life.LetGo();
    if (AcquireLease()) {
      wake_.Notify();
      continue;
    }
    if (told == nullptr) {
      // An error: the death of others is seen later, when they are gone.
      auto watch = RobustWordWatch::Start(epochs_.robust_word(), events_.lease_watch);
      if (watch.ok()) told = *std::move(watch);
    }
    WatchHolder(told.get());
  }
}

void ReplicaCore::WatchHolder(RobustWordWatch* told) {
  FileSystem& fs = *options_.file_system;
  const std::optional<ProcessId> holder = Lease::Holder(fs, layout_.lease());
  const std::optional<ProcessWatch> watch = holder ? ProcessWatch::Open(fs, *holder) : std::nullopt;
  if (!watch) {
    if (holder && ProcessWatch::IsGone(fs, *holder) && AcquireLease(holder)) {
      wake_.Notify();
    } else {
      WatchTaker();
    }
    return;
  }
  if (*holder == ProcessId::Self(fs)) {
    watch->Wait(events_.lease_watch, kWatchFor);
    return;
  }
  if (told != nullptr && told->TakeNotice()) {
    // If that comes to nothing, a thread has ended, not the process.
    if (!AwaitExit(*watch)) return;
  } else if (!AwaitDeath(*watch, *holder)) {
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    holder_gone_ns_ = options_.clock->MonotonicNanos();
  }
  // Its lock may still be there: for moments, or as long as a child that got its descriptors lives.
  if (AcquireLease() || AcquireLease(holder)) {
    wake_.Notify();
  } else {
    WatchTaker();
  }
}

void ReplicaCore::WatchTaker() {
  FileSystem& fs = *options_.file_system;
  const std::optional<ProcessId> taker = Lease::Taker(fs, layout_.lease());
  const std::optional<ProcessWatch> watch = taker ? ProcessWatch::Open(fs, *taker) : std::nullopt;
  if (!watch || *taker == ProcessId::Self(fs)) {
    events_.lease_watch.Wait(kAskEvery);
    return;
  }
  // It takes microseconds, unless the process was stopped in the middle.
  const bool kills = options_.kill_hung_primary_after != absl::InfiniteDuration();
  const absl::Duration patience = kills ? options_.kill_hung_primary_after : kWatchFor;
  const auto takes_it = [&] { return Lease::Taker(fs, layout_.lease()) == taker; };
  if (WatchForLife(*watch, patience, kAskEvery, takes_it) != Life::kNoSign) return;
  absl::MutexLock lock(&mutex_);
  Note(absl::UnavailableError(absl::StrCat(options_.directory, ": process ", taker->pid,
                                           " has been taking the lease for ", DurationText(patience),
                                           ", and keeps all others from it", kills ? "; it is killed" : "")),
       "can't take over");
  if (kills) watch->Kill().IgnoreError();
}

bool ReplicaCore::AwaitDeath(const ProcessWatch& watch, const ProcessId& holder) {
  if (options_.kill_hung_primary_after == absl::InfiniteDuration()) {
    return watch.Wait(events_.lease_watch, kWatchFor);
  }
  FileSystem& fs = *options_.file_system;
  const auto is_silent = [&fs, this, beat = Lease::LastBeat(fs, layout_.lease())] {
    return Lease::LastBeat(fs, layout_.lease()) == beat;
  };
  const absl::Duration patience = options_.kill_hung_primary_after;
  const Life life = WatchForLife(watch, patience, patience, is_silent);
  if (life != Life::kNoSign) return life == Life::kDead;
  // Who gave the lease back, and lives on, owes nobody a sign of life.
  if (!Lease::IsHeld(fs, layout_.lease())) return false;
  if (absl::Status killed = watch.Kill(); !killed.ok()) {
    absl::MutexLock lock(&mutex_);
    Note(absl::Status(killed.code(), absl::StrCat(options_.directory, ": the primary, process ", holder.pid,
                                                  ", hangs and can't be killed: ", killed.message())),
         "the primary can't be killed");
    return false;
  }
  {
    absl::MutexLock lock(&mutex_);
    Complain(
        absl::UnavailableError(absl::StrCat(options_.directory, ": process ", holder.pid, ", the primary, showed no ",
                                            "sign of life for ", DurationText(options_.kill_hung_primary_after))),
        "killed the primary");
  }
  return AwaitExit(watch);
}

ReplicaCore::Life ReplicaCore::WatchForLife(const ProcessWatch& watch, absl::Duration patience, absl::Duration step,
                                            absl::FunctionRef<bool()> no_sign) {
  // Several looks, so that a watcher which was stopped itself does not kill as soon as it goes on.
  const int64_t look = absl::ToInt64Nanoseconds(patience / kMissedBeats);
  const int64_t pause = std::min(look, absl::ToInt64Nanoseconds(step));
  for (int missed = 0; missed < kMissedBeats; ++missed) {
    for (int64_t waited = 0; waited < look; waited += pause) {
      const int64_t begin = options_.clock->MonotonicNanos();
      if (watch.Wait(events_.lease_watch, absl::Nanoseconds(pause))) return Life::kDead;
      if (stopping_ || !no_sign()) return Life::kOther;
      // Told to look anew, not to count that as a look.
      if (options_.clock->MonotonicNanos() - begin < pause) return Life::kOther;
    }
  }
  return Life::kNoSign;
}

bool ReplicaCore::AwaitExit(const ProcessWatch& watch) {
  // A thread that is in a system call, a sync say, exits when that returns.
  for (int looks = 0; looks < kLooksAtExit && !stopping_; ++looks) {
    if (watch.IsExiting(*options_.file_system)) return true;
    absl::SleepFor(looks < kQuickLooksAtExit ? absl::Microseconds(20) : absl::Milliseconds(1));
  }
  return false;
}

}  // namespace kekbit
