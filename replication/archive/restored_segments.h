// RestoredSegments writes frames of an archive, as they are, into the segments of a journal.
//
//   RestoredSegments segments(fs, layout, after, 64 << 20);
//   while (more) KB_RETURN_IF_ERROR(segments.Append(record, link, content));
//   KB_RETURN_IF_ERROR(segments.Flush());       // the records need not stay in memory any more
//   KB_RETURN_IF_ERROR(segments.Finish());      // all is on stable storage, but for the directories' names
//
// A segment is written as a file, with its CLOSE, and gets its name when it is whole: nobody reads
// the journal meanwhile. An epoch begins a segment of its own, as a primary's does. A record that is
// in memory next to the one before is written together with that.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_ARCHIVE_RESTORED_SEGMENTS_H_
#define KEKBIT_REPLICATION_ARCHIVE_RESTORED_SEGMENTS_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/header.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

class RestoredSegments final {
 public:
  // The first frame follows `after`. `fs` outlives it.
  RestoredSegments(FileSystem& fs, const JournalLayout& layout, const ChainLink& after, uint32_t segment_bytes)
      : fs_(fs), layout_(layout), last_(after), segment_bytes_(segment_bytes) {}

  // Appends a record that follows last(), as FramesReader::Next() gives it: it stays in memory until
  // Flush(). `link` is that of its frame.
  absl::Status Append(Bytes record, const ChainLink& link, const FramesContent& content);
  absl::Status Flush();
  // Closes the last segment.
  absl::Status Finish();

  const ChainLink& last() const { return last_; }

 private:
  // Goes on in a new segment, in which a record of `longest` bytes fits.
  absl::Status Roll(Epoch epoch, uint64_t longest, const FramesContent& content, bool first_of_epoch);

  FileSystem& fs_;
  const JournalLayout layout_;
  ChainLink last_;
  const uint32_t segment_bytes_;
  // The segment that is being written: its file, without a name.
  std::unique_ptr<File> file_;
  std::optional<Header> header_;
  uint64_t end_ = 0;  // of the records that are in the file, or waiting, in the data area
  Bytes waiting_;     // records with their lengths and padding, that are not in the file yet
  FramesContent content_;
  SegmentNumber number_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_RESTORED_SEGMENTS_H_
