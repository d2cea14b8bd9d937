// JournalReader yields the frames of a journal in the order of their seq, across segments and
// epochs.
//
//   auto reader = JournalReader::Open(fs, JournalLayout(directory), codec_id);
//   while (auto frame = reader->Next()) Use(*frame);
//   // reader->status() says why there is none: OK, caught up; or an error
//
// Next() returns nothing when it has nothing to give. Then status() is one of
//   OK                  caught up; call again later.
//   OutOfRange          the journal no longer holds the frame that would be next; the message has the first seq it
//                       holds.
//   DataLoss            a frame does not fit: checksum, seq or epoch; the message has the file, the offset and the seq.
//   FailedPrecondition  written with another data format, for another state, or by a newer version of this code.
//   another one that IsTransient()   the next segment could not be opened this time; call again later.
// Every other code stays, unless somebody mends the journal and calls LookAgain(). So each frame's
// seq is that of the one before + 1, and none is skipped silently.
//
// Thread safety: one thread at a time. Readers are independent, take no lock and write nothing. A
// frame's payload
//   points into the mapping of its segment: valid until the next Next(), or destruction.

#ifndef KEKBIT_REPLICATION_JOURNAL_JOURNAL_READER_H_
#define KEKBIT_REPLICATION_JOURNAL_JOURNAL_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/shm_reader.h"

namespace kekbit {

class JournalReader final {
 public:
  // Opens the journal at the frame `from` (at least 1), which may be the next to come; the journal
  // may still be to be made. `content`: what the commands must be. OutOfRange if the frame is no
  // longer kept, or further ahead. `fs` outlives the reader. What is before the frame is not
  // checked, but for the one just before it; the frame itself is, by Next().
  static absl::StatusOr<JournalReader> Open(FileSystem& fs, const JournalLayout& layout,
                                            const JournalContent& content = {}, Seq from = 1);

  // Opens the journal after a frame that is known from elsewhere, as from a snapshot: at the seq
  // after `link`, whose time does not count. Earlier damage does not matter. OutOfRange if that seq
  // is no longer kept. DataLoss if the journal does not reach that frame, or has a different frame
  // of that seq.
  static absl::StatusOr<JournalReader> OpenAfter(FileSystem& fs, const JournalLayout& layout,
                                                 const JournalContent& content, const ChainLink& link);

  // Opens the journal after `link` for callers that know the place of the next frame: nothing is
  // searched. The place is segment() and offset() of another reader, or the caller has written the
  // frame before. A wrong place shows as a frame that does not fit.
  static absl::StatusOr<JournalReader> ContinueAfter(FileSystem& fs, const JournalLayout& layout,
                                                     const JournalContent& content, const ChainLink& link,
                                                     SegmentNumber segment, uint64_t offset);

  // Opens a reader positioned after `link` and before the first segment: no segment that exists
  // follows `link`.
  static absl::StatusOr<JournalReader> StandBefore(FileSystem& fs, const JournalLayout& layout, const ChainLink& link);

  JournalReader(JournalReader&&) = default;
  JournalReader& operator=(JournalReader&&) = default;

  // Returns the next frame, if it is published.
  std::optional<Frame> Next();

  // Returns the next frames, some tens at most, as far as they are published: for callers that take
  // many. Only a command comes together with others. Empty: see Next(). The frames and their
  // payloads are valid until the next Next() or NextBatch(), or destruction.
  absl::Span<const Frame> NextBatch();

  // Checks, now and then, whether a long wait is in vain: DataLoss if the segment was replaced, or if
  // a later one follows other frames than this reader has. Costs two attempts to open a file.
  absl::Status CheckWaiting();

  // Forgets status(), and looks at the same place again. Call this after somebody sealed the place
  // where the frames ended, or took away what does not fit.
  absl::Status LookAgain();

  // Returns why Next() returned nullopt.
  const absl::Status& status() const { return status_; }

  // Returns what the next frame will follow: the last frame read.
  const ChainLink& last() const { return last_; }

  // The place where the next frame is looked for, or does not fit: a segment (0: none yet), and the
  // offset in its data area. Without a segment_open() the place is the beginning of the segment
  // after.
  SegmentNumber segment() const { return segment_; }
  uint64_t offset() const { return channel_ ? channel_->position() : 0; }
  bool segment_open() const { return channel_.has_value(); }
  // The name of the state whose commands the open segment holds; empty if it does not say, or none
  // is open.
  std::string state_name() const { return channel_ ? SegmentStateName(channel_->extension()) : std::string(); }
  // OK if the segment follows the last frame read, as far as the segment says; else DataLoss.
  absl::Status CheckFollows(SegmentNumber number) const;
  // Returns true if that segment was closed, or if there is none yet: the next frame will be in
  // another segment.
  bool at_segment_end() const { return !channel_ || channel_->exhausted(); }

 private:
  JournalReader(FileSystem& fs, const JournalLayout& layout, const JournalContent& content)
      : fs_(&fs), layout_(layout), content_(content) {}

  // Found is a segment that exists, and what it follows.
  using Found = std::pair<ShmReader, ChainLink>;

  // Goes to the newest segment that can hold `from`, then up to that frame.
  absl::Status SeekTo(Seq from);
  // Finds the newest segment of `kept` that begins before `from`, by what each says that it
  // follows; nullopt if there is none. A segment that can't be read is passed over: its frames are
  // then found missing. Sets `first_kept` to the seq at which the first segment begins; 0 if that
  // can't be read.
  absl::StatusOr<std::optional<Found>> FindBefore(const std::vector<SegmentNumber>& kept, Seq from, Seq& first_kept);
  // Goes to the place after frame `seq` of the segment that was just opened, looking at headers
  // only. If something there is not as it should be, returns false, back at the beginning.
  bool SkipTo(Seq seq);
  // Goes to the place after that frame, from where the segment can't be read on. The frame is found
  // by its header, or by its successor. Returns false if neither is there.
  bool FindAfter(const ChainLink& link);
  // NotFound if there is no such segment.
  absl::StatusOr<Found> FindSegment(SegmentNumber number) const;
  absl::Status CheckLink(const std::string& path, const ChainLink& follows) const;
  // Goes on in the segment, which must follow what was read.
  absl::Status OpenSegment(SegmentNumber number);
  // Goes on to the next segment; false if there is none yet, or with status_ set.
  bool NextSegment();
  // Does Next() once.
  std::optional<Frame> TryNext();
  // Returns how many commands followed the last frame in the segment; they are in batch_.
  size_t ReadCommands();
  std::optional<Frame> Fail(const absl::Status& status);
  absl::Status NotReached(Seq from) const;

  FileSystem* fs_;
  JournalLayout layout_;
  JournalContent content_;
  SegmentNumber segment_ = 0;
  std::optional<ShmReader> channel_;
  ChainLink last_;
  absl::Status status_;
  std::vector<Frame> batch_;
  uint64_t waits_ = 0;  // calls of Next() in a row that found nothing
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_READER_H_
