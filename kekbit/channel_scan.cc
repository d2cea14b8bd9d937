#include "kekbit/channel_scan.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"

namespace kekbit {
absl::string_view ChannelItemKindName(ChannelItemKind kind) {
  switch (kind) {
    case ChannelItemKind::kRecord:
      return "record";
    case ChannelItemKind::kHeartbeatRecord:
      return "heartbeat";
    case ChannelItemKind::kWatermarkMarker:
      return "watermark";
    case ChannelItemKind::kCloseMarker:
      return "close";
    case ChannelItemKind::kFileEnd:
      return "end";
    case ChannelItemKind::kDamage:
      return "damage";
  }
  return "?";
}

absl::StatusOr<ChannelScan> ChannelScan::OpenAt(const std::string& path, FileSystem& fs) {
  KB_ASSIGN_OR_RETURN(ChannelFile channel, OpenChannelFile(fs, path));
  return ChannelScan(std::move(channel));
}

ChannelScan::ChannelScan(ChannelFile channel, bool heartbeats)
    : channel_(std::move(channel)),
      data_(channel_.mapping->data() + kDataOffset),
      capacity_(channel_.header.capacity()),
      file_bytes_(channel_.data_bytes()),
      heartbeats_(heartbeats) {}

ChannelItem ChannelScan::Next() {
  // at_ never exceeds the capacity, nor file_bytes_: a record is only passed when all of it is in both.
  if (at_ + kLengthBytes > file_bytes_) return EndItem();
  const uint64_t word = AcquireWord(data_ + at_);
  if (word == kClose) return LastItem(ChannelItemKind::kCloseMarker);
  if (word == kWatermark || (word == kHeartbeat && !heartbeats_)) return LastItem(ChannelItemKind::kWatermarkMarker);
  if (at_ >= capacity_) return DamageItem(word);
  ChannelItem item{.kind = ChannelItemKind::kHeartbeatRecord, .offset = at_};
  if (word != kHeartbeat) {
    if (word > channel_.header.max_msg_len() || RecordBytes(word) > capacity_ - at_) return DamageItem(word);
    if (RecordBytes(word) > file_bytes_ - at_) return EndItem();
    item.kind = ChannelItemKind::kRecord;
    item.payload = Bytes(data_ + at_ + kLengthBytes, word);
  }
  at_ += RecordBytes(word);
  return item;
}

bool ChannelScan::is_cut() const { return file_bytes_ < capacity_ + kFooterBytes && !channel_.is_short_by_design(); }

ChannelItem ChannelScan::LastItem(ChannelItemKind kind) const { return {.kind = kind, .offset = at_}; }

ChannelItem ChannelScan::EndItem() const {
  ChannelItem item = LastItem(ChannelItemKind::kFileEnd);
  if (is_cut()) {
    item.status = absl::DataLossError(absl::StrCat(path(), ": the file ends at offset ", file_bytes_,
                                                   ", before the record at offset ", at_, " does; the data area has ",
                                                   capacity_, " bytes"));
  }
  return item;
}

ChannelItem ChannelScan::DamageItem(uint64_t word) const {
  ChannelItem item = LastItem(ChannelItemKind::kDamage);
  item.status = absl::DataLossError(
      absl::StrFormat("%s: at offset %d stands 0x%016x, which is neither a length up to %d that fits nor a marker",
                      path(), at_, word, channel_.header.max_msg_len()));
  return item;
}

absl::StatusOr<bool> ChannelScan::WriterAlive() {
  if (!channel_.extension) {
    return absl::FailedPreconditionError(
        absl::StrCat(path(), ": a plain channel; its writer holds no lock that would tell whether it lives"));
  }
  return channel_.file->LockedByOther();
}

}  // namespace kekbit
