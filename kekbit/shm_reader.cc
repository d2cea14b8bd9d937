#include "kekbit/shm_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

absl::Status CheckFormat(const ChannelFile& channel, const ReaderOptions& options) {
  if (!options.data_format || !channel.extension || channel.extension->data_format == *options.data_format) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(channel.file->path(), ": the data format is ",
                                                    channel.extension->data_format, ", not ", *options.data_format));
}

}  // namespace

absl::StatusOr<ShmReader> ShmReader::Open(absl::string_view root, uint64_t channel_id, const ReaderOptions& options) {
  return OpenAt(ChannelPath(root, channel_id), options);
}

absl::StatusOr<ShmReader> ShmReader::OpenAt(const std::string& path, const ReaderOptions& options) {
  KB_ASSIGN_OR_RETURN(ChannelFile channel, OpenChannelFile(*options.file_system, path, options.open_timeout));
  KB_RETURN_IF_ERROR(CheckFormat(channel, options));
  return ShmReader(std::move(channel), options);
}

absl::StatusOr<ShmReader> ShmReader::OpenShared(const std::string& path, std::shared_ptr<MappedFile> mapping,
                                                const ReaderOptions& options) {
  KB_ASSIGN_OR_RETURN(ChannelFile channel, OpenChannelFile(*options.file_system, path));
  channel.mapping = std::move(mapping);
  KB_RETURN_IF_ERROR(CheckFormat(channel, options));
  return ShmReader(std::move(channel), options);
}

ShmReader::ShmReader(ChannelFile channel, const ReaderOptions& options)
    : max_payload_(channel.header.max_msg_len()),
      unwritten_{kWatermark, options.heartbeats ? kWatermark : kHeartbeat},
      data_(channel.mapping->data() + kDataOffset),
      channel_(std::move(channel)) {
  const uint64_t bytes = channel_.data_bytes();
  at_ = data_;
  capacity_end_ = data_ + channel_.header.capacity();
  records_end_ = data_ + std::min<uint64_t>(bytes, channel_.header.capacity());
  // A length needs 8 bytes of the file, and stands right after the data area's last record at the
  // latest.
  const uint64_t last_length = std::min<uint64_t>(channel_.header.capacity(), bytes - std::min(bytes, kLengthBytes));
  lengths_end_ = bytes < kLengthBytes ? data_ : data_ + last_length / kAlignment * kAlignment + 1;
}

ChannelEnd ShmReader::FindEnd() const {
  if (at_ >= lengths_end_) return channel_.is_short_by_design() ? ChannelEnd::kFull : ChannelEnd::kFileEnd;
  const uint64_t word = AcquireWord(at_);
  if (word == kClose) return ChannelEnd::kClosed;
  if (at_ >= capacity_end_) {
    return word == unwritten_[0] || word == unwritten_[1] ? ChannelEnd::kFull : ChannelEnd::kDamaged;
  }
  const bool is_length = word - 1 < max_payload_;
  if (!is_length || RecordBytes(word) > static_cast<uint64_t>(capacity_end_ - at_)) return ChannelEnd::kDamaged;
  return channel_.is_short_by_design() ? ChannelEnd::kFull : ChannelEnd::kFileEnd;
}

absl::Status ShmReader::MoveTo(uint64_t position) {
  const uint8_t* const from = at_;
  const ChannelEnd end = end_;
  if (position < this->position()) at_ = data_;
  end_ = ChannelEnd::kNone;
  // Heartbeats are places of their own, so this walks by itself instead of by TryRead().
  while (this->position() < position) {
    const uint64_t word = at_ < lengths_end_ ? AcquireWord(at_) : kWatermark;
    const bool is_record = word - 1 < max_payload_ || (word == kHeartbeat && unwritten_[1] != kHeartbeat);
    if (!is_record || at_ >= capacity_end_ || RecordBytes(word) > static_cast<uint64_t>(records_end_ - at_)) break;
    at_ += RecordBytes(word);
  }
  if (this->position() == position) return absl::OkStatus();
  const uint64_t reached = this->position();
  at_ = from;
  end_ = end;
  if (reached > position) {
    return absl::InvalidArgumentError(
        absl::StrCat(path(), ": offset ", position, " is inside the record that ends at ", reached));
  }
  return absl::OutOfRangeError(
      absl::StrCat(path(), ": offset ", position, " is not reached yet, the records end at ", reached));
}

absl::Status ShmReader::JumpTo(uint64_t position) {
  if (position % kAlignment != 0 || position > header().capacity()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path(), ": no record begins at offset ", position, "; the data area has ", header().capacity()));
  }
  at_ = data_ + position;
  end_ = ChannelEnd::kNone;
  return absl::OkStatus();
}

absl::Status ShmReader::status() const {
  if (end_ == ChannelEnd::kDamaged) {
    return absl::DataLossError(
        absl::StrFormat("%s: at offset %d stands 0x%016x, which is neither a length up to %d that fits nor a marker",
                        path(), position(), AcquireWord(at_), max_payload_));
  }
  if (end_ == ChannelEnd::kFileEnd) {
    return absl::DataLossError(
        absl::StrFormat("%s: the file ends at offset %d, in the record at %d; the data area has %d", path(),
                        channel_.data_bytes(), position(), header().capacity()));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ShmReader::WriterAlive() {
  if (!channel_.extension) {
    return absl::FailedPreconditionError(
        absl::StrCat(path(), ": a plain channel; its writer holds no lock that would tell whether it lives"));
  }
  return channel_.file->LockedByOther();
}

}  // namespace kekbit
