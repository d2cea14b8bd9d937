#include "kekbit/shm_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {

absl::StatusOr<ShmWriter> ShmWriter::Create(absl::string_view root, const Header& header, WriterOptions options) {
  return CreateAt(ChannelPath(root, header.channel_id()), header, std::move(options));
}

absl::StatusOr<ShmWriter> ShmWriter::CreateAt(const std::string& path, const Header& header, WriterOptions options) {
  FileSystem& fs = *options.file_system;
  KB_RETURN_IF_ERROR(fs.CreateDirectories(DirectoryOf(path)));
  const Pages pages = options.flushes_often ? Pages::kApart : Pages::kJoined;
  KB_ASSIGN_OR_RETURN(PreparedChannelFile prepared, PrepareChannelFile(fs, path, header.capacity(), pages));
  return CreateFrom(std::move(prepared), path, header, std::move(options));
}

absl::StatusOr<ShmWriter> ShmWriter::CreateFrom(PreparedChannelFile prepared, const std::string& path,
                                                const Header& header, WriterOptions options) {
  FileSystem& fs = *options.file_system;
  // Name the channel last: a name that some reader may have seen is never taken back.
  WakeEvent wake = WakeEvent::Unshared();
  const bool own = options.wakes_readers && options.wake_path.empty();
  const std::string wake_path = own ? WakePath(path) : options.wake_path;
  if (options.wakes_readers) {
    absl::StatusOr<WakeEvent> shared = WakeEvent::OpenForWriter(fs, wake_path);
    if (!shared.ok() && own) fs.Unlink(wake_path).IgnoreError();
    KB_RETURN_IF_ERROR(shared.status());
    wake = *std::move(shared);
  }
  const uint64_t touched = prepared.touched_bytes;
  absl::StatusOr<ChannelFile> channel = NameChannelFile(std::move(prepared), path, header, options.extension);
  // If a channel was there already, the event belongs to that channel.
  if (!channel.ok() && own && !absl::IsAlreadyExists(channel.status())) fs.Unlink(wake_path).IgnoreError();
  KB_RETURN_IF_ERROR(channel.status());
  ShmWriter writer(*std::move(channel), path, std::move(wake), touched, std::move(options));
  if (writer.options_.first_heartbeat) KB_RETURN_IF_ERROR(writer.Heartbeat().status());
  return writer;
}

ShmWriter::ShmWriter(ChannelFile channel, const std::string& path, WakeEvent wake, uint64_t touched_bytes,
                     WriterOptions options)
    : head_(channel.mapping->data() + kDataOffset),
      easy_end_(head_),
      max_payload_(channel.header.max_msg_len()),
      wake_(std::move(wake)),
      data_(head_),
      header_(channel.header),
      path_(path),
      file_(std::move(channel.file)),
      mapping_(std::move(channel.mapping)),
      options_(std::move(options)) {
  options_.touch_ahead_bytes = std::min<uint64_t>(options_.touch_ahead_bytes, header_.capacity());
  if (options_.touch_ahead_bytes != 0 && options_.page_toucher == nullptr) {
    options_.page_toucher = &PageToucher::Shared();
  }
  touched_ = std::min<uint64_t>(touched_bytes - std::min(touched_bytes, kDataOffset), header_.capacity());
  // Enough may be ready: then the toucher's thread has nothing to do just now.
  if (touched_ < options_.touch_ahead_bytes / 2) TouchAhead();
  SetEasyEnd();
}

ShmWriter::ShmWriter(ShmWriter&& other) noexcept = default;

ShmWriter& ShmWriter::operator=(ShmWriter&& other) noexcept {
  if (this != &other) {
    this->~ShmWriter();
    new (this) ShmWriter(std::move(other));
  }
  return *this;
}

ShmWriter::~ShmWriter() {
  if (file_ == nullptr || mark_.in_child()) return;
  Close();
  if (options_.page_toucher != nullptr) options_.page_toucher->Forget(mapping_);
  // Nobody is left to take the error; callers that need to know call Flush() before.
  if (options_.flush_on_close) Flush().IgnoreError();
  if (options_.wakes_readers && options_.wake_path.empty()) {
    options_.file_system->Unlink(WakePath(path())).IgnoreError();
  }
}

absl::StatusOr<MutableBytes> ShmWriter::ClaimMost() {
  const uint64_t left = available();
  return Claim(std::min(max_payload_, left > kLengthBytes ? left - kLengthBytes : 1));
}

absl::StatusOr<uint64_t> ShmWriter::Heartbeat() {
  if (ABSL_PREDICT_FALSE(mark_.in_child())) return ForkMark::Error(path());
  KB_CHECK(claimed_ == 0 && !closed_);
  if (available() < kLengthBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path(), ": a heartbeat takes ", kLengthBytes, " bytes, ", available(), " are left"));
  }
  return Append(0);
}

absl::Status ShmWriter::Flush() {
  if (mark_.in_child()) return ForkMark::Error(path());
  KB_RETURN_IF_ERROR(mapping_->Sync(0, kDataOffset + write_offset() + kLengthBytes));
  if (!name_synced_) {
    KB_RETURN_IF_ERROR(options_.file_system->SyncDirectory(DirectoryOf(path())));
    name_synced_ = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ShmWriter::IsNamed() const {
  if (mark_.in_child()) return ForkMark::Error(path());
  return LeadsTo(*options_.file_system, path(), *file_);
}

absl::Status ShmWriter::ReserveSlowly(uint64_t size) {
  if (mark_.in_child()) return ForkMark::Error(path());
  KB_CHECK(!closed_);
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path(), ": an empty payload can't be told from a heartbeat"));
  }
  if (size > max_payload_) {
    return absl::InvalidArgumentError(
        absl::StrCat(path(), ": a payload of ", size, " bytes is longer than the longest allowed, ", max_payload_));
  }
  if (RecordBytes(size) > available()) {
    return absl::ResourceExhaustedError(absl::StrCat(path(), ": a payload of ", size, " bytes takes ",
                                                     RecordBytes(size), " bytes, ", available(), " are left"));
  }
  TouchAhead();
  SetEasyEnd();
  return absl::OkStatus();
}

// Requests whole windows of half the distance: the writer comes by once a window, with at least one
// window ready.
void ShmWriter::TouchAhead() {
  if (options_.touch_ahead_bytes == 0) return;
  const uint64_t goal = std::min<uint64_t>(write_offset() + options_.touch_ahead_bytes, header_.capacity());
  if (goal > touched_) {
    const uint64_t file_end = goal == header_.capacity() ? goal + kFooterBytes : goal;
    options_.page_toucher->Request(mapping_, kDataOffset + touched_, kDataOffset + file_end);
    touched_ = goal;
  }
}

void ShmWriter::SetEasyEnd() {
  if (options_.touch_ahead_bytes == 0 || touched_ == header_.capacity()) {
    easy_end_ = data_ + header_.capacity();
    return;
  }
  const uint64_t easy = std::max(write_offset() + RecordBytes(max_payload_), touched_ - options_.touch_ahead_bytes / 2);
  // The longest record may be longer than the distance, and than what is left.
  easy_end_ = data_ + std::min<uint64_t>(easy, header_.capacity());
}

void ShmWriter::Close() {
  if (mark_.in_child() || std::exchange(closed_, true)) return;
  claimed_ = 0;
  DropHeld();
  max_payload_ = 0;  // from now on everything ends in ReserveSlowly
  PublishWord(head_, kClose);
  wake_.Notify();
}

}  // namespace kekbit
