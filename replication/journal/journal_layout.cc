#include "kekbit/replication/journal/journal_layout.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/state_name.h"

namespace kekbit {
namespace {

constexpr uint64_t kSegmentMagic = 0x4C4E'524A'5442'4B4B;  // "KKBTJRNL" as bytes

// The last hint: the checksum of what the segment follows in the low half, and these bits.
constexpr uint64_t kCountsUnsynced = uint64_t{1} << 32;

// Undoes ChannelPath's "HHHH_HHHH" and "LLLL_LLLL"; returns nullopt for any other name.
std::optional<uint32_t> ParseHalf(absl::string_view name) {
  if (name.size() != 9 || name[4] != '_') return std::nullopt;
  uint32_t value = 0;
  const std::string digits = absl::StrCat(name.substr(0, 4), name.substr(5));
  const bool canonical = digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!canonical || !absl::SimpleHexAtoi(digits, &value)) return std::nullopt;
  return value;
}

}  // namespace

absl::StatusOr<std::vector<SegmentNumber>> JournalLayout::ListSegments(FileSystem& fs) const {
  std::vector<SegmentNumber> numbers;
  absl::StatusOr<std::vector<std::string>> high_names = fs.List(segments());
  if (absl::IsNotFound(high_names.status())) return numbers;
  KB_RETURN_IF_ERROR(high_names.status());
  for (const std::string& high_name : *high_names) {
    const std::optional<uint32_t> high = ParseHalf(high_name);
    if (!high) continue;
    const absl::StatusOr<std::vector<std::string>> low_names = fs.List(JoinPath(segments(), high_name));
    if (absl::IsNotFound(low_names.status())) continue;  // no directory
    KB_RETURN_IF_ERROR(low_names.status());
    for (absl::string_view low_name : *low_names) {
      if (!absl::ConsumeSuffix(&low_name, ".kekbit")) continue;
      if (const std::optional<uint32_t> low = ParseHalf(low_name)) {
        numbers.push_back(static_cast<SegmentNumber>(*high) << 32 | *low);
      }
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Extension SegmentExtension(uint64_t data_format, const ChainLink& follows, absl::string_view state) {
  return {.data_format = data_format,
          .hints = {kSegmentMagic, follows.position.epoch, follows.position.seq, follows.crc32c | kCountsUnsynced},
          .label = ToStateNameField(state)};
}

absl::StatusOr<ChainLink> FollowedBySegment(const std::optional<Extension>& extension) {
  if (!extension || extension->hints[0] != kSegmentMagic) {
    return absl::DataLossError("the channel is not a segment of a journal");
  }
  return ChainLink{.position = {.epoch = extension->hints[1], .seq = extension->hints[2]},
                   .crc32c = static_cast<uint32_t>(extension->hints[3]),
                   .time_ns = 0};
}

bool SegmentCountsUnsynced(const std::optional<Extension>& extension) {
  return extension && extension->hints[0] == kSegmentMagic && (extension->hints[3] & kCountsUnsynced) != 0;
}

std::string SegmentStateName(const std::optional<Extension>& extension) {
  if (!extension || extension->hints[0] != kSegmentMagic) return {};
  return FromStateNameField(extension->label);
}

absl::Status CheckSegmentState(const std::optional<Extension>& extension, const JournalContent& content) {
  return CheckStateName(SegmentStateName(extension), content.state);
}

}  // namespace kekbit
