#include "replication/journal_reader.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/status_macros.h"

namespace kekbit {
absl::StatusOr<JournalReader> JournalReader::Open(FileSystem& fs, const JournalLayout& layout,
                                                  std::optional<uint64_t> data_format, Seq from) {
  JournalReader reader(fs, layout, data_format);
  KB_RETURN_IF_ERROR(reader.SeekTo(from));
  return reader;
}

std::optional<Frame> JournalReader::Next() {
  if (MayPass(status_)) status_ = absl::OkStatus();
  while (status_.ok()) {
    if (channel_) {
      const uint64_t offset = channel_->position();
      if (const std::optional<Bytes> record = channel_->TryRead()) {
        absl::StatusOr<Frame> frame = ParseFrame(*record, last_);
        if (frame.ok()) return *std::move(frame);
        return Fail(absl::Status(frame.status().code(), absl::StrCat(channel_->path(), ": at offset ", offset, ": ",
                                                                     frame.status().message())));
      }
      if (!channel_->status().ok()) return Fail(channel_->status());
      if (!channel_->exhausted()) return std::nullopt;
    }
    if (!NextSegment()) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Frame> JournalReader::Fail(const absl::Status& status) {
  status_ = status;
  return std::nullopt;
}

absl::StatusOr<std::pair<ShmReader, ChainLink>> JournalReader::FindSegment(SegmentNumber number) const {
  const ReaderOptions options = {.file_system = fs_, .data_format = data_format_, .heartbeats = false};
  KB_ASSIGN_OR_RETURN(ShmReader channel, ShmReader::OpenAt(layout_.segment(number), options));
  absl::StatusOr<ChainLink> follows = FollowedBySegment(channel.extension());
  if (follows.ok() && channel.header().channel_id() != number) {
    follows = absl::DataLossError(absl::StrCat("this is segment ", channel.header().channel_id(), ", not ", number));
  }
  if (!follows.ok()) {
    return absl::Status(follows.status().code(), absl::StrCat(channel.path(), ": ", follows.status().message()));
  }
  return std::make_pair(std::move(channel), *follows);
}

absl::Status JournalReader::OpenSegment(SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(auto found, FindSegment(number));
  if (segment_ == 0) last_ = found.second;
  KB_RETURN_IF_ERROR(CheckLink(found.first.path(), found.second));
  segment_ = number;
  channel_ = std::move(found.first);
  return absl::OkStatus();
}

absl::Status JournalReader::CheckFollows(SegmentNumber number) const {
  KB_ASSIGN_OR_RETURN(const auto found, FindSegment(number));
  return CheckLink(found.first.path(), found.second);
}

absl::Status JournalReader::CheckLink(const std::string& path, const ChainLink& follows) const {
  if (follows.position == last_.position && follows.crc32c == last_.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": the segment follows ", follows.position.ToString(), ", read was ",
                                          last_.position.ToString()));
}

bool JournalReader::NextSegment() {
  absl::Status opened = OpenSegment(segment_ + 1);
  if (opened.ok()) return true;
  if (absl::IsNotFound(opened)) {
    absl::StatusOr<std::vector<SegmentNumber>> kept = layout_.ListSegments(*fs_);
    if (!kept.ok()) {
      status_ = kept.status();
      return false;
    }
    // Caught up, unless a later one is there. One that came after the first look may be the very next.
    if (kept->empty() || kept->back() <= segment_) return false;
    opened = OpenSegment(segment_ + 1);
    if (opened.ok()) return true;
    if (absl::IsNotFound(opened)) {
      SegmentNumber first = kept->back();
      for (const SegmentNumber number : *kept) {
        if (number > segment_ && number < first) first = number;
      }
      opened =
          absl::OutOfRangeError(absl::StrCat(layout_.directory(), ": seq ", last_.position.seq + 1, " was in segment ",
                                             segment_ + 1, ", the first one kept behind it is ", first));
      if (auto channel = ShmReader::OpenAt(layout_.segment(first), {.file_system = fs_}); channel.ok()) {
        if (const auto follows = FollowedBySegment(channel->extension()); follows.ok()) {
          opened = absl::OutOfRangeError(
              absl::StrCat(opened.message(), ", which begins with seq ", follows->position.seq + 1));
        }
      }
    }
  }
  status_ = opened;
  return false;
}

absl::Status JournalReader::SeekTo(Seq from) {
  if (from == 0) return absl::InvalidArgumentError("the first frame of a journal has seq 1, not 0");
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout_.ListSegments(*fs_));
  // From the newest back, to the first that begins at or before the frame.
  for (size_t i = kept.size(); i-- > 0;) {
    segment_ = 0;
    channel_.reset();
    KB_RETURN_IF_ERROR(OpenSegment(kept[i]));
    if (last_.position.seq < from) break;
  }
  if (channel_ && last_.position.seq >= from) {
    return absl::OutOfRangeError(absl::StrCat(layout_.directory(), ": seq ", from,
                                              " is no longer kept, the first one is ", last_.position.seq + 1));
  }
  while (last_.position.seq + 1 < from && Next()) {
  }
  if (status_.ok() && last_.position.seq + 1 < from) {
    return absl::OutOfRangeError(
        absl::StrCat(layout_.directory(), ": seq ", from, " is not reached yet, the last one is ", last_.position.seq));
  }
  return status_;
}

}  // namespace kekbit
