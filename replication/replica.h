// Replica holds a user's state, and keeps it equal to that of every other replica of the same journal, in whatever
// process.
//
//   auto replica = Replica<Ledger>::Open({.directory = "/var/lib/ledger"});  // a follower that takes over when it may
//   if (!replica.ok()) ...
//   (*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration());  // false: stopped, and status() says why
//   auto done = (*replica)->Execute(Transfer{"ada", "bob", 100});       // on the primary: journaled, then applied
//   done->result;                                                       // what Ledger::Apply returned
//   done->position;                                                     // {epoch, seq}
//   (*replica)->Read([](const Ledger& ledger) { return ledger.balance("bob"); });  // on any replica
//
// One replica at a time is the primary: the one that holds the lease, until its process dies or the replica is
// destroyed or steps down. Then another one takes over, within milliseconds if it has a processor. A primary that hangs
// keeps the lease, unless ReplicaOptions::kill_hung_primary_after says otherwise. One that finds a newer epoch than its
// own follows again. A replica that starts applies the whole journal first.
//
// Thread safety: any thread, any method. Commands are applied one at a time, in the order of their seq.
//   In a child that the process forks a replica is nobody's: every call is FailedPrecondition, role() is kStopped,
//   applied() and recovery() are empty, Now() is the infinite past, WaitForRole() is false, and the destructor does
//   nothing, not even to the state.
//   A Read() whose function returns no Status ends the child, with a word on standard error.
// Publication: when Execute() returns a result, every follower can see the command, and none that takes over
//   goes without. A follower's state is that of the primary some moments ago, at applied().
// Durability: what Ack says.

#ifndef KEKBIT_REPLICATION_REPLICA_H_
#define KEKBIT_REPLICATION_REPLICA_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/fixed_array.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/replication/apply/command_check.h"
#include "kekbit/replication/apply_context.h"
#include "kekbit/replication/core/replica_core.h"
#include "kekbit/replication/journal/state_name.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/recovery_report.h"
#include "kekbit/replication/replica_options.h"
#include "kekbit/replication/snapshot/snapshot_stream.h"
#include "kekbit/replication/state_archive.h"
#include "kekbit/replication/state_machine.h"

namespace kekbit {

template <typename T>
concept IsStatusOr = requires {
  typename T::value_type;
}
&&std::is_same_v<T, absl::StatusOr<typename T::value_type>>;

template <StateMachine State, typename Codec = CerealBinaryCodec>
class Replica final {
 public:
  using Command = typename State::Command;
  using Result = typename State::Result;

  // A command that is journaled and applied.
  struct Executed {
    Position position;
    Result result;
  };

  // Opens the journal, which is made if it is not there. The state is that of the newest good snapshot, or else
  // `initial`, which must be the same on every replica; all of the journal behind that, as it was when this was called,
  // is applied. Then the replica follows, and becomes primary as soon as it may. recovery() says what was found.
  //
  // Errors: the file system can't hold a journal; the journal or the snapshot is of another codec, another state (see
  // state_name.h) or another version of it (FailedPrecondition), is damaged (DataLoss), or lacks its beginning
  // (OutOfRange).
  // NOLINTNEXTLINE(performance-unnecessary-value-param): moved from, behind a macro
  static absl::StatusOr<std::unique_ptr<Replica>> Open(ReplicaOptions options, State initial = State()) {
    auto replica = absl::WrapUnique(new Replica(std::move(initial)));
    KB_ASSIGN_OR_RETURN(replica->core_, ReplicaCore::Open(std::move(options), uint64_t{Codec::kDataFormat},
                                                          StateName<State>(), replica->MakeHooks()));
    KB_RETURN_IF_ERROR(replica->core_->Start());
    return replica;
  }

  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;
  // Gives up the lease, if it is primary: a follower takes over.
  ~Replica() {
    if (mark_.in_child()) {
      // Its threads are not here, and the state may be half of what a thread of the parent was making of it.
      static_cast<void>(core_.release());
      return;
    }
    core_.reset();
    state_.~State();
  }

  // Journals the command and applies it; returns once it is acknowledged at the stage asked for, or that of the
  // options. What the state returns is the result, errors included. Errors of Execute() itself:
  //   FailedPrecondition  not the primary: nothing was done.
  //   ResourceExhausted   the disk or another resource is at its end, or the command too long: nothing was done.
  //   Unavailable         the command is published and applied, but could not be synced yet, say for want of
  //                       descriptors: the next sync covers it, and comes by itself.
  //   Aborted             no longer the primary, or a sync failed: whether it was done, or lasts, is unknown.
  //   other codes         from the codec, or ReplicaOptions::checks: nothing was done.
  absl::StatusOr<Executed> Execute(const Command& command) { return Execute(command, core_->options().ack); }
  absl::StatusOr<Executed> Execute(const Command& command, Ack ack) {
    const int64_t start = core_->StartSample();
    absl::StatusOr<Executed> executed = Submit(command);
    if (!executed.ok()) return executed;
    if (ack != Ack::kPublished) KB_RETURN_IF_ERROR(WaitFor(executed->position, ack, absl::InfiniteDuration()));
    core_->AddExecute(start);
    return executed;
  }

  // The first half of Execute(): journals and applies the command, but does not wait until it is acknowledged. To send
  // many and wait for the last. The result is not to leave the process before WaitFor() its position has returned OK.
  absl::StatusOr<Executed> Submit(const Command& command) {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return InChild();
    absl::Status aborted;
    {
      std::optional<Command> decoded;
      absl::MutexLock lock(&core_->mutex());
      const absl::StatusOr<ApplyContext> context =
          core_->Append([&, this](MutableBytes to) { return Encode(command, to, decoded); });
      if (context.ok()) {
        return Executed{.position = context->position(), .result = Apply(decoded ? *decoded : command, *context)};
      }
      if (!absl::IsAborted(context.status())) return context.status();
      aborted = context.status();
    }
    core_->ReportRole();
    return aborted;
  }

  // Journals and applies several commands, at least one, as one publication: followers see all of them or none, also
  // after the death of this process. Everything else as for Submit(); ResourceExhausted also if they don't fit into one
  // segment together.
  absl::StatusOr<std::vector<Executed>> SubmitBatch(absl::Span<const Command> commands) {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return InChild();
    if (commands.empty()) return absl::InvalidArgumentError("a batch of no commands");
    absl::Status aborted;
    {
      std::vector<std::optional<Command>> decoded(core_->options().checks.decode ? commands.size() : 0);
      std::optional<Command> none;
      absl::MutexLock lock(&core_->mutex());
      const absl::StatusOr<ApplyContext> first =
          core_->AppendBatch(commands.size(), [&, this](size_t i, MutableBytes to) {
            return Encode(commands[i], to, decoded.empty() ? none : decoded[i]);
          });
      if (first.ok()) {
        std::vector<Executed> executed;
        executed.reserve(commands.size());
        Position position = first->position();
        for (size_t i = 0; i < commands.size(); ++i) {
          const Command& command = decoded.empty() ? commands[i] : *decoded[i];
          const ApplyContext context(position, first->time_ns());
          executed.push_back({.position = position, .result = Apply(command, context)});
          ++position.seq;
        }
        return executed;
      }
      if (!absl::IsAborted(first.status())) return first.status();
      aborted = first.status();
    }
    core_->ReportRole();
    return aborted;
  }

  // Waits until the command at `position`, which Submit() returned, is acknowledged at the stage. A submitted command
  // is published. Unavailable if that took longer than the timeout, or could not be done yet: it may still come.
  // Aborted if a sync failed: whether the command lasts is unknown, and this replica stops. FailedPrecondition if the
  // position is of another replica, or of a reign of this one before its last.
  absl::Status WaitFor(Position position, Ack ack, absl::Duration timeout) {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return InChild();
    return core_->WaitFor(position, ack, absl::Now() + timeout);
  }

  // Hands over: this replica becomes a follower, and leaves the lease to the others for ReplicaOptions::step_down_for,
  // or until one of them had it. A standby is primary within milliseconds. Everything acknowledged stays so; what was
  // submitted can still be awaited. FailedPrecondition if it is not primary, or, unless told otherwise, sees no
  // standby: then nothing is done. One is seen by its statistics (DIR/replicas).
  absl::Status StepDown(Successor successor = Successor::kStandby) {
    return mark_.in_child() ? InChild() : core_->StepDown(successor);
  }

  // Calls `use(const State&)`, `use(const State&, Position applied)`, or with Now() as a third, while no command is
  // applied; returns what it returns. It must not call this replica. In a forked child it is not called: a function
  // that returns a Status or a StatusOr returns FailedPrecondition, and any other ends the process.
  template <typename Use>
  auto Read(Use&& use) const {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return NoRead<decltype(UseState(std::forward<Use>(use)))>();
    absl::ReaderMutexLock lock(&core_->mutex());
    return UseState(std::forward<Use>(use));
  }

  // The same once the command at `position` is applied, so that a client finds on a follower what it did on the
  // primary. Unavailable if that is not the case in time. `use` must return something.
  template <typename Use>
  auto ReadAt(Position position, absl::Duration timeout, Use&& use) const
      -> absl::StatusOr<std::invoke_result_t<Use, const State&>> {
    if (ABSL_PREDICT_FALSE(mark_.in_child())) return InChild();
    absl::MutexLock lock(&core_->mutex());
    KB_RETURN_IF_ERROR(core_->WaitForApplied(position, timeout));
    return std::forward<Use>(use)(static_cast<const State&>(state_));
  }

  // The journal's time now: what a state compares with ApplyContext::time() when no command comes, to tell what has
  // expired, say. On a primary the time that a command would get now, and none gets an earlier one after that; on a
  // follower the same as far as it knows: the last primary's time, or the last frame's and what has gone by since.
  // Never before a time that it returned earlier. Not inside Read(), which can pass it on.
  absl::Time Now() const {
    if (mark_.in_child()) return absl::InfinitePast();
    absl::ReaderMutexLock lock(&core_->mutex());
    return absl::FromUnixNanos(core_->JournalNow());
  }

  // Waits until the replica has this role, and the callbacks of the options that tell of it have returned; in a
  // callback it does not wait for that. False if it was not so in time, or the replica has stopped.
  bool WaitForRole(Role role, absl::Duration timeout) { return !mark_.in_child() && core_->WaitForRole(role, timeout); }

  // Takes a snapshot of the state as it is now, and keeps it and the one before; the journal is cut behind that one.
  // Returns up to where it goes, once it was read back and is on stable storage. The state must be one of which
  // snapshots can be taken (see state_archive.h). FailedPrecondition for a primary, unless
  // ReplicaOptions::snapshots.on_primary; Cancelled if the replica became primary meanwhile; Unavailable while another
  // one is taken.
  absl::StatusOr<Position> TakeSnapshot() {
    if (mark_.in_child()) return InChild();
    return core_->TakeSnapshot();
  }

  // What opening the journal took, and what recovery did since.
  RecoveryReport recovery() const { return mark_.in_child() ? RecoveryReport() : core_->recovery(); }

  // Does what there is to do now, without waiting: applies frames, takes over. For a replica without threads of its
  // own; FailedPrecondition otherwise. Returns status().
  absl::Status Poll() { return mark_.in_child() ? InChild() : core_->Poll(); }

  Role role() const { return mark_.in_child() ? Role::kStopped : core_->role(); }
  // The last frame applied. Its epoch is this replica's reign if it is primary.
  Position applied() const { return mark_.in_child() ? Position() : core_->applied(); }
  // OK, or why the replica stopped, or what keeps it from becoming primary just now.
  absl::Status status() const { return mark_.in_child() ? InChild() : core_->status(); }

 private:
  // How many commands are decoded before the first of them is applied, for a state that has a use for that.
  static constexpr size_t kPrefetched = 16;

  explicit Replica(State initial) : state_(std::move(initial)) {}

  absl::Status InChild() const { return ForkMark::Error(core_->options().directory); }

  // With the lock held.
  template <typename Use>
  auto UseState(Use&& use) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const State& state = state_;
    if constexpr (std::is_invocable_v<Use, const State&, Position, absl::Time>) {
      return std::forward<Use>(use)(state, core_->state_position(), absl::FromUnixNanos(core_->JournalNow()));
    } else if constexpr (std::is_invocable_v<Use, const State&, Position>) {
      return std::forward<Use>(use)(state, core_->state_position());
    } else {
      return std::forward<Use>(use)(state);
    }
  }

  // What a Read() that would return a `Returned` does in a child.
  template <typename Returned>
  std::decay_t<Returned> NoRead() const {
    if constexpr (std::is_same_v<std::decay_t<Returned>, absl::Status> || IsStatusOr<std::decay_t<Returned>>) {
      return InChild();
    } else {
      ForkMark::Die(core_->options().directory);
    }
  }

  StateHooks MakeHooks() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    StateHooks hooks;
    hooks.apply = [this](absl::Span<const Frame> frames, Position& applied) { return ApplyFrames(frames, applied); };
    if constexpr (SnapshotState<State>) {
      hooks.snapshot_type = StateType<State>();
      hooks.save = [this](SnapshotOutput& output) { return SaveState(std::as_const(state_), output); };
      hooks.load = [this](SnapshotReader& snapshot) { return LoadState(snapshot, &state_); };
    }
    return hooks;
  }

  // With checks.decode, `decoded` is made what followers will have of the command.
  absl::StatusOr<size_t> Encode(const Command& command, MutableBytes to, std::optional<Command>& decoded) const {
    absl::StatusOr<size_t> length = Codec::Encode(command, to);
    if (ABSL_PREDICT_TRUE(!core_->options().checks.decode) || !length.ok()) return length;
    KB_RETURN_IF_ERROR(DecodeChecked<Codec>(command, to.first(*length), decoded.emplace()));
    return length;
  }

  // An exception ends the process: the command is in the journal, so no replica can go on without its effect, and every
  // other one would throw, too.
  Result Apply(const Command& command, const ApplyContext& context) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    try {
      return state_.Apply(command, context);
    } catch (...) {
      core_->EndForException("Apply", context.position(), CommandType(command));
    }
  }

  void Prefetch(const Frame& frame, const Command& command) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    try {
      state_.Prefetch(command);
    } catch (...) {
      core_->EndForException("Prefetch", frame.position(), CommandType(command));
    }
  }

  // Each command is a new object: one that was decoded before may hold what the next does not overwrite.
  absl::Status ApplyFrames(absl::Span<const Frame> frames, Position& applied) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if constexpr (PrefetchingState<State>) return ApplyPrefetched(frames, applied);
    for (const Frame& frame : frames) {
      Command command;
      KB_RETURN_IF_ERROR(Decode(frame, &command));
      ApplyOne(frame, command, applied);
    }
    return absl::OkStatus();
  }

  absl::Status ApplyPrefetched(absl::Span<const Frame> frames, Position& applied) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    absl::Status status;
    while (!frames.empty() && status.ok()) {
      const absl::Span<const Frame> group = frames.first(std::min(frames.size(), kPrefetched));
      absl::FixedArray<Command, kPrefetched> commands(group.size());
      size_t decoded = 0;
      for (; decoded < group.size(); ++decoded) {
        status = Decode(group[decoded], &commands[decoded]);
        if (ABSL_PREDICT_FALSE(!status.ok())) break;
        Prefetch(group[decoded], commands[decoded]);
      }
      for (size_t i = 0; i < decoded; ++i) ApplyOne(group[i], commands[i], applied);
      frames.remove_prefix(group.size());
    }
    return status;
  }

  void ApplyOne(const Frame& frame, const Command& command, Position& applied) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    static_cast<void>(Apply(command, ApplyContext(frame.header)));
    applied = frame.position();
  }

  absl::Status Decode(const Frame& frame, Command* command) const {
    absl::Status status = Codec::Decode(frame.payload, command);
    if (ABSL_PREDICT_TRUE(status.ok())) return status;
    return UndecodedCommand(status, core_->options().directory, frame, typeid(Command));
  }

  const ForkMark mark_;
  union {          // without a destructor of its own: see ~Replica()
    State state_;  // guarded by core_->mutex()
  };
  std::unique_ptr<ReplicaCore> core_;  // its threads use state_: destroyed first
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_REPLICA_H_
