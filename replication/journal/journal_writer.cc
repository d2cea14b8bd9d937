#include "kekbit/replication/journal/journal_writer.h"

#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/replication/journal/segment_size.h"

namespace kekbit {

absl::StatusOr<ShmWriter> JournalWriter::CreateSegment(const JournalWriterOptions& options, Epoch epoch,
                                                       const ChainLink& tail, SegmentNumber number, uint32_t capacity) {
  KB_ASSIGN_OR_RETURN(
      const Header header,
      Header::Make({.writer_id = epoch, .channel_id = number, .capacity = capacity, .max_msg_len = capacity}));
  WriterOptions writer;
  writer.file_system = options.file_system;
  writer.extension = SegmentExtension(options.data_format, tail, options.state_name);
  writer.first_heartbeat = false;
  writer.wake_path = options.layout.wake();
  writer.flush_on_close = false;
  writer.flushes_often = options.synced;
  writer.touch_ahead_bytes = kSegmentTouchBytes;
  if (options.preparer != nullptr) {
    std::optional<PreparedChannelFile> prepared = options.preparer->Take(header.capacity());
    if (prepared) {
      return ShmWriter::CreateFrom(*std::move(prepared), options.layout.segment(number), header, std::move(writer));
    }
  }
  return ShmWriter::Create(options.layout.segments(), header, std::move(writer));
}

absl::StatusOr<JournalWriter> JournalWriter::Begin(JournalWriterOptions options, const EpochStore& epochs, Epoch epoch,
                                                   const ChainLink& tail, SegmentNumber segment, int64_t now_ns) {
  KB_CHECK(segment != 0);  // segments are numbered from 1
  // Make the directory only here: a roll that finds its directory gone must not make another.
  KB_RETURN_IF_ERROR(options.file_system->CreateDirectories(DirectoryOf(options.layout.segment(segment))));
  KB_ASSIGN_OR_RETURN(const Header longest,
                      Header::Make({.capacity = options.segment_bytes, .max_msg_len = options.segment_bytes}));
  KB_ASSIGN_OR_RETURN(ShmWriter channel,
                      CreateSegment(options, epoch, tail, segment, FirstSegmentBytes(longest.capacity())));
  JournalWriter writer(std::move(options), epochs, epoch, tail, segment, longest, std::move(channel));
  const EpochStart start = {.follows_epoch = tail.position.epoch,
                            .follows_seq = tail.position.seq,
                            .follows_crc32c = tail.crc32c,
                            .reserved = 0};
  KB_ASSIGN_OR_RETURN(const MutableBytes room, writer.segment_.Claim(kFrameHeaderBytes + sizeof start));
  StoreUnaligned(room.data() + kFrameHeaderBytes, start);
  KB_RETURN_IF_ERROR(writer.Publish(room, sizeof start, now_ns, FrameKind::kEpochStart).status());
  // (2), by which readers find the epoch.
  KB_CHECK(writer.last_.position == (Position{.epoch = epoch, .seq = tail.position.seq + 1}));
  return writer;
}

absl::Status JournalWriter::NothingDone(const absl::Status& status) {
  return IsTransient(status) ? absl::ResourceExhaustedError(status.message()) : status;
}

absl::Status JournalWriter::Roll(uint64_t longest, uint64_t total) {
  // By then the directory may be another's, or gone: nothing of this journal belongs there.
  const absl::StatusOr<bool> named = epochs_->IsNamed(*options_.file_system);
  if (!named.ok()) return NothingDone(named.status());
  if (!*named) {
    return absl::AbortedError(
        absl::StrCat(options_.layout.directory(), ": the journal was moved, replaced or deleted"));
  }
  const uint32_t capacity = NextSegmentBytes(segment_.header().capacity(), segment_bytes_max_, longest, total);
  KB_CHECK(segment_.header().capacity() <= capacity && capacity <= segment_bytes_max_);
  absl::StatusOr<ShmWriter> next = CreateSegment(options_, epoch_, last_, number_ + 1, capacity);
  if (!next.ok()) return NothingDone(next.status());
  closed_bytes_ += segment_.write_offset();
  segment_.Close();
  std::swap(segment_, *next);
  ++number_;
  // Frames go on in the next segment, from its beginning: a reader looks nowhere else.
  KB_CHECK(segment_.header().channel_id() == number_ && segment_.write_offset() == 0);
  EnterSegment();
  if (options_.preparer != nullptr) options_.preparer->Retire(*std::move(next));
  return absl::OkStatus();
}

void JournalWriter::EnterSegment() {
  prepare_at_ = segment_.header().capacity() / 2;
  if (options_.commit != nullptr) options_.commit->AddSegment(number_, segment_.mapping());
}

void JournalWriter::PrepareNext() {
  prepare_at_ = segment_.header().capacity();
  if (options_.preparer == nullptr) return;
  options_.preparer->Prepare(NextSegmentBytes(segment_.header().capacity(), segment_bytes_max_));
}

absl::Status JournalWriter::Fenced() const {
  return absl::AbortedError(absl::StrCat(options_.layout.directory(), ": epoch ", epoch_,
                                         " is over, the journal is in epoch ", epochs_->current()));
}

absl::Status JournalWriter::TooLong() const {
  return absl::ResourceExhaustedError(absl::StrCat(options_.layout.directory(), ": the command is longer than ",
                                                   command_bytes_max(), " bytes, the most that a segment of ",
                                                   options_.segment_bytes, " bytes takes"));
}

absl::Status JournalWriter::BatchTooLong(size_t count) const {
  return absl::ResourceExhaustedError(
      absl::StrCat(options_.layout.directory(), ": a batch of ", count, " commands does not fit into one segment of ",
                   options_.segment_bytes, " bytes, or one of them takes more than ", command_bytes_max()));
}

}  // namespace kekbit
