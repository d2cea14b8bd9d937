#include "kekbit/replication/core/follower.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/backoff.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

// Pauses between two looks of a spinning follower: some 100 ns.
constexpr int kSpinPauses = 4;
// Number of these looks after which a follower also looks at the clock.
constexpr uint32_t kSpinsPerTick = 1024;

// Limits of a sleep of the loop, which is woken for frames and by the lease's watch. Neither may
// come where there is no open segment: the primary may have gone without dying. Then the loop looks
// by itself, less and less often.
constexpr absl::Duration kSleepMin = absl::Milliseconds(1);
constexpr absl::Duration kSleepMax = absl::Milliseconds(100);
constexpr absl::Duration kSleepWatched = absl::Seconds(1);

// Period at which a follower checks that its journal is still in its place.
constexpr absl::Duration kLookForNames = absl::Seconds(1);

// How long what does not fit may stand in the journal before a follower stops, and how often it looks
// whether that was mended.
constexpr absl::Duration kMendedWithin = absl::Seconds(2);
constexpr absl::Duration kLookIfMended = absl::Milliseconds(1);

// How often a snapshot and the journal after it are read before a failed read stops the replica: they
// were whole when they were looked at, just now.
constexpr int kTriesToLoad = 2;

}  // namespace

Follower::Follower(Environment& env, absl::Mutex& mutex, Standing& standing, ReplicaStart start)
    : env_(env),
      mutex_(mutex),
      standing_(standing),
      reader_(std::move(start.reader)),
      found_(std::move(start.found)),
      poisoned_(env.mark.poisoned()) {}

Role Follower::role() const {
  absl::MutexLock lock(&mutex_);
  return standing_.board.role();
}

absl::Status Follower::Load() {
  starting_ = true;
  return LoadSnapshot(std::move(found_), std::move(reader_)).status();
}

absl::Status Follower::CatchUpAtStart() {
  KB_RETURN_IF_ERROR(CatchUp());
  // The place was trimmed meanwhile, up to a newer snapshot.
  while (PlaceIsGone() && role() == Role::kFollower) {
    KB_ASSIGN_OR_RETURN(const bool loaded, StartOver(reader_.status()));
    if (!loaded) break;
    KB_RETURN_IF_ERROR(CatchUp());
  }
  return absl::OkStatus();
}

absl::Status Follower::CatchUp() {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, env_.layout.ListSegments(env_.fs()));
  const SegmentNumber last = segments.empty() ? 0 : segments.back();
  while (Follow() && reader_.segment() <= last) {
  }
  return absl::OkStatus();
}

bool Follower::LookIfSettled() {
  if (poisoned_ != 0) poisoned_ = env_.mark.poisoned();
  return settled();
}

absl::Status Follower::Settle(WriterIs writer) {
  if (settled()) return absl::OkStatus();
  KB_RETURN_IF_ERROR(SettlePoison(env_.fs(), env_.layout, env_.mark, writer));
  settled_ = true;
  return reader_.LookAgain();
}

void Follower::ForgetSettled() {
  settled_ = false;
  env_.mark.ForgetSettled();
  poisoned_ = env_.mark.poisoned();
}

void Follower::SayUnsettled() {
  absl::MutexLock lock(&mutex_);
  standing_.board.Note(
      absl::UnavailableError(absl::StrCat(env_.layout.segment(poisoned_), ": a sync of this segment failed; what is ",
                                          "there is read once a primary has written it again")),
      "the journal is not followed yet");
}

bool Follower::Follow() {
  if (ABSL_PREDICT_FALSE(!settled())) return false;
  if (pending_.empty()) pending_ = reader_.NextBatch();
  if (pending_.empty() && reader_.status().ok()) return false;
  absl::MutexLock lock(&mutex_);
  // This replica applies its own appends itself: it may have become primary, or ceased to be, just
  // now.
  if (standing_.board.role() != Role::kFollower || standing_.rejoins || standing_.saving.held) return false;
  const absl::Span<const Frame> frames = std::exchange(pending_, {});
  if (!frames.empty()) {
    const Epoch epoch_before = standing_.applied.epoch;
    if (absl::Status status = Apply(frames); ABSL_PREDICT_FALSE(!status.ok())) {
      standing_.Stop(status);
      return false;
    }
    // Another replica leads: the watched one may have stepped down, and live on.
    if (standing_.applied.epoch != epoch_before) env_.lease_event.Signal();
    standing_.followed = reader_.last();
    misfit_since_ns_ = 0;
    reader_.NoteSynced(env_.mark.synced());
    standing_.clock.Follow(standing_.followed.time_ns, !starting_);
    for (const Frame& frame : frames) standing_.followed_bytes += RecordBytes(kFrameHeaderBytes + frame.payload.size());
    env_.stats->SetApplied(standing_.applied, standing_.followed.time_ns, reader_.segment(), reader_.offset());
  }
  const absl::Status& status = reader_.status();
  if (status.ok() && IsTransient(standing_.board.status())) {
    standing_.board.SetStatus(absl::OkStatus());  // it has passed
  }
  if (status.ok()) return true;
  if (IsTransient(status)) standing_.board.Note(status, "the journal can't be read, it is tried again");
  return false;
}

void Follower::LookAtMisfit() {
  const absl::Status& status = reader_.status();
  if (ABSL_PREDICT_TRUE(status.ok()) || IsTransient(status) || absl::IsOutOfRange(status) || absl::IsNotFound(status)) {
    return;
  }
  if (env_.lease_held) return;  // the takeover tells a torn tail from damage
  const int64_t now = env_.MonotonicNanos();
  if (misfit_since_ns_ == 0) misfit_since_ns_ = now;
  // What is whole, and not for this program, nobody mends.
  if (!absl::IsDataLoss(status) || now >= misfit_since_ns_ + absl::ToInt64Nanoseconds(kMendedWithin)) {
    absl::MutexLock lock(&mutex_);
    if (standing_.board.role() == Role::kFollower) standing_.Stop(status);
  } else if (now >= misfit_looked_ns_ + absl::ToInt64Nanoseconds(kLookIfMended)) {
    misfit_looked_ns_ = now;
    reader_.LookAgain().IgnoreError();
  }
}

absl::Status Follower::Apply(absl::Span<const Frame> frames) {
  if (frames.front().kind() != FrameKind::kCommand) {
    standing_.applied = frames.front().position();
    return absl::OkStatus();
  }
  for (;;) {
    // Frames whose time is not taken go together.
    const size_t together = env_.stats->PassUnsampled(frames.size());
    if (together > 0) KB_RETURN_IF_ERROR(env_.hooks.apply(frames.first(together), standing_.applied));
    frames.remove_prefix(together);
    if (frames.empty()) return absl::OkStatus();
    const int64_t start = env_.stats->StartSample();
    KB_RETURN_IF_ERROR(env_.hooks.apply(frames.first(1), standing_.applied));
    env_.stats->AddApply(start);
    frames.remove_prefix(1);
  }
}

bool Follower::PlaceIsGone() {
  const absl::Status& status = reader_.status();
  if (absl::IsOutOfRange(status)) return true;
  if (!absl::IsNotFound(status)) return false;
  // A segment was trimmed between two looks: the next looks tell.
  const absl::Status again = reader_.LookAgain();
  return !again.ok() && !IsTransient(again);
}

bool Follower::Rejoin() {
  Position applied;
  {
    absl::MutexLock lock(&mutex_);
    const bool follows = standing_.board.role() == Role::kFollower;
    if (!standing_.rejoins || !follows) return follows;
    applied = standing_.applied;
  }
  if (Planted(PlantedBug::kAppliedTwice) && applied.seq > 1) --applied.seq;
  // The state holds exactly the frames up to there: this replica never applied what it appended
  // after them.
  absl::StatusOr<JournalReader> reader = ReadJournal(env_.fs(), env_.layout, env_.content, applied.seq + 1);
  // Trimmed by the next primary, up to a snapshot of its own.
  if (absl::IsOutOfRange(reader.status())) return StartOver(reader.status()).value_or(false);
  absl::MutexLock lock(&mutex_);
  if (!reader.ok()) {
    if (IsTransient(reader.status()) || absl::IsNotFound(reader.status())) {
      standing_.board.Note(reader.status(), "the journal can't be read, it is tried again");
    } else {
      standing_.Stop(reader.status());
    }
    return false;
  }
  reader_ = *std::move(reader);
  pending_ = {};
  standing_.followed = reader_.last();
  standing_.rejoins = false;
  return true;
}

void Follower::Run(absl::FunctionRef<void()> try_take_over) {
  Backoff backoff;
  uint32_t spins = 0;
  while (!env_.stopping && role() == Role::kFollower) {
    if (!Rejoin()) {
      sleep_ = kSleepMin;
      Sleep();
      continue;
    }
    if (Follow()) {
      backoff.Reset();
      sleep_ = kSleepMin;
      continue;
    }
    if (PlaceIsGone()) StartOver(reader_.status()).IgnoreError();
    if (StopIfPoisoned()) return;
    if (env_.lease_held || reader_.at_segment_end()) try_take_over();
    if (env_.options.wait == Wait::kSpin) {
      // Pause shortly, so that the primary keeps the cache line that it writes to. A longer pause
      // would be lag.
      for (int i = 0; i < kSpinPauses; ++i) SpinPause();
      if (++spins % kSpinsPerTick == 0) LookForJournal();
    } else if (!backoff.completed()) {
      backoff.Pause();
    } else {
      LookForJournal();
      Sleep();
    }
    LookAtMisfit();
  }
}

void Follower::Sleep() {
  const uint32_t ticket = env_.wake.Prepare();
  if (Follow() || env_.stopping || (env_.lease_held && failover_.next_try_ns == 0)) return;
  const bool watched = reader_.status().ok() && !reader_.at_segment_end() && !env_.lease_held;
  sleep_ = watched ? kSleepWatched : std::clamp(sleep_ * 2, kSleepMin, kSleepMax);
  // A takeover is due then.
  if (env_.lease_held) {
    sleep_ = absl::Nanoseconds(std::max<int64_t>(failover_.next_try_ns - env_.MonotonicNanos(), 0));
  }
  env_.wake.Wait(ticket, sleep_);
}

void Follower::RunOnce(absl::FunctionRef<void()> try_take_over) {
  if (role() != Role::kFollower || !Rejoin()) return;
  while (Follow()) {
  }
  if (PlaceIsGone()) StartOver(reader_.status()).IgnoreError();
  LookForJournal();
  if (!StopIfPoisoned()) try_take_over();
  LookAtMisfit();
}

void Follower::LookForJournal() {
  const int64_t now = env_.MonotonicNanos();
  if (now < journal_looked_ns_ + absl::ToInt64Nanoseconds(kLookForNames)) return;
  journal_looked_ns_ = now;
  if (StopIfGone()) return;
  // After a failed sync, what was published may have been truncated. Follow() finds the error.
  reader_.CheckWaiting().IgnoreError();
}

bool Follower::StopIfGone() {
  const absl::StatusOr<bool> named = env_.epochs.IsNamed(env_.fs());
  if (!named.ok() || *named) return false;  // a failed look proves nothing
  absl::MutexLock lock(&mutex_);
  standing_.Stop(
      absl::AbortedError(absl::StrCat(env_.options.directory, ": the journal was moved, replaced or deleted")));
  return true;
}

bool Follower::StopIfPoisoned() {
  const SegmentNumber poisoned = env_.mark.poisoned();
  if (ABSL_PREDICT_TRUE(poisoned == poisoned_)) return false;
  // Whoever took the lease from this replica finds what it has settled.
  const bool may_read = !settled() || (settled_ && poisoned == 0);
  poisoned_ = poisoned;
  if (may_read) return false;
  absl::MutexLock lock(&mutex_);
  standing_.StopPoisoned(poisoned);
  return true;
}

absl::StatusOr<bool> Follower::LoadSnapshot(SnapshotStore::Found found, JournalReader reader) {
  for (const absl::Status& skipped : found.passed_over) {
    env_.LogError(skipped, "a snapshot is passed over");
    absl::MutexLock lock(&mutex_);
    standing_.recovery.skipped.push_back(std::string(skipped.message()));
  }
  const auto read_on = [&] {
    reader_ = std::move(reader);
    pending_ = {};
  };
  if (found.snapshot == nullptr) {
    read_on();
    return false;
  }
  const ChainLink last = found.snapshot->header().last;
  absl::MutexLock lock(&mutex_);
  if (last.position.seq <= standing_.applied.seq && standing_.applied.seq != 0) return false;
  // With the lock held until the state is whole again, or this replica ends: nobody sees it half loaded.
  absl::Status loaded = env_.hooks.load(*found.snapshot);
  for (int tries = 1; !loaded.ok() && tries < kTriesToLoad; ++tries) {
    env_.LogError(loaded, "a snapshot could not be loaded, it is tried again");
    KB_ASSIGN_OR_RETURN(found.snapshot, SnapshotReader::Open(env_.fs(), found.snapshot->path()));
    loaded = env_.hooks.load(*found.snapshot);
  }
  KB_RETURN_IF_ERROR(loaded);
  read_on();
  standing_.rejoins = false;
  standing_.applied = last.position;
  standing_.followed = last;
  standing_.clock.Follow(last.time_ns, /*live=*/false);
  env_.stats->SetApplied(last.position, last.time_ns);
  standing_.snapshot_seq = last.position.seq;
  standing_.recovery.snapshot = found.snapshot->path();
  standing_.recovery.snapshot_seq = last.position.seq;
  return true;
}

absl::StatusOr<bool> Follower::StartOver(const absl::Status& why) {
  const absl::Status gone = WithRepairHint(env_.fs(), env_.layout, why);
  {
    absl::MutexLock lock(&mutex_);
    standing_.saving.Cancel();
    // Whoever saves the state reads it without a lock.
    if (standing_.saving.held) return absl::UnavailableError("the state is being saved");
    standing_.saving.starting_over = true;
  }
  absl::StatusOr<bool> loaded = false;
  if (env_.hooks.load != nullptr) {
    const StartRules rules = RulesFor(env_.content, env_.hooks);
    absl::StatusOr<ReplicaStart> start = FindStart(env_.fs(), env_.layout, rules);
    // A device that did not give some bytes once may give them when it is asked again.
    for (int tries = 1; absl::IsDataLoss(start.status()) && tries < kTriesToLoad; ++tries) {
      env_.LogError(start.status(), "can't start over from a snapshot, it is tried again");
      start = FindStart(env_.fs(), env_.layout, rules);
    }
    if (IsTransient(start.status())) {
      // The state is as it was.
      absl::MutexLock lock(&mutex_);
      standing_.saving.starting_over = false;
      standing_.board.Note(start.status(), "can't start over from a snapshot, it is tried again");
      return start.status();
    }
    if (!start.ok()) {
      loaded = start.status();
    } else if (start->found.snapshot != nullptr) {
      loaded = LoadSnapshot(std::move(start->found), std::move(start->reader));
    }
  }
  absl::MutexLock lock(&mutex_);
  standing_.saving.starting_over = false;
  if (!loaded.ok()) {
    standing_.Stop(loaded.status());
  } else if (*loaded) {
    env_.Say(LogSeverity::kWarning, absl::StrCat("too far behind, started over from a snapshot: ", gone.message()));
  } else if (!starting_) {
    standing_.Stop(gone);
  }
  return loaded;
}

}  // namespace kekbit
