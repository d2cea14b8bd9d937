#include "kekbit/replication/journal/seek.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

JournalPlace BeforeAll(const std::vector<SegmentNumber>& kept, const ChainLink& link) {
  return {.segment = kept.empty() ? 0 : kept.front() - 1, .offset = std::nullopt, .link = link, .opened = std::nullopt};
}

bool IsUnreadable(const absl::Status& status) { return absl::IsDataLoss(status) || absl::IsNotFound(status); }

// Seeker looks for one frame, from the segments to its offset.
class Seeker {
 public:
  // `seq`: of the frame that is looked for.
  Seeker(FileSystem& fs, const JournalLayout& layout, const JournalContent& content, Seq seq)
      : fs_(fs), layout_(layout), content_(content), seq_(seq) {}

  // Finds the newest segment that begins before the frame, by what each says that it follows. A
  // segment that can't be read is passed over: its frames are then found missing.
  absl::Status FindSegment();

  // Returns whether there is a segment that begins before the frame.
  bool found() const { return segment_.has_value(); }
  // Returns whether the first segment begins after the frame.
  bool is_trimmed() const { return !found() && first_kept_ > seq_; }

  // Goes up to the frame. An error: place() is where no way led on.
  absl::Status FindFrame();
  // Goes to the place after that frame, from where the segment can't be read on. The frame is found
  // by its header, or by its successor. Returns false if neither is there.
  bool FindAfter(const ChainLink& link);

  JournalPlace& place() { return place_; }
  const std::vector<SegmentNumber>& kept() const { return kept_; }

 private:
  absl::StatusOr<OpenedSegment> Open(SegmentNumber number) const { return OpenSegment(fs_, layout_, content_, number); }
  // Goes to the frame of the segment that was just opened, looking at headers only. If something
  // there is not as it should be, returns false, back at the beginning.
  bool SkipToFrame();
  absl::Status NotReached() const {
    return absl::OutOfRangeError(absl::StrCat(layout_.directory(), ": seq ", seq_,
                                              " is not reached yet, the last one is ", place_.link.position.seq));
  }

  FileSystem& fs_;
  const JournalLayout& layout_;
  const JournalContent& content_;
  const Seq seq_;
  std::vector<SegmentNumber> kept_;
  SegmentNumber number_ = 0;  // of segment_
  std::optional<OpenedSegment> segment_;
  Seq first_kept_ = 0;  // the seq at which the first segment begins; 0: that can't be read
  JournalPlace place_;
};

absl::Status Seeker::FindSegment() {
  if (seq_ == 0) return absl::InvalidArgumentError("the first frame of a journal has seq 1, not 0");
  KB_ASSIGN_OR_RETURN(kept_, layout_.ListSegments(fs_));
  size_t begin = 0;
  size_t end = kept_.size();
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    size_t at = middle;
    absl::StatusOr<OpenedSegment> opened = Open(kept_[at]);
    while (IsUnreadable(opened.status()) && at > begin) opened = Open(kept_[--at]);
    if (opened.ok() && opened->follows.position.seq < seq_) {
      number_ = kept_[at];
      segment_ = *std::move(opened);
      begin = middle + 1;
    } else if (opened.ok()) {
      first_kept_ = opened->follows.position.seq + 1;
      end = at;
    } else if (IsUnreadable(opened.status())) {
      begin = middle + 1;
    } else {
      return opened.status();
    }
  }
  KB_CHECK(!found() || segment_->follows.position.seq < seq_);
  // The first segment may hold what is wanted.
  if (!found() && first_kept_ != 0 && absl::IsDataLoss(Open(kept_.front()).status())) first_kept_ = 0;
  return absl::OkStatus();
}

absl::Status Seeker::FindFrame() {
  if (is_trimmed()) {
    return absl::OutOfRangeError(
        absl::StrCat(layout_.directory(), ": seq ", seq_, " is no longer kept, the first one is ", first_kept_));
  }
  if (!found()) {
    // Stand before the first segment, which is still to be made, or can't be read.
    place_ = BeforeAll(kept_, {});
    if (seq_ == 1 && place_.segment == 0) return absl::OkStatus();
    if (kept_.empty()) return NotReached();
    KB_RETURN_IF_ERROR(Open(kept_.front()).status());
    // By now the segment can be read: whoever asks again finds the frame.
    return absl::UnavailableError(absl::StrCat(layout_.segment(kept_.front()), ": could not be read just now"));
  }
  place_ = {.segment = number_, .offset = 0, .link = segment_->follows, .opened = std::nullopt};
  if (segment_->follows.position.seq + 1 == seq_ || SkipToFrame()) {
    place_.opened = std::move(segment_->channel);
    return absl::OkStatus();
  }
  // Something is not as expected: read frame by frame, which finds what is wrong.
  place_.opened = std::move(segment_->channel);
  KB_ASSIGN_OR_RETURN(JournalReader reader, JournalReader::At(fs_, layout_, content_, std::move(place_)));
  while (reader.last().position.seq + 1 < seq_ && reader.Next()) {
  }
  absl::Status status = reader.status();
  place_ = std::move(reader).TakePlace();
  if (status.ok() && place_.link.position.seq + 1 < seq_) return NotReached();
  return status;
}

bool Seeker::SkipToFrame() {
  ShmReader& channel = segment_->channel;
  ChainLink before = segment_->follows;
  while (const std::optional<Bytes> record = channel.TryRead()) {
    if (record->size() < kFrameHeaderBytes) break;
    const auto header = LoadUnaligned<FrameHeader>(record->data());
    if (header.seq != before.position.seq + 1) break;
    if (header.seq + 1 == seq_) {
      if (!ParseFrame(*record, before).ok()) break;
      place_.offset = channel.position();
      place_.link = before;
      return true;
    }
    before = {
        .position = {.epoch = header.epoch, .seq = header.seq}, .crc32c = header.crc32c, .time_ns = header.time_ns};
  }
  channel.JumpTo(0).IgnoreError();  // the beginning is always a place
  return false;
}

bool Seeker::FindAfter(const ChainLink& link) {
  if (!found() || place_.segment != number_ || !place_.opened || !place_.offset) return false;
  ShmReader& channel = *place_.opened;
  std::optional<uint64_t> after;  // the frame of that link, if its length is right
  for (uint64_t offset = *place_.offset; channel.JumpTo(offset).ok(); offset += kAlignment) {
    const std::optional<Bytes> record = channel.TryRead();
    // The sealer may have truncated what follows a CLOSE.
    if (channel.channel_end() == ChannelEnd::kClosed) break;
    if (!record || record->size() < kFrameHeaderBytes) continue;
    const auto header = LoadUnaligned<FrameHeader>(record->data());
    ChainLink before = link;
    if (header.seq == link.position.seq + 1 && ParseFrame(*record, before).ok()) {
      after = offset;
      break;
    }
    const Position position = {.epoch = header.epoch, .seq = header.seq};
    if (!after && position == link.position && header.crc32c == link.crc32c) after = channel.position();
  }
  if (!after) return false;
  place_.offset = after;
  place_.link = link;
  return true;
}

}  // namespace

absl::StatusOr<JournalPlace> PlaceOfSeq(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                        Seq seq) {
  Seeker seeker(fs, layout, content, seq);
  KB_RETURN_IF_ERROR(seeker.FindSegment());
  KB_RETURN_IF_ERROR(seeker.FindFrame());
  KB_CHECK(seeker.place().link.position.seq + 1 == seq);  // a reader never skips
  return std::move(seeker.place());
}

absl::StatusOr<JournalPlace> PlaceAfter(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                        const ChainLink& link) {
  Seeker seeker(fs, layout, content, link.position.seq + 1);
  KB_RETURN_IF_ERROR(seeker.FindSegment());
  // Every segment from there on is still to be made, or can't be read.
  if (!seeker.found() && !seeker.is_trimmed()) return BeforeAll(seeker.kept(), link);
  const absl::Status sought = seeker.FindFrame();
  // Damage before the frame does not matter.
  const bool stopped = absl::IsDataLoss(sought) || absl::IsOutOfRange(sought);
  if (stopped && seeker.FindAfter(link)) return std::move(seeker.place());
  if (absl::IsOutOfRange(sought) && seeker.found()) {
    return absl::DataLossError(absl::StrCat(sought.message(), "; ", link.position.ToString(), " is missing"));
  }
  KB_RETURN_IF_ERROR(sought);
  const ChainLink& last = seeker.place().link;
  if (last.position == link.position && last.crc32c == link.crc32c) {
    // A segment does not say of which time the frame before it is.
    seeker.place().link.time_ns = link.time_ns;
    return std::move(seeker.place());
  }
  return absl::DataLossError(
      absl::StrFormat("%s: the journal has another history: behind %s with checksum 0x%08x, wanted is %s with 0x%08x",
                      layout.segment(seeker.place().segment), last.position.ToString(), last.crc32c,
                      link.position.ToString(), link.crc32c));
}

absl::StatusOr<JournalPlace> PlaceBeforeAll(FileSystem& fs, const JournalLayout& layout, const ChainLink& link) {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout.ListSegments(fs));
  return BeforeAll(kept, link);
}

absl::StatusOr<JournalReader> ReadJournal(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                          Seq from) {
  KB_ASSIGN_OR_RETURN(JournalPlace place, PlaceOfSeq(fs, layout, content, from));
  return JournalReader::At(fs, layout, content, std::move(place));
}

absl::StatusOr<JournalReader> ReadJournalAfter(FileSystem& fs, const JournalLayout& layout,
                                               const JournalContent& content, const ChainLink& link) {
  KB_ASSIGN_OR_RETURN(JournalPlace place, PlaceAfter(fs, layout, content, link));
  return JournalReader::At(fs, layout, content, std::move(place));
}

}  // namespace kekbit
