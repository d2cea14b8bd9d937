#include "kekbit/replication/apply/command_check.h"

#include "kekbit/base/type_name.h"

namespace kekbit::internal {

absl::Status NotTheSame(const std::type_info& type, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "checks.decode: a command of the type ", TypeName(type), " is not journaled: ", what,
      "; if nothing that counts is lost, as of an unordered container or of what is only remembered, say so by an "
      "operator== of the type"));
}

std::string Difference(Bytes first, Bytes second) {
  const auto [at, other] = std::mismatch(first.begin(), first.end(), second.begin(), second.end());
  if (at == first.end() && other == second.end()) return {};
  return absl::StrCat(first.size(), " bytes, then ", second.size(), ", the first difference is at offset ",
                      at - first.begin());
}

}  // namespace kekbit::internal

namespace kekbit {

absl::Status UndecodedCommand(const absl::Status& status, absl::string_view directory, const Frame& frame,
                              const std::type_info& known) {
  const auto code = absl::IsDataLoss(status) ? absl::StatusCode::kFailedPrecondition : status.code();
  return absl::Status(
      code, absl::StrCat(directory, ": the command at ", frame.position().ToString(), " is whole, and of the type ",
                         frame.header.type_id, ", version ", frame.header.type_version,
                         "; this program can't decode it as a ", TypeName(known), ": ", status.message(),
                         "; another version of the service wrote it: start one that knows its commands"));
}

}  // namespace kekbit
