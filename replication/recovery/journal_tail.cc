#include "kekbit/replication/recovery/journal_tail.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/recovery/repair_hint.h"
#include "kekbit/replication/recovery/tail_scan.h"

namespace kekbit {
namespace {

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

class Examiner {
 public:
  Examiner(FileSystem& fs, const JournalLayout& layout, const JournalReader& reader)
      : fs_(fs), layout_(layout), reader_(reader) {
    tail_.segment = reader.segment();
    tail_.segment_open = reader.segment_open();
    tail_.offset = tail_.end = reader.offset();
    tail_.path = layout.directory();
    tail_.facts.bad_seq = reader.last().position.seq + 1;
  }

  absl::StatusOr<JournalTail> Examine(const SyncMark* mark, const std::vector<KnownSeq>& known, bool holes) {
    const absl::Status& status = reader_.status();
    if (!status.ok() && !absl::IsDataLoss(status) && !absl::IsOutOfRange(status)) return status;
    KB_RETURN_IF_ERROR(AskOthers(mark, known));
    KB_RETURN_IF_ERROR(FindBeyond());
    if (tail_.segment_open) KB_RETURN_IF_ERROR(LookAtPlace());
    // A process died inside a sync of these bytes. If that had failed, the system may have dropped
    // them since.
    if (mark != nullptr && IsAtOrAfter(mark->unfinished())) tail_.facts.nothing_lost = false;
    if (!tail_.continues) {
      for (const SegmentNumber number : tail_.beyond) KB_RETURN_IF_ERROR(LookBeyond(number));
    }
    if (tail_.what.empty() && (!status.ok() || gone_ != 0) && !tail_.continues) {
      tail_.facts.misfit = true;
      tail_.what = !status.ok() ? MessageOf(status)
                                : absl::StrCat(layout_.segment(gone_), ": the segment was made, and is gone");
    }
    tail_.verdict = tail_.continues ? TailVerdict::kClean : JudgeTail(tail_.facts);
    // A place after which the journal goes on is no damage. What is kept aside stands after it.
    KB_CHECK(!tail_.continues || (tail_.verdict == TailVerdict::kClean && tail_.beyond.empty()));
    KB_CHECK(tail_.offset <= tail_.end);
    if (tail_.verdict == TailVerdict::kDamaged) Explain();
    // The place may be gone only because the journal was trimmed, as it is up to a snapshot.
    if (tail_.verdict == TailVerdict::kDamaged && absl::IsOutOfRange(status) && !holes) return status;
    return std::move(tail_);
  }

 private:
  absl::Status AskOthers(const SyncMark* mark, const std::vector<KnownSeq>& known) {
    if (mark != nullptr) {
      tail_.facts.synced_by_mark = mark->synced();
      KB_ASSIGN_OR_RETURN(tail_.facts.nothing_lost, NothingLost(fs_, *mark));
      if (tail_.facts.nothing_lost) made_ = mark->made();
    }
    for (const KnownSeq& other : known) {
      if (other.seq <= tail_.facts.synced_by_others) continue;
      tail_.facts.synced_by_others = other.seq;
      by_others_ = other.what;
    }
    return absl::OkStatus();
  }

  bool IsAtOrAfter(const std::optional<SyncMark::Unfinished>& sync) const {
    if (!sync) return false;
    // Behind the end of a segment it is the beginning of the next one that does not fit.
    const bool inside = tail_.segment_open && !reader_.at_segment_end();
    const SegmentNumber segment = inside ? tail_.segment : tail_.segment + 1;
    const uint64_t at = inside ? kDataOffset + tail_.offset : 0;
    return segment > sync->segment || (segment == sync->segment && at >= sync->from);
  }

  absl::Status FindBeyond() {
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs_));
    for (const SegmentNumber number : segments) {
      if (number > tail_.segment) tail_.beyond.push_back(number);
    }
    if (made_ > (segments.empty() ? 0 : segments.back())) gone_ = made_;
    if (tail_.beyond.empty()) return absl::OkStatus();
    if (!tail_.segment_open) tail_.path = layout_.segment(tail_.beyond.front());
    if (tail_.beyond.front() == tail_.segment + 1) {
      absl::Status follows = reader_.CheckFollows(tail_.segment + 1);
      if (!follows.ok() && !absl::IsDataLoss(follows) && !absl::IsNotFound(follows)) return follows;
      tail_.continues = follows.ok();
    }
    if (tail_.continues) {
      tail_.beyond.clear();
    } else {
      tail_.facts.misfit = true;
    }
    return absl::OkStatus();
  }

  // Looks at the segment in which the frames end.
  absl::Status LookAtPlace() {
    tail_.path = layout_.segment(tail_.segment);
    KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(fs_, tail_.path));
    counts_unsynced_ = SegmentCountsUnsynced(channel.extension);
    const uint64_t in_file = channel.data_bytes();
    const Bytes data = channel.mapping->bytes().subspan(std::min<uint64_t>(kDataOffset, channel.mapping->size()));
    const bool word_in_file = tail_.offset + kLengthBytes <= in_file;
    const uint64_t word = word_in_file ? AcquireWord(data.data() + tail_.offset) : 0;
    const bool full = tail_.offset >= channel.header.capacity() && word_in_file;
    if (word == kClose || (full && (word == kWatermark || word == 0))) return absl::OkStatus();
    const bool unwritten = word_in_file && word == kWatermark;
    // Without a power failure, only what was never published can follow the end.
    if (unwritten && (tail_.facts.nothing_lost || tail_.continues)) return absl::OkStatus();
    const uint64_t area = std::min<uint64_t>(in_file, channel.header.capacity());
    const TailScan scan = ScanTail(data.first(area), std::min(tail_.offset, area), reader_.last(),
                                   channel.header.max_msg_len(), counts_unsynced_);
    tail_.end = std::max(tail_.offset, scan.end);
    Take(scan, tail_.path);
    if (unwritten && scan.frames == 0) return absl::OkStatus();
    tail_.facts.misfit = true;
    tail_.occupied = tail_.end > tail_.offset;
    tail_.what = !reader_.status().ok()
                     ? MessageOf(reader_.status())
                     : absl::StrCat(tail_.path, ": at offset ", tail_.offset,
                                    unwritten      ? " no frame stands"
                                    : word_in_file ? " there are zeros"
                                                   : " the file ends",
                                    ", behind it ", scan.frames, " whole frame(s) up to offset ", tail_.end);
    return absl::OkStatus();
  }

  // Looks at a segment that does not follow what was read.
  absl::Status LookBeyond(SegmentNumber number) {
    const std::string path = layout_.segment(number);
    if (tail_.what.empty()) {
      tail_.what = reader_.status().ok() ? absl::StrCat(path, ": the segment does not follow seq ",
                                                        tail_.facts.bad_seq - 1, ", which is the last one before it")
                                         : MessageOf(reader_.status());
    }
    KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(path, Access::kRead));
    KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
    if (info.size <= kDataOffset) return absl::OkStatus();
    const uint64_t size = std::min(info.size, ChannelFileBytes(kCapacityMax));
    KB_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> mapping, file->Map(Access::kRead, size));
    const Bytes data = mapping->bytes().subspan(kDataOffset);
    // If the header can't be read, take the frames as those of the segment before.
    const absl::StatusOr<ChannelFile> channel = OpenChannelFile(fs_, path);
    const auto extension = channel.ok() ? channel->extension : std::nullopt;
    const bool counts = extension ? SegmentCountsUnsynced(extension) : counts_unsynced_;
    ChainLink follows = reader_.last();
    if (const auto link = FollowedBySegment(extension); link.ok()) follows = *link;
    const uint64_t payload_max = channel.ok() ? channel->header.max_msg_len() : size;
    Take(ScanTail(data, 0, follows, payload_max, counts), path);
    return absl::OkStatus();
  }

  void Take(const TailScan& scan, const std::string& path) {
    tail_.whole_frames += scan.frames;
    tail_.last_whole_seq = std::max(tail_.last_whole_seq, scan.last_seq);
    if (scan.synced <= tail_.facts.synced_by_frames) return;
    tail_.facts.synced_by_frames = scan.synced;
    by_frames_ = absl::StrCat("the frame at offset ", scan.synced_offset, " of ", path,
                              " says that everything up to seq ", scan.synced, " was synced");
  }

  void Explain() {
    const TailFacts& facts = tail_.facts;
    if (tail_.what.empty()) {
      tail_.what =
          absl::StrCat(tail_.path, ": at offset ", tail_.offset, " the journal ends behind seq ", facts.bad_seq - 1);
    }
    if (facts.synced_by_mark >= facts.bad_seq) {
      tail_.evidence =
          absl::StrCat(layout_.synced(), " says that everything up to seq ", facts.synced_by_mark, " was synced");
    } else if (facts.synced_by_frames >= facts.bad_seq) {
      tail_.evidence = by_frames_;
    } else if (facts.synced_by_others >= facts.bad_seq) {
      tail_.evidence = absl::StrCat(by_others_, " is of seq ", facts.synced_by_others);
    } else {
      tail_.evidence = "the machine has not stopped since it was written";
    }
  }

  FileSystem& fs_;
  const JournalLayout& layout_;
  const JournalReader& reader_;
  JournalTail tail_;
  SegmentNumber made_ = 0;  // the newest one that must be there
  SegmentNumber gone_ = 0;  // that one, if it is not
  bool counts_unsynced_ = false;
  std::string by_frames_;
  std::string by_others_;
};

}  // namespace

absl::Status JournalTail::Error(const JournalLayout& layout) const {
  return absl::DataLossError(
      absl::StrCat(what, "; seq ", facts.bad_seq, " is damaged, it is no torn tail: ", evidence, RepairHint(layout)));
}

absl::StatusOr<JournalTail> ExamineTail(FileSystem& fs, const JournalLayout& layout, const JournalReader& reader,
                                        const SyncMark* mark, const std::vector<KnownSeq>& known, bool holes) {
  return Examiner(fs, layout, reader).Examine(mark, known, holes);
}

}  // namespace kekbit
