#include "kekbit/codecs/cereal/cereal_left_out.h"

#include "kekbit/base/type_name.h"

namespace kekbit::internal {

std::string FirstLost(const std::vector<MemberGap>& passed, const std::vector<MemberGap>& decoded) {
  for (size_t i = 0; i < std::min(passed.size(), decoded.size()); ++i) {
    const MemberGap& gap = passed[i];
    if (*gap.type != *decoded[i].type || gap.offset != decoded[i].offset || gap.bytes == decoded[i].bytes) continue;
    return absl::StrCat("bytes ", gap.offset, " to ", gap.offset + gap.bytes.size(), " of a ", TypeName(*gap.type),
                        " are left out of its serialize(), and lost");
  }
  return {};
}

}  // namespace kekbit::internal
