// StateMachine: what a user's class has to be so that a Replica can hold it.
//
//   struct Counter {
//     using Command = int64_t;  // whatever the codec takes; cereal's: anything that cereal serializes
//     using Result = int64_t;   // given back by Execute() on the primary
//     Result Apply(const Command& command, const ApplyContext& context) { return value += command; }
//     int64_t value = 0;
//   };
//
// Apply() is deterministic: what it does and returns follows from the state, the command and the context, on every
// build and machine that shall be a replica. No clock, no randomness but the context's; no address, no order of an
// unordered container. It does not throw, and does not call the replica. A command that can't be carried out is a
// result (say, an absl::Status), no failure: it is in the journal like any other, and every replica finds the same.

#ifndef KEKBIT_REPLICATION_STATE_MACHINE_H_
#define KEKBIT_REPLICATION_STATE_MACHINE_H_

#include <concepts>

#include "replication/apply_context.h"

namespace kekbit {

template <typename State>
concept StateMachine = std::movable<State> &&
    requires(State& state, const typename State::Command& command, const ApplyContext& context) {
  typename State::Command;
  typename State::Result;
  { state.Apply(command, context) } -> std::convertible_to<typename State::Result>;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATE_MACHINE_H_
