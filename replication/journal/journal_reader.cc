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

absl::StatusOr<JournalReader> JournalReader::Open(FileSystem& fs, const JournalLayout& layout,
                                                  const JournalContent& content, Seq from) {
  JournalReader reader(fs, layout, content);
  KB_RETURN_IF_ERROR(reader.SeekTo(from));
  return reader;
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

absl::StatusOr<JournalReader::Found> JournalReader::FindSegment(SegmentNumber number) const {
  const ReaderOptions options = {.file_system = fs_, .data_format = content_.data_format, .heartbeats = false};
  KB_ASSIGN_OR_RETURN(ShmReader channel, ShmReader::OpenAt(layout_.segment(number), options));
  absl::StatusOr<ChainLink> follows = FollowedBySegment(channel.extension());
  if (follows.ok() && channel.header().channel_id() != number) {
    follows = absl::DataLossError(absl::StrCat("this is segment ", channel.header().channel_id(), ", not ", number));
  }
  const absl::Status fits = follows.ok() ? CheckSegmentState(channel.extension(), content_) : follows.status();
  if (!fits.ok()) return absl::Status(fits.code(), absl::StrCat(channel.path(), ": ", fits.message()));
  return std::make_pair(std::move(channel), *follows);
}

absl::Status JournalReader::OpenSegment(SegmentNumber number) {
  KB_ASSIGN_OR_RETURN(Found found, FindSegment(number));
  KB_RETURN_IF_ERROR(CheckLink(found.first.path(), found.second));
  segment_ = number;
  channel_ = std::move(found.first);
  return absl::OkStatus();
}

absl::Status JournalReader::CheckFollows(SegmentNumber number) const {
  KB_ASSIGN_OR_RETURN(const Found found, FindSegment(number));
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
    // The reader is caught up, unless a later segment exists. A segment that came after the first
    // look may be the very next.
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

absl::Status JournalReader::CheckWaiting() {
  if (!status_.ok() || !channel_ || channel_->exhausted()) return status_;
  const absl::StatusOr<Found> named = FindSegment(segment_);
  if (named.ok() && named->first.header().writer_id() != channel_->header().writer_id()) {
    Fail(absl::DataLossError(absl::StrCat(channel_->path(), ": was replaced by one of epoch ",
                                          named->first.header().writer_id(), "; ", last_.position.ToString(),
                                          ", which was read, is no part of the journal any more")));
    return status_;
  }
  const absl::StatusOr<Found> next = FindSegment(segment_ + 1);
  if (!next.ok()) return absl::OkStatus();
  // The next segment was made after the last frame of this segment: whatever there is here can be
  // seen by now.
  const uint64_t offset = channel_->position();
  const bool readable = channel_->TryRead().has_value();
  if (readable || channel_->exhausted()) return channel_->JumpTo(offset);
  if (const absl::Status follows = CheckLink(next->first.path(), next->second); !follows.ok()) {
    Fail(absl::DataLossError(absl::StrCat(channel_->path(), ": at offset ", offset, " there is no frame behind seq ",
                                          last_.position.seq, ", but ", follows.message())));
  }
  return status_;
}

absl::Status JournalReader::LookAgain() {
  if (channel_) {
    const uint64_t offset = channel_->position();
    KB_ASSIGN_OR_RETURN(Found found, FindSegment(segment_));
    KB_RETURN_IF_ERROR(found.first.JumpTo(offset));
    channel_ = std::move(found.first);
  }
  status_ = absl::OkStatus();
  waits_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<JournalReader::Found>> JournalReader::FindBefore(const std::vector<SegmentNumber>& kept,
                                                                              Seq from, Seq& first_kept) {
  std::optional<Found> best;
  size_t begin = 0;
  size_t end = kept.size();
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    size_t at = middle;
    absl::StatusOr<Found> found = FindSegment(kept[at]);
    while ((absl::IsDataLoss(found.status()) || absl::IsNotFound(found.status())) && at > begin) {
      found = FindSegment(kept[--at]);
    }
    if (found.ok() && found->second.position.seq < from) {
      segment_ = kept[at];
      best = *std::move(found);
      begin = middle + 1;
    } else if (found.ok()) {
      first_kept = found->second.position.seq + 1;
      end = at;
    } else if (absl::IsDataLoss(found.status()) || absl::IsNotFound(found.status())) {
      begin = middle + 1;
    } else {
      return found.status();
    }
  }
  // The first segment may hold what is wanted.
  if (!best && first_kept != 0 && absl::IsDataLoss(FindSegment(kept.front()).status())) first_kept = 0;
  return best;
}

bool JournalReader::SkipTo(Seq seq) {
  const ChainLink follows = last_;
  ChainLink before = last_;
  while (const std::optional<Bytes> record = channel_->TryRead()) {
    if (record->size() < kFrameHeaderBytes) break;
    const auto header = LoadUnaligned<FrameHeader>(record->data());
    if (header.seq != before.position.seq + 1) break;
    if (header.seq == seq) {
      if (!ParseFrame(*record, before).ok()) break;
      last_ = before;
      return true;
    }
    before = {
        .position = {.epoch = header.epoch, .seq = header.seq}, .crc32c = header.crc32c, .time_ns = header.time_ns};
  }
  last_ = follows;
  channel_->JumpTo(0).IgnoreError();  // the beginning is always a place
  return false;
}

absl::Status JournalReader::SeekTo(Seq from) {
  if (from == 0) return absl::InvalidArgumentError("the first frame of a journal has seq 1, not 0");
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout_.ListSegments(*fs_));
  Seq first_kept = 0;
  KB_ASSIGN_OR_RETURN(std::optional<Found> found, FindBefore(kept, from, first_kept));
  if (!found) {
    if (first_kept > from) {
      return absl::OutOfRangeError(
          absl::StrCat(layout_.directory(), ": seq ", from, " is no longer kept, the first one is ", first_kept));
    }
    // Stand before the first segment, which is still to be made, or can't be read.
    if (!kept.empty()) segment_ = kept.front() - 1;
    if (from == 1 && segment_ == 0) return absl::OkStatus();
    return kept.empty() ? NotReached(from) : FindSegment(kept.front()).status();
  }
  last_ = found->second;
  channel_ = std::move(found->first);
  if (last_.position.seq + 1 == from || SkipTo(from - 1)) return absl::OkStatus();
  // Something is not as expected: read frame by frame, which finds what is wrong.
  while (last_.position.seq + 1 < from && Next()) {
  }
  if (status_.ok() && last_.position.seq + 1 < from) return NotReached(from);
  return status_;
}

absl::Status JournalReader::NotReached(Seq from) const {
  return absl::OutOfRangeError(
      absl::StrCat(layout_.directory(), ": seq ", from, " is not reached yet, the last one is ", last_.position.seq));
}

bool JournalReader::FindAfter(const ChainLink& link) {
  std::optional<uint64_t> behind;  // the frame of that link, if its length is right
  for (uint64_t offset = channel_->position(); channel_->JumpTo(offset).ok(); offset += kAlignment) {
    const std::optional<Bytes> record = channel_->TryRead();
    // The sealer may have truncated what follows a CLOSE.
    if (channel_->channel_end() == ChannelEnd::kClosed) break;
    if (!record || record->size() < kFrameHeaderBytes) continue;
    const auto header = LoadUnaligned<FrameHeader>(record->data());
    ChainLink before = link;
    if (header.seq == link.position.seq + 1 && ParseFrame(*record, before).ok()) {
      behind = offset;
      break;
    }
    const Position position = {.epoch = header.epoch, .seq = header.seq};
    if (!behind && position == link.position && header.crc32c == link.crc32c) behind = channel_->position();
  }
  if (!behind || !channel_->JumpTo(*behind).ok()) return false;
  last_ = link;
  status_ = absl::OkStatus();
  return true;
}

absl::StatusOr<JournalReader> JournalReader::OpenAfter(FileSystem& fs, const JournalLayout& layout,
                                                       const JournalContent& content, const ChainLink& link) {
  JournalReader reader(fs, layout, content);
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout.ListSegments(fs));
  Seq first_kept = 0;
  KB_ASSIGN_OR_RETURN(std::optional<Found> found, reader.FindBefore(kept, link.position.seq + 1, first_kept));
  if (!found && first_kept <= link.position.seq + 1) {
    // Every segment from there on is still to be made, or can't be read.
    if (!kept.empty()) reader.segment_ = kept.front() - 1;
    reader.last_ = link;
    return reader;
  }
  const SegmentNumber number = reader.segment_;
  const absl::Status sought = reader.SeekTo(link.position.seq + 1);
  // Damage before the frame does not matter.
  const bool stopped = absl::IsDataLoss(sought) || absl::IsOutOfRange(sought);
  if (stopped && found && reader.segment_ == number && reader.FindAfter(link)) return reader;
  if (absl::IsOutOfRange(sought) && found) {
    return absl::DataLossError(absl::StrCat(sought.message(), "; ", link.position.ToString(), " is missing"));
  }
  KB_RETURN_IF_ERROR(sought);
  if (reader.last_.position == link.position && reader.last_.crc32c == link.crc32c) return reader;
  return absl::DataLossError(
      absl::StrFormat("%s: the journal has another history: behind %s with checksum 0x%08x, wanted is %s with 0x%08x",
                      layout.segment(reader.segment_), reader.last_.position.ToString(), reader.last_.crc32c,
                      link.position.ToString(), link.crc32c));
}

absl::StatusOr<JournalReader> JournalReader::StandBefore(FileSystem& fs, const JournalLayout& layout,
                                                         const ChainLink& link) {
  JournalReader reader(fs, layout, std::nullopt);
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout.ListSegments(fs));
  if (!kept.empty()) reader.segment_ = kept.front() - 1;
  reader.last_ = link;
  return reader;
}

absl::StatusOr<JournalReader> JournalReader::ContinueAfter(FileSystem& fs, const JournalLayout& layout,
                                                           const JournalContent& content, const ChainLink& link,
                                                           SegmentNumber segment, uint64_t offset) {
  JournalReader reader(fs, layout, content);
  KB_ASSIGN_OR_RETURN(Found found, reader.FindSegment(segment));
  KB_RETURN_IF_ERROR(found.first.JumpTo(offset));
  reader.segment_ = segment;
  reader.last_ = link;
  reader.channel_ = std::move(found.first);
  if (offset == 0) KB_RETURN_IF_ERROR(reader.CheckLink(reader.channel_->path(), found.second));
  return reader;
}

}  // namespace kekbit
