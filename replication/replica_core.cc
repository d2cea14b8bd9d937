#include "replication/replica_core.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "kekbit/backoff.h"
#include "kekbit/channel_seal.h"
#include "kekbit/header.h"
#include "kekbit/status_macros.h"

namespace kekbit {
namespace {

// Frames applied without letting go of the state.
constexpr int kBatch = 256;

// Between two looks of a spinning follower: some 100 ns.
constexpr int kSpinPauses = 4;

// How often a follower asks for the lease whose holder it can't watch, and tries again after a takeover failed.
constexpr absl::Duration kAskEvery = absl::Milliseconds(5);
constexpr absl::Duration kRetryEvery = absl::Milliseconds(100);
constexpr int64_t kLookEveryNs = 1'000'000;

// A sleeping loop is woken for frames and by the lease's watch. Where neither may come (there is no open segment, so
// the primary may have gone without dying) it looks by itself, less and less often.
constexpr absl::Duration kSleepMin = absl::Milliseconds(1);
constexpr absl::Duration kSleepMax = absl::Milliseconds(100);
constexpr absl::Duration kSleepWatched = absl::Seconds(1);

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPrimary:
      return "primary";
    case Role::kStopped:
      return "stopped";
  }
  return "?";
}

absl::StatusOr<std::unique_ptr<ReplicaCore>> ReplicaCore::Open(ReplicaOptions options, uint64_t data_format,
                                                               Apply apply) {
  if (options.directory.empty()) return absl::InvalidArgumentError("ReplicaOptions::directory is not set");
  // As a segment will have it, or the error.
  KB_ASSIGN_OR_RETURN(const Header segment, Header::Make({.capacity = options.segment_bytes}));
  options.segment_bytes = segment.capacity();
  FileSystem& fs = *options.file_system;
  const JournalLayout layout(options.directory);
  KB_RETURN_IF_ERROR(fs.CreateDirectories(options.directory));
  KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs, layout.epoch()));
  KB_ASSIGN_OR_RETURN(WakeEvent wake, WakeEvent::OpenForWriter(fs, layout.wake()));
  KB_ASSIGN_OR_RETURN(JournalReader reader, JournalReader::Open(fs, layout, data_format));
  return absl::WrapUnique(new ReplicaCore(std::move(options), data_format, std::move(apply), std::move(epochs),
                                          std::move(wake), std::move(reader)));
}

ReplicaCore::ReplicaCore(ReplicaOptions options, uint64_t data_format, Apply apply, EpochStore epochs, WakeEvent wake,
                         JournalReader reader)
    : options_(std::move(options)),
      data_format_(data_format),
      layout_(options_.directory),
      apply_(std::move(apply)),
      epochs_(std::move(epochs)),
      wake_(std::move(wake)),
      reader_(std::move(reader)) {}

ReplicaCore::~ReplicaCore() {
  stopping_ = true;
  stop_watch_.Signal();
  wake_.Notify();
  if (lease_watch_.joinable()) lease_watch_.join();
  if (follower_.joinable()) follower_.join();
  absl::MutexLock lock(&mutex_);
  writer_.reset();
  lease_.reset();
}

absl::Status ReplicaCore::Start() {
  {
    absl::MutexLock drive(&drive_mutex_);
    while (Follow()) {
    }
  }
  KB_RETURN_IF_ERROR(status());
  if (options_.threads) {
    if (options_.may_lead) {
      // Ready for a takeover from the beginning on.
      preparer_ = std::make_unique<SegmentPreparer>(*options_.file_system, options_.directory, options_.segment_bytes,
                                                    kSegmentTouchBytes);
      preparer_->Prepare();
    }
    follower_ = std::thread([this] { RunFollower(); });
    if (options_.may_lead) lease_watch_ = std::thread([this] { RunLeaseWatch(); });
  }
  return absl::OkStatus();
}

bool ReplicaCore::Follow() {
  std::optional<Frame> frame = reader_.Next();
  if (!frame && reader_.status().ok()) return false;
  absl::MutexLock lock(&mutex_);
  for (int applied = 0; frame && applied < kBatch; ++applied) {
    if (frame->kind() == FrameKind::kCommand) {
      if (absl::Status status = apply_(*frame); !status.ok()) {
        Stop(status);
        return false;
      }
    }
    applied_ = frame->position();
    if (applied + 1 < kBatch) frame = reader_.Next();
  }
  if (reader_.status().ok()) return true;
  if (!MayPass(reader_.status())) {
    Stop(reader_.status());
  } else if (role_ == Role::kFollower) {
    status_ = reader_.status();
  }
  return false;
}

bool ReplicaCore::AcquireLease() {
  absl::MutexLock lock(&mutex_);
  if (lease_) return true;
  // A stopped replica must leave the lease to those that can go on.
  if (role_ != Role::kFollower) return false;
  absl::StatusOr<std::optional<Lease>> lease = Lease::TryAcquire(*options_.file_system, layout_.lease());
  if (!lease.ok()) {
    if (!MayPass(lease.status())) status_ = lease.status();
    return false;
  }
  status_ = absl::OkStatus();
  if (!*lease) return false;
  lease_ = std::move(*lease);
  lease_held_ = true;
  return true;
}

void ReplicaCore::TryTakeOver() {
  if (!options_.may_lead || role() != Role::kFollower) return;
  const int64_t now = options_.clock->MonotonicNanos();
  if (!lease_held_) {
    if (now < next_try_ns_) return;
    next_try_ns_ = now + kLookEveryNs;
    if (!AcquireLease()) return;
    next_try_ns_ = 0;
  }
  if (now < next_try_ns_) return;
  const absl::Status status = BecomePrimary();
  if (!status.ok()) {
    next_try_ns_ = now + absl::ToInt64Nanoseconds(kRetryEvery);
    absl::MutexLock lock(&mutex_);
    if (MayPass(status)) {
      status_ = status;
    } else if (role_ != Role::kStopped) {
      Stop(status);
    }
  }
}

absl::Status ReplicaCore::BecomePrimary() {
  // A takeover that is tried again goes on in the epoch that it has.
  if (granted_ == 0 || epochs_.current() != granted_) {
    KB_ASSIGN_OR_RETURN(granted_, epochs_.Grant(reader_.last().position.epoch));
  }
  while (Follow()) {
  }
  KB_RETURN_IF_ERROR(reader_.status());
  if (role() == Role::kStopped) return status();
  KB_ASSIGN_OR_RETURN(const SegmentNumber last, SealOpenSegments());
  JournalWriterOptions options = {.file_system = options_.file_system,
                                  .layout = layout_,
                                  .data_format = data_format_,
                                  .segment_bytes = options_.segment_bytes,
                                  .preparer = preparer_.get()};
  KB_ASSIGN_OR_RETURN(JournalWriter writer, JournalWriter::Begin(std::move(options), epochs_, granted_, reader_.last(),
                                                                 last + 1, options_.clock->RealtimeNanos()));
  absl::MutexLock lock(&mutex_);
  applied_ = writer.last().position;
  writer_.emplace(std::move(writer));
  status_ = absl::OkStatus();
  role_ = Role::kPrimary;
  return absl::OkStatus();
}

absl::StatusOr<SegmentNumber> ReplicaCore::SealOpenSegments() {
  FileSystem& fs = *options_.file_system;
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs));
  // Segments behind the reader's were made by primaries that died before they wrote to them. One that follows frames
  // which the reader did not find shows that they are lost: nothing is sealed over that.
  for (const SegmentNumber number : segments) {
    if (number > reader_.segment()) KB_RETURN_IF_ERROR(reader_.CheckFollows(number));
  }
  for (const SegmentNumber number : segments) {
    if (number < reader_.segment()) continue;
    const uint64_t end = number == reader_.segment() ? reader_.offset() : 0;
    const absl::Status sealed = SealAbandonedChannel(fs, layout_.segment(number), end);
    if (absl::IsFailedPrecondition(sealed)) {
      return absl::UnavailableError(absl::StrCat("can't take over yet: ", sealed.message()));
    }
    KB_RETURN_IF_ERROR(sealed);
  }
  return segments.empty() ? 0 : segments.back();
}

void ReplicaCore::RunFollower() {
  absl::MutexLock drive(&drive_mutex_);
  Backoff backoff;
  while (!stopping_ && role() == Role::kFollower) {
    if (Follow()) {
      backoff.Reset();
      sleep_ = kSleepMin;
      continue;
    }
    if (lease_held_ || reader_.at_segment_end()) TryTakeOver();
    if (options_.wait == Wait::kSpin) {
      // A short pause, so that the primary keeps the cache line it writes to; no longer one, which would be lag.
      for (int i = 0; i < kSpinPauses; ++i) SpinPause();
    } else if (!backoff.completed()) {
      backoff.Pause();
    } else {
      Sleep();
    }
  }
  ReportRole();
}

void ReplicaCore::Sleep() {
  const uint32_t ticket = wake_.Prepare();
  if (Follow() || stopping_ || (lease_held_ && next_try_ns_ == 0)) return;
  const bool watched = !reader_.at_segment_end() && !lease_held_;
  sleep_ = watched ? kSleepWatched : std::clamp(sleep_ * 2, kSleepMin, kSleepMax);
  wake_.Wait(ticket, sleep_);
}

void ReplicaCore::RunLeaseWatch() {
  while (!stopping_ && role() == Role::kFollower) {
    if (AcquireLease()) {
      wake_.Notify();
      return;
    }
    const std::optional<ProcessId> holder = Lease::Holder(*options_.file_system, layout_.lease());
    std::optional<ProcessWatch> watch = holder ? ProcessWatch::Open(*options_.file_system, *holder) : std::nullopt;
    if (watch) {
      watch->Wait(stop_watch_, kSleepWatched);
    } else {
      stop_watch_.Wait(kAskEvery);
    }
  }
}

void ReplicaCore::ReportRole() {
  Role role;
  Epoch epoch;
  {
    absl::MutexLock lock(&mutex_);
    if (reported_ == role_) return;
    reported_ = role = role_;
    epoch = applied_.epoch;
  }
  if (options_.on_role_change) options_.on_role_change(role, epoch);
}

absl::Status ReplicaCore::Poll() {
  if (options_.threads) return absl::FailedPreconditionError("Poll() is for a replica without threads of its own");
  {
    absl::MutexLock drive(&drive_mutex_);
    if (role() == Role::kFollower) {
      while (Follow()) {
      }
      TryTakeOver();
    }
  }
  ReportRole();
  return status();
}

bool ReplicaCore::WaitForRole(Role role, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto reached = [this, role]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return role_ == role || role_ == Role::kStopped; };
  mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  return role_ == role;
}

absl::Status ReplicaCore::WaitForApplied(Position position, absl::Duration timeout) {
  const auto reached = [this, position]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return (applied_.seq >= position.seq && applied_.epoch >= position.epoch) || role_ == Role::kStopped;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  if (applied_.seq >= position.seq && applied_.epoch >= position.epoch) return absl::OkStatus();
  if (role_ == Role::kStopped) return status_;
  return absl::UnavailableError(absl::StrCat(options_.directory, ": ", position.ToString(), " is not applied in time, ",
                                             applied_.ToString(), " is"));
}

Role ReplicaCore::role() const {
  absl::MutexLock lock(&mutex_);
  return role_;
}

Position ReplicaCore::applied() const {
  absl::MutexLock lock(&mutex_);
  return applied_;
}

absl::Status ReplicaCore::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ReplicaCore::Stop(const absl::Status& why) {
  role_ = Role::kStopped;
  status_ = why;
  // The segment before the lease: whoever takes over finds it closed.
  writer_.reset();
  lease_.reset();
  lease_held_ = false;
}

absl::Status ReplicaCore::NotPrimary() const {
  if (role_ == Role::kStopped) return status_;
  return absl::FailedPreconditionError(
      absl::StrCat(options_.directory, ": this replica is a ", RoleName(role_), ", only the primary takes commands"));
}

}  // namespace kekbit
