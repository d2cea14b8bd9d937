#include "kekbit/replication/journal/state_name.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/type_name.h"

namespace kekbit {

StateNameField ToStateNameField(absl::string_view name) {
  StateNameField field = {};
  std::copy_n(name.begin(), std::min(name.size(), field.size()), field.begin());
  return field;
}

std::string FromStateNameField(const StateNameField& field) {
  return std::string(field.begin(), std::find(field.begin(), field.end(), '\0'));
}

std::string FittingStateName(absl::string_view name) {
  if (name.size() <= kStateNameBytes) return std::string(name);
  const std::string sum = absl::StrCat("#", absl::Hex(Crc32c(0, AsBytes(name)), absl::kZeroPad8));
  return absl::StrCat(name.substr(0, kStateNameBytes - sum.size()), sum);
}

std::string internal::ClassStateName(const std::type_info& type) { return FittingStateName(TypeName(type)); }

absl::Status CheckStateName(absl::string_view found, absl::string_view known) {
  if (found.empty() || known.empty() || found == known) return absl::OkStatus();
  const std::string name = absl::CHexEscape(found);
  return absl::FailedPreconditionError(
      absl::StrCat("is of the state \"", name, "\", not of \"", known, "\": of another service; if only the class was ",
                   "renamed, give it `static constexpr absl::string_view kStateName = \"", name, "\"`"));
}

}  // namespace kekbit
