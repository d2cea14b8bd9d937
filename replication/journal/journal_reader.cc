#include "kekbit/replication/journal/journal_reader.h"

#include <utility>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr uint64_t kWaitsToCheck = 64;

// Frames of a batch: few enough that they, and the bytes to which they point, are still in the
// processor's first cache when used.
constexpr size_t kBatchFrames = 64;

}  // namespace

absl::StatusOr<OpenedSegment> OpenSegment(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                          SegmentNumber number) {
  const ReaderOptions options = {.file_system = &fs, .data_format = content.data_format, .heartbeats = false};
  KB_ASSIGN_OR_RETURN(ShmReader channel, ShmReader::OpenAt(layout.segment(number), options));
  absl::StatusOr<ChainLink> follows = FollowedBySegment(channel.extension());
  if (follows.ok() && channel.header().channel_id() != number) {
    follows = absl::DataLossError(absl::StrCat("this is segment ", channel.header().channel_id(), ", not ", number));
  }
  const absl::Status fits = follows.ok() ? CheckSegmentState(channel.extension(), content) : follows.status();
  if (!fits.ok()) return absl::Status(fits.code(), absl::StrCat(channel.path(), ": ", fits.message()));
  return OpenedSegment{.channel = std::move(channel), .follows = *follows};
}

absl::StatusOr<JournalReader> JournalReader::At(FileSystem& fs, const JournalLayout& layout,
                                                const JournalContent& content, JournalPlace place) {
  JournalReader reader(fs, layout, content);
  reader.segment_ = place.segment;
  reader.last_ = place.link;
  reader.anchor_ = reader.next_anchor_ = {.segment = place.segment, .offset = place.offset, .link = place.link};
  if (!place.offset) return reader;
  if (!place.opened) {
    KB_ASSIGN_OR_RETURN(OpenedSegment found, reader.FindSegment(place.segment));
    if (*place.offset == 0) KB_RETURN_IF_ERROR(reader.CheckLink(found.channel.path(), found.follows));
    place.opened = std::move(found.channel);
  }
  KB_RETURN_IF_ERROR(place.opened->JumpTo(*place.offset));
  reader.channel_ = std::move(place.opened);
  return reader;
}

absl::StatusOr<JournalReader> JournalReader::AtAnchor() const {
  JournalPlace place;
  place.segment = anchor_.segment;
  place.offset = anchor_.offset;
  place.link = anchor_.link;
  return At(*fs_, layout_, content_, std::move(place));
}

JournalPlace JournalReader::TakePlace() && {
  JournalPlace place;
  place.segment = segment_;
  if (channel_) place.offset = channel_->position();
  place.link = last_;
  place.opened = std::move(channel_);
  return place;
}

std::optional<Frame> JournalReader::Next() {
  if (IsTransient(status_)) status_ = absl::OkStatus();
  if (ABSL_PREDICT_TRUE(status_.ok())) {
    if (std::optional<Frame> frame = TryNext()) {
      waits_ = 0;
      return frame;
    }
    // Check rarely, and more rarely the longer the wait: callers that wait long call CheckWaiting()
    // themselves.
    if (status_.ok() && ++waits_ >= kWaitsToCheck && (waits_ & (waits_ - 1)) == 0) CheckWaiting().IgnoreError();
  }
  return std::nullopt;
}

absl::Span<const Frame> JournalReader::NextBatch() {
  if (ABSL_PREDICT_FALSE(batch_.empty())) batch_.resize(kBatchFrames);
  size_t count = ReadCommands();
  if (count > 0) {
    waits_ = 0;
  } else if (const std::optional<Frame> frame = Next()) {
    batch_[0] = *frame;
    count = 1;
  }
  return absl::MakeConstSpan(batch_).first(count);
}

size_t JournalReader::ReadCommands() {
  if (ABSL_PREDICT_FALSE(!status_.ok() || !channel_)) return 0;
  size_t count = 0;
  while (count < batch_.size()) {
    const uint64_t offset = channel_->position();
    const std::optional<Bytes> record = channel_->TryRead();
    if (!record) break;
    if (ABSL_PREDICT_FALSE(!ParseCommand(*record, last_, batch_[count]))) {
      channel_->JumpTo(offset).IgnoreError();  // a place that was read; if it is bad, the next call finds out
      break;
    }
    ++count;
  }
  return count;
}

std::optional<Frame> JournalReader::TryNext() {
  while (status_.ok()) {
    if (channel_) {
      const uint64_t offset = channel_->position();
      if (const std::optional<Bytes> record = channel_->TryRead()) {
        const ChainLink before = last_;
        absl::StatusOr<Frame> frame = ParseFrame(*record, last_);
        if (ABSL_PREDICT_TRUE(frame.ok() && frame->kind() == FrameKind::kCommand)) return *std::move(frame);
        if (frame.ok()) {
          // The first frame of a journal follows nothing, so a frame from an older file of that
          // place would fit.
          const Epoch epoch = channel_->header().writer_id();
          if (frame->header.epoch == epoch) return *std::move(frame);
          frame = absl::DataLossError(
              absl::StrCat("a frame of ", frame->position().ToString(), " in a segment of epoch ", epoch));
          last_ = before;
        }
        channel_->JumpTo(offset).IgnoreError();  // a place that was read
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

absl::Status JournalReader::GoOnIn(SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(OpenedSegment found, FindSegment(number));
  KB_RETURN_IF_ERROR(CheckLink(found.channel.path(), found.follows));
  segment_ = number;
  channel_ = std::move(found.channel);
  return absl::OkStatus();
}

absl::Status JournalReader::CheckFollows(SegmentNumber number) const {
  KB_ASSIGN_OR_RETURN(const OpenedSegment found, FindSegment(number));
  return CheckLink(found.channel.path(), found.follows);
}

absl::Status JournalReader::CheckLink(const std::string& path, const ChainLink& follows) const {
  if (follows.position == last_.position && follows.crc32c == last_.crc32c) return absl::OkStatus();
  if (follows.position == last_.position) {
    return absl::DataLossError(absl::StrFormat(
        "%s: the segment follows %s with the checksum 0x%08x, read was one with 0x%08x: it is of another journal", path,
        follows.position.ToString(), follows.crc32c, last_.crc32c));
  }
  return absl::DataLossError(absl::StrCat(path, ": the segment follows ", follows.position.ToString(), ", read was ",
                                          last_.position.ToString()));
}

bool JournalReader::NextSegment() {
  absl::Status opened = GoOnIn(segment_ + 1);
  if (opened.ok()) return true;
  if (absl::IsNotFound(opened)) {
    absl::StatusOr<std::vector<SegmentNumber>> kept = layout_.ListSegments(*fs_);
    if (!kept.ok()) {
      status_ = kept.status();
      return false;
    }
    // The reader is caught up, unless a later segment exists. A segment that came after the first
    // look may be the very next.
    if (kept->empty() || kept->back() <= segment_) return false;
    opened = GoOnIn(segment_ + 1);
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

absl::Status JournalReader::CheckWaiting() {
  if (!status_.ok() || !channel_ || channel_->exhausted()) return status_;
  const absl::StatusOr<OpenedSegment> named = FindSegment(segment_);
  if (named.ok() && named->channel.header().writer_id() != channel_->header().writer_id()) {
    Fail(absl::DataLossError(absl::StrCat(channel_->path(), ": was replaced by one of epoch ",
                                          named->channel.header().writer_id(), "; ", last_.position.ToString(),
                                          ", which was read, is no part of the journal any more")));
    return status_;
  }
  const absl::StatusOr<OpenedSegment> next = FindSegment(segment_ + 1);
  if (!next.ok()) return absl::OkStatus();
  // The next segment was made after the last frame of this segment: whatever there is here can be
  // seen by now.
  const uint64_t offset = channel_->position();
  const bool readable = channel_->TryRead().has_value();
  if (readable || channel_->exhausted()) return channel_->JumpTo(offset);
  if (const absl::Status follows = CheckLink(next->channel.path(), next->follows); !follows.ok()) {
    Fail(absl::DataLossError(absl::StrCat(channel_->path(), ": at offset ", offset, " there is no frame behind seq ",
                                          last_.position.seq, ", but ", follows.message())));
  }
  return status_;
}

absl::Status JournalReader::LookAgain() {
  if (channel_) {
    const uint64_t offset = channel_->position();
    KB_ASSIGN_OR_RETURN(OpenedSegment found, FindSegment(segment_));
    KB_RETURN_IF_ERROR(found.channel.JumpTo(offset));
    channel_ = std::move(found.channel);
  }
  status_ = absl::OkStatus();
  waits_ = 0;
  return absl::OkStatus();
}

}  // namespace kekbit
