// StateMachine is what a user's class has to be so that a Replica can hold it.
//
//   struct Counter {
//     using Command = int64_t;  // whatever the codec takes; cereal's: anything that cereal serializes
//     using Result = int64_t;   // given back by Execute() on the primary
//     Result Apply(const Command& command, const ApplyContext& context) { return value += command; }
//     int64_t value = 0;
//   };
//
// Apply() is deterministic: what it does and returns follows from the state, the command and the
// context, on every build and machine of a replica. No clock, no randomness but the context's, and
// no address. No order of an unordered container, of the state or of a command: that order changes
// once the container was saved and loaded. (All other containers keep theirs, elements of equal
// keys in a multimap or multiset included.) Apply() does not throw (that ends the process), and
// does not call the replica. A command that can't be carried out is a result (say, an
// absl::Status), no failure: it is in the journal like any other, and every replica finds the same.
//
// A state that is larger than the processor's caches may have one more function:
//
//     void Prefetch(const Command& command) const { accounts.prefetch(command.account); }
//
// Where many commands wait, as in a replay, Prefetch() is called for some of them before the first
// of these is applied. So the memory that they need is under way from all sides at once. The call
// is a hint: it changes nothing, and a command for which it was called need not come.

#ifndef KEKBIT_REPLICATION_STATE_MACHINE_H_
#define KEKBIT_REPLICATION_STATE_MACHINE_H_

#include <concepts>
#include <type_traits>

#include "kekbit/replication/apply_context.h"

namespace kekbit {

template <typename State>
concept StateMachine = std::movable<State> && !std::is_void_v<typename State::Result> &&
                       requires(State & state, const typename State::Command& command, const ApplyContext& context) {
  typename State::Command;
  typename State::Result;
  { state.Apply(command, context) } -> std::convertible_to<typename State::Result>;
};

template <typename State>
concept PrefetchingState = StateMachine<State> && requires(const State& state, const typename State::Command& command) {
  state.Prefetch(command);
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATE_MACHINE_H_
