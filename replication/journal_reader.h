// JournalReader yields the frames of a journal in the order of their seq, across segments and epochs.
//
//   auto reader = JournalReader::Open(fs, JournalLayout(directory), codec_id);
//   while (auto frame = reader->Next()) Use(*frame);
//   // reader->status() says why there is none: OK, caught up; or an error
//
// Next() returns nothing when it has nothing to give. Then status() is one of
//   OK                  caught up; call again later.
//   OutOfRange          the journal no longer holds the frame that would be next; the message has the first seq it
//   holds. DataLoss            a frame does not fit: checksum, seq or epoch; the message has the file, the offset and
//   the seq. FailedPrecondition  written with another data format, or by a newer version of this code.
//   ResourceExhausted, Unavailable   the next segment could not be opened this time; call again later.
// Every other code stays. So each frame's seq is that of the one before + 1, and none is skipped silently.
//
// Thread safety: one thread at a time. Readers are independent, take no lock and write nothing. A frame's payload
// points
//   into the mapping of its segment: valid until the next Next(), or destruction.

#ifndef KEKBIT_REPLICATION_JOURNAL_READER_H_
#define KEKBIT_REPLICATION_JOURNAL_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/file_system.h"
#include "kekbit/shm_reader.h"
#include "replication/frame.h"
#include "replication/journal_layout.h"

namespace kekbit {

// Whether what failed this way may succeed later: room on the disk, descriptors, memory or a lock may come free. It
// says nothing of the journal.
inline bool MayPass(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

class JournalReader final {
 public:
  // Opens the journal at the frame `from` (at least 1), which may be the next to come; the journal may still be to be
  // made. `data_format`: that the commands must have; nothing: any. OutOfRange if the frame is no longer kept, or
  // further ahead. `fs` outlives the reader.
  static absl::StatusOr<JournalReader> Open(FileSystem& fs, const JournalLayout& layout,
                                            std::optional<uint64_t> data_format = std::nullopt, Seq from = 1);

  JournalReader(JournalReader&&) = default;
  JournalReader& operator=(JournalReader&&) = default;

  // The next frame, if it is published.
  std::optional<Frame> Next();

  // Why Next() returned nothing.
  const absl::Status& status() const { return status_; }

  // What the next frame will follow: the last one read.
  const ChainLink& last() const { return last_; }

  // Where the next frame is looked for: a segment (0: there is none yet), and the offset in its data area.
  SegmentNumber segment() const { return segment_; }
  uint64_t offset() const { return channel_ ? channel_->position() : 0; }
  // OK if the segment follows the last frame read, as far as it says; else DataLoss.
  absl::Status CheckFollows(SegmentNumber number) const;
  // Whether that segment was closed, so that what comes next will be in another one, or there is none yet.
  bool at_segment_end() const { return !channel_ || channel_->exhausted(); }

 private:
  JournalReader(FileSystem& fs, const JournalLayout& layout, std::optional<uint64_t> data_format)
      : fs_(&fs), layout_(layout), data_format_(data_format) {}

  // Goes to the newest segment that can hold `from`, then up to that frame.
  absl::Status SeekTo(Seq from);
  // The segment, if it is there (NotFound), and what it follows.
  absl::StatusOr<std::pair<ShmReader, ChainLink>> FindSegment(SegmentNumber number) const;
  absl::Status CheckLink(const std::string& path, const ChainLink& follows) const;
  // Goes on in the segment, which must follow what was read; the first one opened says what that is.
  absl::Status OpenSegment(SegmentNumber number);
  // Goes on to the next segment; false if there is none yet, or with status_ set.
  bool NextSegment();
  std::optional<Frame> Fail(const absl::Status& status);

  FileSystem* fs_;
  JournalLayout layout_;
  std::optional<uint64_t> data_format_;
  SegmentNumber segment_ = 0;
  std::optional<ShmReader> channel_;
  ChainLink last_;
  absl::Status status_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_READER_H_
