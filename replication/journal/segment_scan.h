// SegmentScan walks over a channel as ChannelScan does. If the channel is a segment of a journal,
// the scan reads its records as frames and checks that each follows its predecessor.
//
//   auto scan = SegmentScan::OpenAt(fs, path);
//   for (SegmentItem item = scan->Next(); !item.is_last(); item = scan->Next()) Show(item);
//
// Thread safety, lifetimes, errors: as ChannelScan.

#ifndef KEKBIT_REPLICATION_JOURNAL_SEGMENT_SCAN_H_
#define KEKBIT_REPLICATION_JOURNAL_SEGMENT_SCAN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_scan.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

// SegmentItem is what stands at one place of a segment.
struct SegmentItem {
  ChannelItem in_channel;
  // The frame of a record in a segment, as it stands there; nullopt if the record is too short.
  std::optional<FrameHeader> frame = std::nullopt;
  Bytes command = {};  // the frame's payload
  // DataLoss if the item is damaged, or a frame does not follow its predecessor; FailedPrecondition
  // for a frame that this code does not know. With path and offset.
  absl::Status status = absl::OkStatus();

  bool is_last() const { return in_channel.is_last(); }
};

class SegmentScan final {
 public:
  // `number`: of the segment that this is to be, if it is to be one; DataLoss if it names another
  // number.
  static absl::StatusOr<SegmentScan> OpenAt(FileSystem& fs, const std::string& path, SegmentNumber number = 0);

  // Returns the next item. After a frame that does not fit, the next frame is expected to follow
  // that frame as far as its header is credible. So a damaged place is shown once, as a rule, and
  // what is whole after it is not called damaged.
  SegmentItem Next();

  // Returns what the first frame follows, if the channel is a segment of a journal.
  const std::optional<ChainLink>& follows() const { return follows_; }
  // Returns the last frame that was shown, or what the segment follows. REQUIRES: follows() is set.
  const ChainLink& last() const { return last_; }

  ChannelScan& scan() { return scan_; }
  const ChannelFile& channel() const { return scan_.channel(); }

 private:
  SegmentScan(ChannelScan scan, std::optional<ChainLink> follows);
  absl::Status CheckFrame(Bytes record, const SegmentItem& item);

  ChannelScan scan_;
  std::optional<ChainLink> follows_;
  ChainLink last_;
};

// Returns what the failure to open it as a channel says of a segment. DataLoss if it is damaged, is
// no file, or seems to be of a newer version, which can't be told from a damaged header. All else
// is an error of the system.
absl::Status WhyUnreadable(FileSystem& fs, const std::string& path, const absl::Status& opened);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SEGMENT_SCAN_H_
