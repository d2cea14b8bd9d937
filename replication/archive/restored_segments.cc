#include "kekbit/replication/archive/restored_segments.h"

#include <algorithm>
#include <utility>

#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/segment_size.h"

namespace kekbit {
namespace {

// Pages are touched this far ahead: little, since each touched page is written.
constexpr uint64_t kTouchBytes = 4u << 20;

}  // namespace

absl::Status RestoredSegments::Append(Bytes record, const ChainLink& link, const FramesContent& content) {
  const auto header = LoadUnaligned<FrameHeader>(record.data());
  const bool begins = static_cast<FrameKind>(header.kind) == FrameKind::kEpochStart;
  if (!writer_ || begins || content != content_) {
    KB_RETURN_IF_ERROR(Roll(header.epoch, record.size(), content, begins));
  }
  while (true) {
    absl::Status written = writer_->Write(record).status();
    if (written.ok()) break;
    const bool no_room = absl::IsResourceExhausted(written) || record.size() > writer_->header().max_msg_len();
    if (!no_room) return written;
    KB_RETURN_IF_ERROR(Roll(header.epoch, record.size(), content, /*first_of_epoch=*/false));
  }
  last_ = link;
  return absl::OkStatus();
}

absl::Status RestoredSegments::Roll(Epoch epoch, uint64_t longest, const FramesContent& content, bool first_of_epoch) {
  // What a longer record takes counts more than what was asked for.
  const uint64_t least = kLongestRecordShare * (longest + kLengthBytes);
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(segment_bytes_, least), kCapacityMax));
  const uint32_t capacity = writer_ && !first_of_epoch
                                ? NextSegmentBytes(writer_->header().capacity(), most, longest)
                                : NextSegmentBytes(FirstSegmentBytes(most) / kSegmentGrowth, most, longest);
  KB_RETURN_IF_ERROR(Finish());
  const absl::StatusOr<Header> header =
      Header::Make({.writer_id = epoch, .channel_id = ++number_, .capacity = capacity, .max_msg_len = capacity});
  KB_RETURN_IF_ERROR(header.status());
  WriterOptions options;
  options.file_system = &fs_;
  options.extension = SegmentExtension(content.data_format, last_, content.state_name);
  if (!content.counts_unsynced) options.extension.hints[3] &= ~(uint64_t{1} << 32);
  options.first_heartbeat = false;
  options.wakes_readers = false;
  options.flush_on_close = false;
  options.touch_ahead_bytes = kTouchBytes;
  KB_ASSIGN_OR_RETURN(ShmWriter writer, ShmWriter::Create(layout_.segments(), *header, std::move(options)));
  writer_ = std::move(writer);
  content_ = content;
  return absl::OkStatus();
}

absl::Status RestoredSegments::Finish() {
  if (!writer_) return absl::OkStatus();
  writer_->Close();
  KB_RETURN_IF_ERROR(writer_->mapping()->Sync(0, kDataOffset + writer_->write_offset() + kLengthBytes));
  writer_.reset();
  return absl::OkStatus();
}

}  // namespace kekbit
