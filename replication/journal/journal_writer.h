// JournalWriter appends frames to a journal for one epoch, and is the journal's only writer in that
// epoch.
//
//   auto writer = JournalWriter::Begin(options, epochs, epoch, tail);
//   auto position = writer->Append([&](MutableBytes to) { return Codec::Encode(command, to); }, now_ns);
//
// Thread safety: one thread at a time.
// Publication: a frame is published when Append() returns OK. At the end of a segment the writer
// makes the next one first, then closes the old: a full disk leaves the old one in use. Fencing:
// once a newer epoch was granted, Append() returns Aborted with that epoch, for ever.
// Durability: published frames survive the death of this process, not of the machine. GroupCommit
// brings them to the disk.
// Invariants:
//   (1) A frame has the seq of its predecessor + 1, this writer's epoch, its predecessor's checksum
//       as seed, and a time not before its predecessor's.
//   (2) The first frame is an EpochStart, which names its predecessor and begins a segment of its
//       own.

#ifndef KEKBIT_REPLICATION_JOURNAL_JOURNAL_WRITER_H_
#define KEKBIT_REPLICATION_JOURNAL_JOURNAL_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/segment_preparer.h"
#include "kekbit/shm_writer.h"

namespace kekbit {

struct JournalWriterOptions {
  FileSystem* file_system = &FileSystem::Posix();  // outlives the writer
  JournalLayout layout{""};
  uint64_t data_format = kRawDataFormat;
  std::string state_name = {};  // as StateName() has it
  // Capacity of the longest segments, in bytes, 16 KiB to just under 4 GiB. A frame takes at most
  // 1/128 of it. The first segment is shorter (see segment_size.h).
  uint32_t segment_bytes = 64u << 20;
  // Whether frames will be synced a few at a time.
  bool synced = false;
  // Has the next segment ready; null: the writer makes each when it needs it. Outlives the writer.
  SegmentPreparer* preparer = nullptr;
  // Is told of segments and frames, and brings them to the disk; null: nobody does. Outlives the
  // writer.
  GroupCommit* commit = nullptr;
};

// How much of a segment is touched ahead of its writer: little, since the disk has to write each
// touched page.
inline constexpr uint64_t kSegmentTouchBytes = 4u << 20;

class JournalWriter final {
 public:
  // Begins `epoch` after the frame `tail`, in a new segment with the number `segment`. The caller
  // holds the lease, was granted the epoch by `epochs`, has read the journal up to `tail`, and has
  // closed what was before. `epochs` outlives the writer. AlreadyExists if the segment exists: the
  // journal is not what the caller thinks.
  static absl::StatusOr<JournalWriter> Begin(JournalWriterOptions options, const EpochStore& epochs, Epoch epoch,
                                             const ChainLink& tail, SegmentNumber segment, int64_t now_ns);

  JournalWriter(JournalWriter&&) = default;
  JournalWriter& operator=(JournalWriter&&) = default;
  // Closes the segment.
  ~JournalWriter() = default;

  // Appends a command. `encode(MutableBytes to)` writes the command into the mapping itself and
  // returns its length, at least 0, as absl::StatusOr<size_t>. It returns ResourceExhausted if it
  // needs more room, and may then be called again with more.
  //
  // After an error nothing is published. The exception is Aborted, when nobody can say: the epoch
  // is over. ResourceExhausted: the disk is full, another limit is reached, or the command is
  // longer than command_bytes_max(). Everything else is what `encode` returned.
  template <typename Encode>
  absl::StatusOr<Position> Append(Encode&& encode, int64_t now_ns) {
    if (ABSL_PREDICT_FALSE(epochs_->current() != epoch_)) return Fenced();
    for (;;) {
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
        // An empty segment of this capacity has no more room.
        if (room->size() == segment_.header().max_msg_len()) {
          if (is_longest()) return TooLong();
          KB_ASSIGN_OR_RETURN(const uint64_t record, MeasureCommand(encode));
          KB_RETURN_IF_ERROR(Roll(record, record));
          continue;
        }
      }
      KB_RETURN_IF_ERROR(Roll());
    }
  }

  // Appends `count` commands, at least one, as one publication: readers see all of them or none.
  // `encode(i, to)` is that of Append() for the i-th. Returns the position of the first; the others
  // follow. Errors as for Append(); ResourceExhausted also if they don't fit into one segment.
  template <typename Encode>
  absl::StatusOr<Position> AppendBatch(size_t count, Encode&& encode, int64_t now_ns) {
    if (ABSL_PREDICT_FALSE(epochs_->current() != epoch_)) return Fenced();
    for (;;) {
      const ChainLink before = last_;
      bool full = false;
      const absl::Status held = HoldBatch(count, encode, now_ns, full);
      if (ABSL_PREDICT_TRUE(held.ok())) {
        KB_CHECK(last_.position.seq == before.position.seq + count);  // (1): all of them, and no other
        segment_.Release();
        KB_RETURN_IF_ERROR(AfterPublication());
        return Position{.epoch = epoch_, .seq = before.position.seq + 1};
      }
      segment_.DropHeld();
      last_ = before;
      if (!full) return held;
      if (segment_.write_offset() != 0) {
        KB_RETURN_IF_ERROR(Roll());
        continue;
      }
      // An empty segment of this capacity takes no more.
      if (is_longest()) return held;
      KB_ASSIGN_OR_RETURN(const BatchSize size, MeasureBatch(count, encode));
      KB_RETURN_IF_ERROR(Roll(size.longest, size.total));
    }
  }

  // Returns true if the segment is still where it belongs: nobody would find frames in a segment
  // that was moved or deleted.
  absl::StatusOr<bool> IsNamed() const { return segment_.IsNamed(); }

  // Closes the segment: no more appends.
  void Close() { segment_.Close(); }

  // Return the segment that is written to, and the offset of the next frame there.
  SegmentNumber segment() const { return number_; }
  uint64_t segment_offset() const { return segment_.write_offset(); }
  // Bytes of records that this writer has appended.
  uint64_t written_bytes() const { return closed_bytes_ + segment_.write_offset(); }

  // Returns the longest encoded command that fits into a frame.
  uint64_t command_bytes_max() const { return record_bytes_max_ - kFrameHeaderBytes; }

  Epoch epoch() const { return epoch_; }
  // Returns the link of the last frame.
  const ChainLink& last() const { return last_; }

 private:
  // BatchSize is the lengths of the payloads of a batch.
  struct BatchSize {
    uint64_t longest = 0;
    uint64_t total = 0;  // with their lengths and padding
  };

  JournalWriter(JournalWriterOptions options, const EpochStore& epochs, Epoch epoch, const ChainLink& tail,
                SegmentNumber number, const Header& longest, ShmWriter segment)
      : segment_(std::move(segment)),
        last_(tail),
        epoch_(epoch),
        epochs_(&epochs),
        options_(std::move(options)),
        number_(number),
        segment_bytes_max_(longest.capacity()),
        record_bytes_max_(longest.max_msg_len()) {
    EnterSegment();
  }

  static absl::StatusOr<ShmWriter> CreateSegment(const JournalWriterOptions& options, Epoch epoch,
                                                 const ChainLink& tail, SegmentNumber number, uint32_t capacity);

  bool is_longest() const { return segment_.header().capacity() == segment_bytes_max_; }

  // The payload of the record of a command that a short segment does not take; TooLong() if none
  // does.
  template <typename Encode>
  absl::StatusOr<uint64_t> MeasureCommand(Encode& encode) const {
    std::vector<uint8_t> scratch;
    KB_RETURN_IF_ERROR(ResizeBuffer(scratch, command_bytes_max(), segment_.path()));
    const absl::StatusOr<size_t> length = encode(MutableBytes(scratch));
    if (length.ok()) return kFrameHeaderBytes + *length;
    return absl::IsResourceExhausted(length.status()) ? TooLong() : length.status();
  }
  template <typename Encode>
  absl::StatusOr<BatchSize> MeasureBatch(size_t count, Encode& encode) const {
    std::vector<uint8_t> scratch;
    KB_RETURN_IF_ERROR(ResizeBuffer(scratch, command_bytes_max(), segment_.path()));
    BatchSize size;
    for (size_t i = 0; i < count; ++i) {
      const absl::StatusOr<size_t> length = encode(i, MutableBytes(scratch));
      if (absl::IsResourceExhausted(length.status())) return BatchTooLong(count);
      KB_RETURN_IF_ERROR(length.status());
      size.longest = std::max<uint64_t>(size.longest, kFrameHeaderBytes + *length);
      size.total += RecordBytes(kFrameHeaderBytes + *length);
    }
    if (size.total > segment_bytes_max_) return BatchTooLong(count);
    return size;
  }

  // Makes the claim `room`, with `length` bytes of payload in place, the next frame.
  absl::StatusOr<Position> Publish(MutableBytes room, size_t length, int64_t now_ns,
                                   FrameKind kind = FrameKind::kCommand) {
    Seal(room, length, now_ns, kind);
    segment_.Publish(kFrameHeaderBytes + length);
    if (absl::Status status = AfterPublication(); ABSL_PREDICT_FALSE(!status.ok())) return status;
    return last_.position;
  }

  void Seal(MutableBytes room, size_t length, int64_t now_ns, FrameKind kind) {
    FrameHeader header;
    header.kind = static_cast<uint8_t>(kind);
    header.epoch = epoch_;
    header.seq = last_.position.seq + 1;
    header.unsynced = UnsyncedBefore(header.seq, options_.commit == nullptr ? 0 : options_.commit->synced());
    header.time_ns = std::max(now_ns, last_.time_ns);
    SealFrame(header, last_, room.first(kFrameHeaderBytes + length));
  }

  absl::Status AfterPublication() {
    if (ABSL_PREDICT_FALSE(segment_.write_offset() > prepare_at_)) PrepareNext();
    // Look after the publication: whoever took the epoch over before the frame was visible has
    // changed the word (see EpochStore).
    LightFence();
    if (ABSL_PREDICT_FALSE(epochs_->current() != epoch_)) return Fenced();
    // Tell GroupCommit only now: nobody shall wait for what nobody may acknowledge.
    if (options_.commit != nullptr) {
      options_.commit->Published(last_.position.seq, kDataOffset + segment_.write_offset() + kLengthBytes);
    }
    return absl::OkStatus();
  }

  // Sets `full` if the rest of the segment has no room, and another segment may.
  template <typename Encode>
  absl::Status HoldBatch(size_t count, Encode& encode, int64_t now_ns, bool& full) {
    for (size_t i = 0; i < count; ++i) {
      const absl::StatusOr<MutableBytes> claim = segment_.ClaimMost();
      full = absl::IsResourceExhausted(claim.status());
      KB_RETURN_IF_ERROR(claim.status());
      const MutableBytes room = *claim;
      absl::StatusOr<size_t> length = absl::ResourceExhaustedError("");
      if (room.size() > kFrameHeaderBytes) length = encode(i, room.subspan(kFrameHeaderBytes));
      if (ABSL_PREDICT_FALSE(!length.ok())) {
        segment_.Abort();
        if (!absl::IsResourceExhausted(length.status())) return length.status();
        full = room.size() < kFrameHeaderBytes + command_bytes_max();
        return BatchTooLong(count);
      }
      Seal(room, *length, now_ns, FrameKind::kCommand);
      segment_.Hold(kFrameHeaderBytes + *length);
    }
    return absl::OkStatus();
  }

  // The error of a call that could not be made, as that of a command of which nothing was done.
  static absl::Status NothingDone(const absl::Status& status);
  // Goes on in a new segment that takes such records (see NextSegmentBytes).
  absl::Status Roll(uint64_t longest = 0, uint64_t total = 0);
  // Tells that frames will lie in segment_.
  void EnterSegment();
  // Has the next segment prepared, once.
  void PrepareNext();
  absl::Status Fenced() const;
  absl::Status TooLong() const;
  absl::Status BatchTooLong(size_t count) const;

  ShmWriter segment_;
  ChainLink last_;
  Epoch epoch_;
  uint64_t prepare_at_;  // the write offset from which on the next segment is wanted
  const EpochStore* epochs_;
  JournalWriterOptions options_;
  SegmentNumber number_;
  uint32_t segment_bytes_max_;
  uint64_t record_bytes_max_;
  uint64_t closed_bytes_ = 0;  // of the reign's records in earlier segments
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_WRITER_H_
