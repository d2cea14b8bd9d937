// How long a journal's next segment is. Pure decisions.
//
// The first segment of a reign is short, so that a service that is started again and again takes little of the disk.
// Each next one is four times as long, up to what the options say: a reign that writes much soon rolls rarely.

#ifndef KEKBIT_REPLICATION_JOURNAL_SEGMENT_SIZE_H_
#define KEKBIT_REPLICATION_JOURNAL_SEGMENT_SIZE_H_

#include <algorithm>
#include <cstdint>

#include "kekbit/channel_format.h"

namespace kekbit {

inline constexpr uint32_t kFirstSegmentBytes = 1u << 20;
inline constexpr uint64_t kSegmentGrowth = 4;

// A channel takes this part of its capacity in one record (see HeaderOptions::max_msg_len).
inline constexpr uint64_t kLongestRecordShare = 128;

// The capacity of a reign's first segment, when segments have at most `most` bytes.
constexpr uint32_t FirstSegmentBytes(uint32_t most) { return std::min(kFirstSegmentBytes, most); }

// The capacity of the segment after one of `capacity`. It takes records of `longest` bytes, and `total` bytes of
// records in all, as far as a segment of `most` bytes does.
constexpr uint32_t NextSegmentBytes(uint32_t capacity, uint32_t most, uint64_t longest = 0, uint64_t total = 0) {
  const uint64_t wanted = std::max({kSegmentGrowth * capacity, kLongestRecordShare * (longest + kLengthBytes), total});
  return static_cast<uint32_t>(std::min<uint64_t>(AlignUp(wanted), most));
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SEGMENT_SIZE_H_
