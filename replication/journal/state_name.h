// The name of a state: it stands in each segment and snapshot of a journal, so that no service applies another's.
//
//   struct Ledger {
//     static constexpr absl::string_view kStateName = "ledger";   // at most 56 characters
//     ...
//   };
//
// Without kStateName the name is that of the class, with its namespaces. Choose one before the class is renamed or
// moved: a journal of the old name is refused until kStateName says that name. A state that follows the journal of
// another class, as a report may, has the same kStateName.
//
// Thread safety: plain functions.

#ifndef KEKBIT_REPLICATION_JOURNAL_STATE_NAME_H_
#define KEKBIT_REPLICATION_JOURNAL_STATE_NAME_H_

#include <array>
#include <cstddef>
#include <string>
#include <typeinfo>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekbit {

// Room for a name in a file.
inline constexpr size_t kStateNameBytes = 56;
// A name as it stands in a file: padded with zeros.
using StateNameField = std::array<char, kStateNameBytes>;

StateNameField ToStateNameField(absl::string_view name);
std::string FromStateNameField(const StateNameField& field);

// The name itself if there is room for it in a file; a longer one ends with a checksum in the place of its rest.
std::string FittingStateName(absl::string_view name);

namespace internal {

// The name of a class in the source, as FittingStateName() has it.
std::string ClassStateName(const std::type_info& type);

}  // namespace internal

// The name of a class as a state.
template <typename State>
std::string StateName() {
  if constexpr (requires { State::kStateName; }) {
    static_assert(absl::string_view(State::kStateName).size() <= kStateNameBytes, "kStateName is too long");
    return std::string(absl::string_view(State::kStateName));
  } else {
    return internal::ClassStateName(typeid(State));
  }
}

// FailedPrecondition, with both names, if files of the state `found` are not for the state `known`. An empty name fits
// every other: files of earlier versions have none, and tools ask for none.
absl::Status CheckStateName(absl::string_view found, absl::string_view known);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_STATE_NAME_H_
