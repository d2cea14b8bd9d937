// JournalWriter appends frames to a journal for one epoch, and is the journal's only writer in it.
//
//   auto writer = JournalWriter::Begin(options, epochs, epoch, tail);
//   auto position = writer->Append([&](MutableBytes to) { return Codec::Encode(command, to); }, now_ns);
//
// Thread safety: one thread at a time.
// Publication: a frame is published when Append() returns OK. Where a segment is full the writer goes on in a new one,
// which
//   it makes before it closes the old: a full disk leaves the old one in use.
// Fencing: once a newer epoch was granted, Append() returns Aborted with that epoch, for ever.
// Durability: published frames survive the death of this process, not of the machine.
// Invariants:
//   (1) Frames have the seq of the one before + 1, this writer's epoch, its checksum as seed, and a time not before
//   its. (2) The first frame is an EpochStart, which names what it follows; it begins a segment of its own.

#ifndef KEKBIT_REPLICATION_JOURNAL_WRITER_H_
#define KEKBIT_REPLICATION_JOURNAL_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/file_system.h"
#include "kekbit/shared_word.h"
#include "kekbit/shm_writer.h"
#include "kekbit/status_macros.h"
#include "replication/epoch_store.h"
#include "replication/frame.h"
#include "replication/journal_layout.h"
#include "replication/segment_preparer.h"

namespace kekbit {

struct JournalWriterOptions {
  FileSystem* file_system = &FileSystem::Posix();  // outlives the writer
  JournalLayout layout{""};
  uint64_t data_format = kRawDataFormat;
  // Capacity of each segment, in bytes, 16 KiB to just under 4 GiB. A frame takes at most 1/128 of it.
  uint32_t segment_bytes = 64u << 20;
  // Has segments of that capacity ready; null: the writer makes each when it needs it. Outlives the writer.
  SegmentPreparer* preparer = nullptr;
};

// How much of a segment is touched ahead of its writer: little, since each page touched is one more for the disk to
// write.
inline constexpr uint64_t kSegmentTouchBytes = 4u << 20;

class JournalWriter final {
 public:
  // Begins `epoch` behind the frame `tail`, in a new segment with the number `segment`. The caller holds the lease, was
  // granted the epoch by `epochs`, which outlives the writer, and has read the journal up to `tail` and closed what was
  // before. AlreadyExists if the segment is there: the journal is not what the caller thinks.
  static absl::StatusOr<JournalWriter> Begin(JournalWriterOptions options, const EpochStore& epochs, Epoch epoch,
                                             const ChainLink& tail, SegmentNumber segment, int64_t now_ns);

  JournalWriter(JournalWriter&&) = default;
  JournalWriter& operator=(JournalWriter&&) = default;
  // Closes the segment.
  ~JournalWriter() = default;

  // Appends a command. `encode(MutableBytes to)` writes it into the mapping itself and returns its length, at least 0,
  // as absl::StatusOr<size_t>; ResourceExhausted if it needs more room, when it may be called again with more.
  //
  // After an error nothing is published, but for Aborted, when nobody can say: the epoch is over. ResourceExhausted:
  // the disk is full, or the command is longer than command_bytes_max(). Everything else is what `encode` returned.
  template <typename Encode>
  absl::StatusOr<Position> Append(Encode&& encode, int64_t now_ns) {
    if (ABSL_PREDICT_FALSE(epochs_->current() != epoch_)) return Fenced();
    for (bool rolled = false;; rolled = true) {
      absl::StatusOr<MutableBytes> room = segment_.ClaimMost();
      if (ABSL_PREDICT_TRUE(room.ok())) {
        if (ABSL_PREDICT_TRUE(room->size() > kFrameHeaderBytes)) {
          const absl::StatusOr<size_t> length = encode(room->subspan(kFrameHeaderBytes));
          if (ABSL_PREDICT_TRUE(length.ok())) return Publish(*room, *length, now_ns);
          segment_.Abort();
          if (!absl::IsResourceExhausted(length.status())) return length.status();
        } else {
          segment_.Abort();
        }
        // More room than a segment gives to one record there is nowhere.
        if (rolled || room->size() == segment_.header().max_msg_len()) return TooLong();
      }
      KB_RETURN_IF_ERROR(Roll());
    }
  }

  // The longest encoded command that fits into a frame.
  uint64_t command_bytes_max() const { return segment_.header().max_msg_len() - kFrameHeaderBytes; }

  Epoch epoch() const { return epoch_; }
  // The last frame.
  const ChainLink& last() const { return last_; }

 private:
  JournalWriter(JournalWriterOptions options, const EpochStore& epochs, Epoch epoch, const ChainLink& tail,
                SegmentNumber number, ShmWriter segment)
      : segment_(std::move(segment)),
        last_(tail),
        epoch_(epoch),
        epochs_(&epochs),
        options_(std::move(options)),
        number_(number) {
    prepare_at_ = segment_.header().capacity() / 2;
  }

  static absl::StatusOr<ShmWriter> CreateSegment(const JournalWriterOptions& options, Epoch epoch,
                                                 const ChainLink& tail, SegmentNumber number);

  // Makes the claim `room`, with `length` bytes of payload in place, the next frame.
  absl::StatusOr<Position> Publish(MutableBytes room, size_t length, int64_t now_ns,
                                   FrameKind kind = FrameKind::kCommand) {
    FrameHeader header;
    header.kind = static_cast<uint8_t>(kind);
    header.epoch = epoch_;
    header.seq = last_.position.seq + 1;
    header.unsynced = UnsyncedBefore(header.seq, 0);
    header.time_ns = std::max(now_ns, last_.time_ns);
    last_ = SealFrame(header, last_, room.first(kFrameHeaderBytes + length));
    segment_.Publish(kFrameHeaderBytes + length);
    if (ABSL_PREDICT_FALSE(segment_.write_offset() > prepare_at_)) PrepareNext();
    // Behind the publication: whoever took the epoch over before it was visible has changed the word (see EpochStore).
    LightFence();
    if (ABSL_PREDICT_FALSE(epochs_->current() != epoch_)) return Fenced();
    return last_.position;
  }

  absl::Status Roll();
  // Has the next segment prepared, once.
  void PrepareNext();
  absl::Status Fenced() const;
  absl::Status TooLong() const;

  ShmWriter segment_;
  ChainLink last_;
  Epoch epoch_;
  uint64_t prepare_at_;  // the write offset from which on the next segment is wanted
  const EpochStore* epochs_;
  JournalWriterOptions options_;
  SegmentNumber number_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_WRITER_H_
