#include "kekbit/replication/core/lease_watch.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/core/failover.h"

namespace kekbit {
namespace {

// Period at which a follower asks for the lease when it can't watch the holder.
constexpr absl::Duration kAskEvery = absl::Milliseconds(5);
// How long a follower watches a holder before it looks again who that is.
constexpr absl::Duration kWatchFor = absl::Seconds(1);
// How often it looks whether the holder dumps core. Nothing tells of that: a dumping process closes
// nothing and ends no thread until the dump is written, which may take seconds or, into a pipe, for
// ever.
constexpr absl::Duration kLookAtHolder = absl::Milliseconds(20);
// Signs of life that a watcher wants to miss before it kills.
constexpr int kMissedBeats = 4;
// Polls of an exiting holder: kQuickLooksAtExit every 20 us, then every 1 ms.
constexpr int kQuickLooksAtExit = 100;
constexpr int kLooksAtExit = 1'000;

}  // namespace

absl::Status LeaseWatch::Start() {
  KB_ASSIGN_OR_RETURN(thread_, StartThread([this] { Run(); }));
  return absl::OkStatus();
}

void LeaseWatch::Join() {
  if (thread_.joinable()) thread_.join();
}

Role LeaseWatch::role() const {
  absl::MutexLock lock(&mutex_);
  return standing_.board.role();
}

bool LeaseWatch::AcquireLease(const std::optional<ProcessId>& dead) {
  const Asked asked = AskForLease(dead);
  if (asked == Asked::kHeld) LookForObstacle();
  return asked == Asked::kTaken;
}

void LeaseWatch::LookForObstacle() {
  const absl::Status found = obstacle_.Look(env_.fs(), env_.layout.lease(), env_.MonotonicNanos());
  absl::MutexLock lock(&mutex_);
  if (standing_.board.role() != Role::kFollower || standing_.reign.has_lease()) return;
  standing_.board.SetStatus(unkillable_);
  if (!found.ok()) standing_.board.Note(found, "can't take the lease, it is tried again");
}

LeaseWatch::Asked LeaseWatch::AskForLease(const std::optional<ProcessId>& dead) {
  absl::MutexLock lock(&mutex_);
  if (standing_.reign.has_lease()) return Asked::kTaken;
  // A stopped replica must leave the lease to those that can go on.
  if (standing_.board.role() != Role::kFollower) return Asked::kFailed;
  const int64_t now = env_.MonotonicNanos();
  if (LeavesLease(standing_.claim, env_.epochs.current(), now)) return Asked::kFailed;
  absl::StatusOr<std::optional<Lease>> lease =
      dead ? Lease::Succeed(env_.fs(), env_.layout.lease(), *dead) : Lease::TryAcquire(env_.fs(), env_.layout.lease());
  if (!lease.ok()) {
    // Unavailable: somebody else was at it.
    if (!absl::IsUnavailable(lease.status())) {
      standing_.board.Note(lease.status(), "can't ask for the lease, it is tried again");
    }
    return Asked::kFailed;
  }
  if (!*lease) return Asked::kHeld;
  standing_.board.SetStatus(absl::OkStatus());
  standing_.claim.succeeded = (*lease)->succeeded().value_or(0);
  standing_.reign.TakeLease(**std::move(lease), now);
  standing_.claim.waited = standing_.claim.holder_gone_ns == 0
                               ? absl::ZeroDuration()
                               : absl::Nanoseconds(env_.MonotonicNanos() - standing_.claim.holder_gone_ns);
  standing_.claim.holder_gone_ns = 0;
  env_.lease_held = true;
  env_.lease_event.Signal();  // to say so, if it was not that thread
  return Asked::kTaken;
}

void LeaseWatch::Beat() {
  // Take the lock that every command takes: if it is never free, and no command is done, there is
  // no progress.
  absl::MutexLock lock(&mutex_);
  standing_.reign.Beat(env_.MonotonicNanos());
  env_.beat_waits = false;
}

void LeaseWatch::Run() {
  // Tells of this process's death: this thread ends with the process.
  RobustWordHolder life(env_.epochs.robust_word());
  std::unique_ptr<RobustWordWatch> told;
  while (!env_.stopping) {
    // Commands may follow each other so closely that this thread does not get the lock: then they
    // beat for this thread.
    env_.beat_waits = env_.lease_held.load();
    const Role now = role();
    if (now == Role::kStopped) return;
    if (now == Role::kPrimary || env_.lease_held) {
      // The kernel wakes one waiter for a thread's death: not a waiter that dies with it.
      told.reset();
      ForgetUnkillable(/*still_hangs=*/false);
      life.Hold();
      Beat();
      env_.lease_event.Wait(kTickEvery);
      continue;
    }
    life.LetGo();
    if (AcquireLease()) {
      env_.wake.Notify();
      continue;
    }
    if (told == nullptr) {
      // On an error the death of others is seen later, when they are gone.
      auto watch = RobustWordWatch::Start(env_.epochs.robust_word(), env_.lease_event);
      if (watch.ok()) told = *std::move(watch);
    }
    WatchHolder(told.get());
  }
}

void LeaseWatch::WatchHolder(RobustWordWatch* told) {
  FileSystem& fs = env_.fs();
  ForgetUnkillable(StillHangs());
  const std::optional<ProcessId> holder = Lease::Holder(fs, env_.layout.lease());
  const std::optional<ProcessWatch> watch = holder ? ProcessWatch::Open(fs, *holder) : std::nullopt;
  if (!watch) {
    const bool gone = holder && ProcessWatch::IsGone(fs, *holder);
    if (gone && AcquireLease(holder)) {
      env_.wake.Notify();
    } else {
      if (holder && !gone && Lease::IsHeld(fs, env_.layout.lease())) {
        LookAtUnseen(*holder, Lease::LastBeat(fs, env_.layout.lease()), holder_silence_);
      }
      WatchTaker();
    }
    return;
  }
  if (*holder == ProcessId::Self(fs)) {
    watch->Wait(env_.lease_event, kWatchFor);
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
    standing_.claim.holder_gone_ns = env_.MonotonicNanos();
  }
  // The holder's lock may still exist: for moments, or as long as a child that got its descriptors
  // lives.
  if (AcquireLease() || AcquireLease(holder)) {
    env_.wake.Notify();
  } else {
    WatchTaker();
  }
}

void LeaseWatch::WatchTaker() {
  FileSystem& fs = env_.fs();
  const std::optional<ProcessId> taker = Lease::Taker(fs, env_.layout.lease());
  const std::optional<ProcessWatch> watch = taker ? ProcessWatch::Open(fs, *taker) : std::nullopt;
  if (taker && !watch) LookAtUnseen(*taker, std::nullopt, taker_silence_);
  if (!watch || *taker == ProcessId::Self(fs)) {
    env_.lease_event.Wait(kAskEvery);
    return;
  }
  // Taking the lease lasts microseconds, unless the process was stopped in the middle.
  const bool kills = env_.options.kill_hung_primary_after != absl::InfiniteDuration();
  const absl::Duration patience = kills ? env_.options.kill_hung_primary_after : kWatchFor;
  const auto takes_it = [&] { return Lease::Taker(fs, env_.layout.lease()) == taker; };
  const Life life = WatchForLife(*watch, patience, kAskEvery, takes_it);
  // A dump is cut short: the turn can't be had without its lock.
  if (life == Life::kDead && kills) watch->Kill().IgnoreError();
  if (life != Life::kNoSign) return;
  absl::MutexLock lock(&mutex_);
  standing_.board.Note(absl::UnavailableError(absl::StrCat(
                           env_.options.directory, ": process ", taker->pid, " has been taking the lease for ",
                           DurationText(patience), ", and keeps all others from it", kills ? "; it is killed" : "")),
                       "can't take over");
  if (kills) watch->Kill().IgnoreError();
}

bool LeaseWatch::AwaitDeath(const ProcessWatch& watch, const ProcessId& holder) {
  if (env_.options.kill_hung_primary_after == absl::InfiniteDuration()) {
    return WatchForLife(watch, kWatchFor, kLookAtHolder, [] { return true; }) == Life::kDead;
  }
  FileSystem& fs = env_.fs();
  // A sign of life that can't be read, for want of descriptors say, is no silence.
  const auto is_silent = [&fs, this, beat = Lease::LastBeat(fs, env_.layout.lease())] {
    return beat.has_value() && Lease::LastBeat(fs, env_.layout.lease()) == beat;
  };
  const absl::Duration patience = env_.options.kill_hung_primary_after;
  const Life life = WatchForLife(watch, patience, kLookAtHolder, is_silent);
  if (life != Life::kNoSign) return life == Life::kDead;
  // A process that gave the lease back, and lives on, owes nobody a sign of life.
  if (!Lease::IsHeld(fs, env_.layout.lease())) return false;
  if (absl::Status killed = watch.Kill(); !killed.ok()) {
    SayUnkillable(holder, Lease::LastBeat(fs, env_.layout.lease()), killed);
    return false;
  }
  {
    absl::MutexLock lock(&mutex_);
    env_.LogError(absl::UnavailableError(absl::StrCat(env_.options.directory, ": process ", holder.pid,
                                                      ", the primary, showed no ", "sign of life for ",
                                                      DurationText(env_.options.kill_hung_primary_after))),
                  "killed the primary");
  }
  return AwaitExit(watch);
}

void LeaseWatch::LookAtUnseen(const ProcessId& process, std::optional<uint64_t> beat, HolderSilence& silence) {
  if (env_.options.kill_hung_primary_after == absl::InfiniteDuration()) return;
  const int64_t patience = absl::ToInt64Nanoseconds(env_.options.kill_hung_primary_after);
  const int64_t silent = silence.Look(process, beat.value_or(0), env_.MonotonicNanos(), patience / kMissedBeats);
  if (silent < patience) return;
  const uint64_t here = ProcessId::Self(env_.fs()).pid_namespace;
  const std::string why = process.pid_namespace == here
                              ? "it can't be seen in /proc"
                              : absl::StrCat("it is in another pid namespace than this process, which is in ", here);
  SayUnkillable(process, beat, absl::PermissionDeniedError(absl::StrCat(why, ": end it where it can be seen")));
}

void LeaseWatch::SayUnkillable(const ProcessId& process, std::optional<uint64_t> beat, const absl::Status& why) {
  if (told_of_ && *told_of_ == std::pair(process, beat)) return;
  told_of_ = {process, beat};
  env_.stats->SetUnkillable(process);
  absl::MutexLock lock(&mutex_);
  unkillable_ = absl::Status(
      why.code(),
      absl::StrCat(env_.options.directory, ": process ", process.pid, " of pid namespace ", process.pid_namespace,
                   ", which keeps the lease, has shown no sign of life for ",
                   DurationText(env_.options.kill_hung_primary_after), " and can't be killed: ", why.message()));
  standing_.board.SetStatus(unkillable_);
  env_.LogError(unkillable_, "the primary can't be killed");
}

bool LeaseWatch::StillHangs() const {
  if (!told_of_) return false;
  FileSystem& fs = env_.fs();
  const auto& [process, beat] = *told_of_;
  if (Lease::Taker(fs, env_.layout.lease()) == process) return true;
  return Lease::IsHeld(fs, env_.layout.lease()) && Lease::Holder(fs, env_.layout.lease()) == process &&
         Lease::LastBeat(fs, env_.layout.lease()) == beat;
}

void LeaseWatch::ForgetUnkillable(bool still_hangs) {
  if (!told_of_ || still_hangs) return;
  told_of_.reset();
  env_.stats->SetUnkillable(std::nullopt);
  absl::MutexLock lock(&mutex_);
  unkillable_ = absl::OkStatus();
}

LeaseWatch::Life LeaseWatch::WatchForLife(const ProcessWatch& watch, absl::Duration patience, absl::Duration step,
                                          absl::FunctionRef<bool()> no_sign) {
  // Look several times, so that a watcher which was stopped itself does not kill as soon as it goes
  // on.
  const int64_t look = absl::ToInt64Nanoseconds(patience / kMissedBeats);
  const int64_t pause = std::min(look, absl::ToInt64Nanoseconds(step));
  for (int missed = 0; missed < kMissedBeats; ++missed) {
    for (int64_t waited = 0; waited < look; waited += pause) {
      const int64_t begin = env_.MonotonicNanos();
      if (watch.Wait(env_.lease_event, absl::Nanoseconds(pause))) return Life::kDead;
      if (watch.IsExiting(env_.fs())) return Life::kDead;
      if (env_.stopping || !no_sign()) return Life::kOther;
      // Woken to look anew: do not count that as a look.
      if (env_.MonotonicNanos() - begin < pause) return Life::kOther;
    }
  }
  return Life::kNoSign;
}

bool LeaseWatch::AwaitExit(const ProcessWatch& watch) {
  // A thread in a system call, a sync say, exits when the call returns.
  for (int looks = 0; looks < kLooksAtExit && !env_.stopping; ++looks) {
    if (watch.IsExiting(env_.fs())) return true;
    absl::SleepFor(looks < kQuickLooksAtExit ? absl::Microseconds(20) : absl::Milliseconds(1));
  }
  return false;
}

}  // namespace kekbit
