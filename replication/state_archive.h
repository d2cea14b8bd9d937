// SaveState and LoadState put a user's state into a snapshot, and back.
//
// A state is saved in one of two ways:
//
//   struct Ledger {                                     // whatever cereal serializes
//     template <class Archive>
//     void serialize(Archive& archive, std::uint32_t version) { ... }
//   };
//   CEREAL_CLASS_VERSION(Ledger, 2)
//
//   struct Ledger {                                     // its own way, preferred to cereal
//     static constexpr uint32_t kSnapshotVersion = 2;
//     absl::Status Save(SnapshotOutput& output) const;
//     absl::Status Load(SnapshotInput& input);          // input.type_version() says which version
//   };
//
// Saving changes nothing: others read a follower's state while it is saved, and a change would be a
// data race. So saving takes a const object: Save(), save(), save_minimal(), or a serialize() for
// both, which is
//
//     template <class Archive, class Self>
//     requires std::same_as<std::remove_const_t<Self>, Ledger>
//     friend void serialize(Archive& archive, Self& self) { archive(self.accounts); }
//
// A serialize() for objects that are not const, cereal's usual one, is called for saving, too.
// Nothing keeps such a function from changing what it saves: write none that does, or write a
// save() and a load(). kSavesConstState says which it is.
//
// Versions: a snapshot names the state's kSnapshotVersion, or else its CEREAL_CLASS_VERSION, or
// else 0. A snapshot of an older version is loaded, by a state that knows how; a newer version is
// FailedPrecondition. So raise the version when what is saved changes. A state that cereal
// serializes without a version may get one later, from 1 on: what was saved before is of version 0.
// That is not so for the classes inside the state: their versions stand in the bytes. A state may
// have a `static constexpr uint32_t kSnapshotTypeId`: a snapshot of another id is refused.
//
// Both ways are streams: however large the state is, a chunk of it is in memory twice. Save() must
// be as deterministic as Apply() only if snapshots of several replicas are to be compared.
//
// Thread safety: as that of the state.

#ifndef KEKBIT_REPLICATION_STATE_ARCHIVE_H_
#define KEKBIT_REPLICATION_STATE_ARCHIVE_H_

#include <concepts>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/cereal/cereal_stream_codec.h"
#include "kekbit/codecs/codec_errors.h"
#include "kekbit/codecs/data_format.h"
#include "kekbit/replication/journal/state_name.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_stream.h"

namespace kekbit {

class SnapshotReader;

namespace internal {

// Why a state could not be loaded. What it does not take, of a snapshot that is whole, is no
// damage, but of another version.
absl::Status ExplainLoaded(const absl::Status& loaded, SnapshotReader& snapshot, const SnapshotType& known);

// Loads a snapshot into a state of the type `known` by `load`; see LoadState().
absl::Status LoadChecked(SnapshotReader& snapshot, const SnapshotType& known,
                         absl::FunctionRef<absl::Status(SnapshotInput&)> load);

}  // namespace internal

template <typename State>
concept SavesItself = requires(const State& saved, State& loaded, SnapshotOutput& output, SnapshotInput& input) {
  { saved.Save(output) } -> std::same_as<absl::Status>;
  { loaded.Load(input) } -> std::same_as<absl::Status>;
};

// SnapshotState is what a state has to be so that there can be snapshots of it.
template <typename State>
concept SnapshotState = SavesItself<State> || CerealStreamCodec::kSerializes<State>;

// True if saving gets a const state. That says nothing of the types of its members.
template <SnapshotState State>
inline constexpr bool kSavesConstState = SavesItself<State> || CerealStreamCodec::kSavesConst<State>;

// Returns the type of a snapshot of the state.
template <SnapshotState State>
SnapshotType StateType() {
  SnapshotType type;
  type.state = StateName<State>();
  type.data_format = SavesItself<State> ? kRawDataFormat : CerealStreamCodec::kDataFormat;
  if constexpr (requires { State::kSnapshotTypeId; }) type.type_id = State::kSnapshotTypeId;
  if constexpr (requires { State::kSnapshotVersion; }) {
    type.type_version = State::kSnapshotVersion;
  } else if constexpr (!SavesItself<State>) {
    type.type_version = CerealStreamCodec::ClassVersion<State>();
  }
  return type;
}

// Returns the error of the stream, or of the state's own Save(). InvalidArgument if Save() throws,
// or for a version 0 (see above).
template <SnapshotState State>
absl::Status SaveState(const State& state, SnapshotOutput& output) {
  if constexpr (SavesItself<State>) {
    try {
      KB_RETURN_IF_ERROR(state.Save(output));
    } catch (...) {
      return internal::EncodingException();
    }
    return output.Write(Bytes());  // an error that Save() did not look at
  } else {
    // Version 0 says that no version stands in the bytes.
    if (CerealStreamCodec::kIsVersioned<State> && StateType<State>().type_version == 0) {
      return absl::InvalidArgumentError(
          "the state's serialize() takes a version, and it has none: say CEREAL_CLASS_VERSION(State, 1), or a later "
          "one");
    }
    return CerealStreamCodec::Save(state, output);
  }
}

// Loads all of the snapshot. After an error the state is unspecified: not to be used.
// FailedPrecondition, with both types, if the snapshot is of another type or a newer version.
// FailedPrecondition also if the snapshot is whole and the state does not take what is in it, or
// leaves some of it. Otherwise the error of the snapshot.
template <SnapshotState State>
absl::Status LoadState(SnapshotReader& snapshot, State* state) {
  return internal::LoadChecked(snapshot, StateType<State>(), [state](SnapshotInput& input) {
    if constexpr (SavesItself<State>) {
      try {
        return state->Load(input);
      } catch (...) {
        return internal::DecodingException();
      }
    } else {
      return CerealStreamCodec::Load(input, state, input.type_version() != 0);
    }
  });
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATE_ARCHIVE_H_
