// JournalReader yields the frames of a journal in the order of their seq, across segments and
// epochs.
//
//   auto reader = ReadJournal(fs, JournalLayout(directory), codec_id);   // see seek.h
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
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/shm_reader.h"

namespace kekbit {

// OpenedSegment is a segment of a journal, and what its first frame follows.
struct OpenedSegment {
  ShmReader channel;
  ChainLink follows;
};

// Opens the segment at its first frame. NotFound if there is none; DataLoss if the file is no
// segment, or another. FailedPrecondition if its commands are not `content`.
absl::StatusOr<OpenedSegment> OpenSegment(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                          SegmentNumber number);

// JournalPlace is where a reader looks for its next frame. See seek.h for how to find one.
struct JournalPlace {
  SegmentNumber segment = 0;
  // In the segment's data area; nullopt: after all frames of the segment, before those of the next,
  // which may still be to be made.
  std::optional<uint64_t> offset = std::nullopt;
  ChainLink link = {};                             // the frame before
  std::optional<ShmReader> opened = std::nullopt;  // the segment, as long as the finder has it open
};

class JournalReader final {
 public:
  // Opens the journal at a place that was sought, or that the caller knows: segment() and offset()
  // of another reader, say. Nothing is searched. A wrong place shows as a frame that does not fit.
  // `content`: what the commands must be. `fs` outlives the reader.
  static absl::StatusOr<JournalReader> At(FileSystem& fs, const JournalLayout& layout, const JournalContent& content,
                                          JournalPlace place);

  // Opens the journal once more, at a place before which everything that this reader has read is
  // synced, if NoteSynced() was called now and then; where this reader began, if not.
  absl::StatusOr<JournalReader> AtAnchor() const;
  // Returns the seq before that place.
  Seq anchor_seq() const { return anchor_.link.position.seq; }
  // Everything up to `synced` is synced.
  void NoteSynced(Seq synced) {
    if (synced < next_anchor_.link.position.seq) return;
    anchor_ = next_anchor_;
    next_anchor_ = Here();
  }

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
  // Returns that place, with the open segment, if any: this reader's end.
  JournalPlace TakePlace() &&;
  // The name of the state whose commands the open segment holds; empty if it does not say, or none
  // is open.
  std::string state_name() const { return channel_ ? SegmentStateName(channel_->extension()) : std::string(); }
  // OK if the segment follows the last frame read, as far as the segment says; else DataLoss.
  absl::Status CheckFollows(SegmentNumber number) const;
  // Returns true if that segment was closed, or if there is none yet: the next frame will be in
  // another segment.
  bool at_segment_end() const { return !channel_ || channel_->exhausted(); }

 private:
  // Anchor is a JournalPlace that nobody has open.
  struct Anchor {
    SegmentNumber segment = 0;
    std::optional<uint64_t> offset = std::nullopt;
    ChainLink link = {};
  };

  JournalReader(FileSystem& fs, const JournalLayout& layout, const JournalContent& content)
      : fs_(&fs), layout_(layout), content_(content) {}

  absl::StatusOr<OpenedSegment> FindSegment(SegmentNumber number) const {
    return OpenSegment(*fs_, layout_, content_, number);
  }
  Anchor Here() const {
    Anchor here = {.segment = segment_, .link = last_};
    if (channel_) here.offset = channel_->position();
    return here;
  }
  absl::Status CheckLink(const std::string& path, const ChainLink& follows) const;
  // Goes on in the segment, which must follow what was read.
  absl::Status GoOnIn(SegmentNumber number);
  // Goes on to the next segment; false if there is none yet, or with status_ set.
  bool NextSegment();
  // Does Next() once.
  std::optional<Frame> TryNext();
  // Returns how many commands followed the last frame in the segment; they are in batch_.
  size_t ReadCommands();
  std::optional<Frame> Fail(const absl::Status& status);

  FileSystem* fs_;
  JournalLayout layout_;
  JournalContent content_;
  SegmentNumber segment_ = 0;
  std::optional<ShmReader> channel_;
  ChainLink last_;
  Anchor anchor_;
  Anchor next_anchor_;  // as soon as all before it is synced
  absl::Status status_;
  std::vector<Frame> batch_;
  uint64_t waits_ = 0;  // calls of Next() in a row that found nothing
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_READER_H_
