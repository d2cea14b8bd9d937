// Checks commands on their way into the journal and out: the errors of a command that does not come
// out as it went in.
//
// DecodeChecked() is the check ReplicaOptions::checks.decode:
//
//   // `decoded` is what followers will apply
//   KB_RETURN_IF_ERROR(DecodeChecked<Codec>(command, journaled, decoded));
//
// Checks in replica_options.h says what the check finds, and what it does not.
//
// Thread safety: plain functions.

#ifndef KEKBIT_REPLICATION_APPLY_COMMAND_CHECK_H_
#define KEKBIT_REPLICATION_APPLY_COMMAND_CHECK_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/frame.h"

namespace kekbit {
namespace internal {

template <typename T>
inline constexpr bool kIsVariant = false;
template <typename... Ts>
inline constexpr bool kIsVariant<std::variant<Ts...>> = true;

// True if a == b compiles. The standard library's containers say so whatever their elements are.
template <typename T>
constexpr bool HasEqual();

template <typename Tuple, size_t... kIndexes>
constexpr bool HaveEqual(std::index_sequence<kIndexes...> /*indexes*/) {
  return (HasEqual<std::remove_cv_t<std::tuple_element_t<kIndexes, Tuple>>>() && ...);
}

template <typename T>
constexpr bool HasEqual() {
  if constexpr (kIsVariant<T> || !std::equality_comparable<T>) {
    return false;
  } else if constexpr (requires { typename T::value_type; }) {
    return std::same_as<typename T::value_type, T> || HasEqual<std::remove_cv_t<typename T::value_type>>();
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    return HaveEqual<T>(std::make_index_sequence<std::tuple_size_v<T>>());
  } else {
    return true;
  }
}

enum class Equality { kEqual, kUnequal, kUnknown };

// Compares by operator==, or by the type's bytes where they are all of the value.
template <typename T>
Equality Compare(const T& a, const T& b) {
  if constexpr (kIsVariant<T>) {
    if (a.index() != b.index() || a.valueless_by_exception()) return Equality::kUnequal;
    return std::visit([&b](const auto& in_a) { return Compare(in_a, std::get<std::decay_t<decltype(in_a)>>(b)); }, a);
  } else if constexpr (HasEqual<T>()) {
    return a == b ? Equality::kEqual : Equality::kUnequal;
  } else if constexpr (std::has_unique_object_representations_v<T>) {
    return std::memcmp(&a, &b, sizeof a) == 0 ? Equality::kEqual : Equality::kUnequal;
  } else {
    return Equality::kUnknown;
  }
}

// InvalidArgument: the command is not to be journaled.
absl::Status NotTheSame(const std::type_info& type, absl::string_view what);
// Returns how two encodings differ; empty: they don't.
std::string Difference(Bytes first, Bytes second);

}  // namespace internal

// The type of a command, of a variant that of the alternative it holds.
template <typename Command>
const std::type_info& CommandType(const Command& command) {
  if constexpr (internal::kIsVariant<Command>) {
    if (!command.valueless_by_exception()) {
      return std::visit([](const auto& held) -> const std::type_info& { return typeid(held); }, command);
    }
  }
  return typeid(command);
}

// Returns the error of a frame whose command Codec::Decode() did not take. The frame's checksum
// holds. So the frame is not damaged, but of another version: FailedPrecondition. Other codes than
// DataLoss stay.
absl::Status UndecodedCommand(const absl::Status& status, absl::string_view directory, const Frame& frame,
                              const std::type_info& known);

// Decodes what was journaled for `passed`, and compares the two. InvalidArgument, with the type of
// the command, if they differ; Unavailable if there was no memory to find out.
template <typename Codec, typename Command>
absl::Status DecodeChecked(const Command& passed, Bytes journaled, Command& decoded) {
  const std::type_info& type = CommandType(passed);
  const auto decode = [journaled, &type](Command& to) {
    absl::Status status = Codec::Decode(journaled, &to);
    if (status.ok()) return status;
    if (absl::IsResourceExhausted(status)) return absl::UnavailableError(status.message());
    return internal::NotTheSame(type, absl::StrCat("what was journaled for it can't be decoded: ", status.message()));
  };
  if (absl::Status status = decode(decoded); !status.ok()) return status;
  internal::Equality equality = internal::Compare(passed, decoded);
  if (equality == internal::Equality::kUnequal) {
    // An operator== that compares addresses, or a NaN with itself, says so of any two: then it
    // tells nothing.
    Command again;
    if (absl::Status status = decode(again); !status.ok()) return status;
    if (internal::Compare(decoded, again) == internal::Equality::kEqual) {
      return internal::NotTheSame(type, "what was journaled for it is another command when it is decoded");
    }
    equality = internal::Equality::kUnknown;
  }
  if (equality == internal::Equality::kEqual) return absl::OkStatus();
  if constexpr (requires { Codec::LeftOut(passed, decoded); }) {
    if (std::string lost = Codec::LeftOut(passed, decoded); !lost.empty()) return internal::NotTheSame(type, lost);
  }
  std::vector<uint8_t> bytes;
  if (absl::Status resized = ResizeBuffer(bytes, journaled.size(), "checks.decode"); !resized.ok()) return resized;
  const absl::StatusOr<size_t> length = Codec::Encode(decoded, MutableBytes(bytes));
  if (!length.ok()) {
    return internal::NotTheSame(
        type, absl::StrCat("once decoded it can't be encoded as it was: ", length.status().message()));
  }
  const std::string difference = internal::Difference(journaled, Bytes(bytes).first(*length));
  if (difference.empty()) return absl::OkStatus();
  return internal::NotTheSame(type, absl::StrCat("once decoded it is encoded in another way: ", difference));
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_APPLY_COMMAND_CHECK_H_
