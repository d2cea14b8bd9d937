#include "kekbit/replication/archive/restored_segments.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/segment_size.h"

namespace kekbit {

absl::Status RestoredSegments::Append(Bytes record, const ChainLink& link, const FramesContent& content) {
  const auto header = LoadUnaligned<FrameHeader>(record.data());
  const bool begins = static_cast<FrameKind>(header.kind) == FrameKind::kEpochStart;
  const uint64_t size = RecordBytes(record.size());
  const auto fits = [&] { return record.size() <= header_->max_msg_len() && end_ + size <= header_->capacity(); };
  if (file_ == nullptr || begins || content != content_ || !fits()) {
    KB_RETURN_IF_ERROR(Roll(header.epoch, record.size(), content, begins));
  }
  const Bytes whole(record.data() - kLengthBytes, size);
  if (waiting_.data() + waiting_.size() != whole.data()) KB_RETURN_IF_ERROR(Flush());
  waiting_ = waiting_.empty() ? whole : Bytes(waiting_.data(), waiting_.size() + whole.size());
  end_ += size;
  last_ = link;
  return absl::OkStatus();
}

absl::Status RestoredSegments::Flush() {
  if (waiting_.empty()) return absl::OkStatus();
  KB_RETURN_IF_ERROR(file_->WriteAt(kDataOffset + end_ - waiting_.size(), waiting_));
  waiting_ = {};
  return absl::OkStatus();
}

absl::Status RestoredSegments::Roll(Epoch epoch, uint64_t longest, const FramesContent& content, bool first_of_epoch) {
  // What a longer record takes counts more than what was asked for.
  const uint64_t least = kLongestRecordShare * (longest + kLengthBytes);
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(segment_bytes_, least), kCapacityMax));
  const uint32_t capacity = header_ && !first_of_epoch
                                ? NextSegmentBytes(header_->capacity(), most, longest)
                                : NextSegmentBytes(FirstSegmentBytes(most) / kSegmentGrowth, most, longest);
  KB_RETURN_IF_ERROR(Finish());
  KB_ASSIGN_OR_RETURN(
      header_,
      Header::Make({.writer_id = epoch, .channel_id = ++number_, .capacity = capacity, .max_msg_len = capacity}));
  Extension extension = SegmentExtension(content.data_format, last_, content.state_name);
  // The first version of the format did not count.
  if (!content.counts_unsynced) extension.hints[3] &= ~(uint64_t{1} << 32);
  std::vector<uint8_t> block(kDataOffset);
  header_->EncodeTo(MutableBytes(block));
  extension.EncodeTo(MutableBytes(block));
  const std::string path = layout_.segment(number_);
  KB_RETURN_IF_ERROR(fs_.CreateDirectories(DirectoryOf(path)));
  KB_ASSIGN_OR_RETURN(file_, fs_.CreateUnnamed(DirectoryOf(path), path));
  KB_RETURN_IF_ERROR(file_->CheckSupported());
  KB_RETURN_IF_ERROR(file_->WriteAt(0, block));
  end_ = 0;
  content_ = content;
  return absl::OkStatus();
}

absl::Status RestoredSegments::Finish() {
  if (file_ == nullptr) return absl::OkStatus();
  KB_RETURN_IF_ERROR(Flush());
  uint8_t close[kLengthBytes];
  StoreUnaligned(close, kClose);
  KB_RETURN_IF_ERROR(file_->WriteAt(kDataOffset + end_, Bytes(close)));
  // What stands after a CLOSE may be a hole: see give_back.h.
  uint8_t last[1] = {0};
  KB_RETURN_IF_ERROR(file_->WriteAt(ChannelFileBytes(header_->capacity()) - 1, Bytes(last)));
  KB_RETURN_IF_ERROR(file_->Sync());
  KB_RETURN_IF_ERROR(file_->LinkTo(layout_.segment(number_)));
  file_.reset();
  return absl::OkStatus();
}

}  // namespace kekbit
