#include "kekbit/replication/journal/segment_scan.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"

namespace kekbit {
namespace {

// Checks that the first frame of an epoch, whose header fits, names its predecessor.
absl::Status CheckEpochStart(Bytes payload, const ChainLink& before) {
  if (payload.size() != sizeof(EpochStart)) {
    return absl::DataLossError(
        absl::StrCat("an epoch start has ", payload.size(), " bytes of payload, not ", sizeof(EpochStart)));
  }
  const auto start = LoadUnaligned<EpochStart>(payload.data());
  const Position follows{.epoch = start.follows_epoch, .seq = start.follows_seq};
  if (follows == before.position && start.follows_crc32c == before.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("an epoch start names ", follows.ToString(), " with checksum ",
                                          start.follows_crc32c, " as what it follows, not ", before.position.ToString(),
                                          " with ", before.crc32c));
}

// Returns what the frame after `record`, which does not fit, is expected to follow, as far as can
// be told.
ChainLink LinkBehind(const FrameHeader& header, Bytes record, const ChainLink& before) {
  const uint32_t crc = Crc32c(before.crc32c, record.subspan(sizeof header.crc32c));
  ChainLink link{.position = {.epoch = header.epoch, .seq = header.seq}, .crc32c = header.crc32c, .time_ns = 0};
  // The bytes are what was written: the header says where the journal goes on.
  if (crc == header.crc32c) return link;
  // The bytes are not what was written: any of them may be wrong. Most likely it is not this very
  // word.
  link.position.seq = before.position.seq + 1;
  if (header.kind != static_cast<uint8_t>(FrameKind::kEpochStart)) link.position.epoch = before.position.epoch;
  return link;
}

}  // namespace

absl::StatusOr<SegmentScan> SegmentScan::OpenAt(FileSystem& fs, const std::string& path, SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(ChannelFile channel, OpenChannelFile(fs, path));
  const absl::StatusOr<ChainLink> link = FollowedBySegment(channel.extension);
  if (link.ok() && number != 0 && channel.header.channel_id() != number) {
    return absl::DataLossError(absl::StrCat(path, ": this is segment ", channel.header.channel_id(), ", not ", number));
  }
  const std::optional<ChainLink> follows = link.ok() ? std::optional<ChainLink>(*link) : std::nullopt;
  return SegmentScan(ChannelScan(std::move(channel), /*heartbeats=*/!follows), follows);
}

SegmentScan::SegmentScan(ChannelScan scan, std::optional<ChainLink> follows)
    : scan_(std::move(scan)), follows_(follows), last_(follows.value_or(ChainLink{})) {}

SegmentItem SegmentScan::Next() {
  SegmentItem item{.in_channel = scan_.Next()};
  item.status = item.in_channel.status;
  if (!follows_ || item.in_channel.kind != ChannelItemKind::kRecord) return item;
  const Bytes record = item.in_channel.payload;
  if (record.size() >= kFrameHeaderBytes) {
    item.frame = LoadUnaligned<FrameHeader>(record.data());
    item.command = record.subspan(kFrameHeaderBytes);
  }
  const absl::Status fits = CheckFrame(record, item);
  if (!fits.ok()) {
    item.status = absl::Status(
        fits.code(), absl::StrCat(scan_.path(), ": at offset ", item.in_channel.offset, ": ", fits.message()));
  }
  return item;
}

absl::Status SegmentScan::CheckFrame(Bytes record, const SegmentItem& item) {
  const ChainLink before = last_;
  const absl::StatusOr<Frame> frame = ParseFrame(record, last_);
  if (!frame.ok()) {
    if (item.frame) last_ = LinkBehind(*item.frame, record, before);
    return frame.status();
  }
  if (frame->header.time_ns < before.time_ns) {
    return absl::DataLossError(
        absl::StrCat("time ", frame->header.time_ns, " ns is before that of the last frame, ", before.time_ns));
  }
  if (frame->kind() != FrameKind::kEpochStart) return absl::OkStatus();
  if (const Epoch epoch = scan_.channel().header.writer_id(); frame->header.epoch != epoch) {
    return absl::DataLossError(
        absl::StrCat("a frame of ", frame->position().ToString(), " in a segment of epoch ", epoch));
  }
  return CheckEpochStart(frame->payload, before);
}

absl::Status WhyUnreadable(FileSystem& fs, const std::string& path, const absl::Status& opened) {
  if (!absl::IsFailedPrecondition(opened)) return opened;
  const absl::Status file = fs.Open(path, Access::kRead).status();
  if (!file.ok()) return absl::IsFailedPrecondition(file) ? absl::DataLossError(file.message()) : file;
  return absl::DataLossError(absl::StrCat(opened.message(),
                                          "; either a newer kekbit wrote the segment, which is needed to read it, or "
                                          "its header is damaged"));
}

}  // namespace kekbit
