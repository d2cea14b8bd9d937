// ShmWriter appends records to one channel, and is that channel's only writer.
//
//   auto header = Header::Make({.writer_id = 1850, .channel_id = 42});
//   auto writer = ShmWriter::Create(root, *header);
//   writer->Write(AsBytes("10 kinds of people"));   // copied into the mapping; readers see it at once
//   auto claim = writer->Claim(100);                // or: room for at most 100 bytes in the mapping,
//   size_t used = Encode(message, *claim);          //     encode into it,
//   writer->Publish(used);                          //     and let readers see it
//
// Thread safety: one thread at a time (SharedWriter lets several share a writer). Any number of
// ShmReaders, in any process, read meanwhile. Readers never wait for the writer, nor the writer for
// them.
//   In a forked child every call is FailedPrecondition, or ends the process with a message where
//   the call returns no status. The destructor then does nothing.
// Publication: a record is a length word and a payload. The writer stores the payload, a WATERMARK
// where the next length will stand, and last the length. So a reader that sees the length sees all
// of the record. Published bytes never change.
// Durability: published records survive the death of this process at any instruction, not that of
// the machine. Flush() returns once everything published is on stable storage.
// Invariants:
//   (1) write_offset() is a multiple of 8, never goes back and never exceeds the capacity.
//   (2) The word at write_offset() is WATERMARK while the writer lives, and CLOSE after its
//       destructor. While records are held, the word of the first of them is WATERMARK, too.
//   (3) The file's lock is held from before the file has its name until after CLOSE.

#ifndef KEKBIT_SHM_WRITER_H_
#define KEKBIT_SHM_WRITER_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_format.h"
#include "kekbit/extension.h"
#include "kekbit/header.h"
#include "kekbit/page_toucher.h"
#include "kekbit/wake_event.h"

namespace kekbit {

struct WriterOptions {
  // Outlives the writer. The channel is for this user alone. FileSystem::Posix(GroupAccess::kRead)
  // lets the group of the directory read it; readers that sleep, and those of the Rust library,
  // which open a channel for writing, need GroupAccess::kReadWrite.
  FileSystem* file_system = &FileSystem::Posix();
  // The format of the payloads, and what else the channel says of itself: see ShmReader::extension.
  Extension extension = {};
  // Whether a heartbeat stands first, as by the Rust library 0.2.x. A journal has none: there, a
  // zero is the end.
  bool first_heartbeat = true;
  // Whether readers may sleep until woken: makes a second, small file (see WakePath), deleted when
  // the channel is closed.
  bool wakes_readers = true;
  // The file of the event by which readers are woken, if several channels share the event; it is
  // then not deleted. Empty: the channel's own.
  std::string wake_path = {};
  // Pages are touched this far ahead of the writer, on a thread of their own (see PageToucher). 0:
  // never.
  uint64_t touch_ahead_bytes = 32u << 20;
  // Whether closing waits until everything is on stable storage. If false, the kernel writes when
  // it finds the time.
  bool flush_on_close = true;
  // Whether Flush() will be called again and again, for a few records each. Then the disk writes no
  // more than the pages that these take, but the page faults that the toucher takes are dearer.
  bool flushes_often = false;
  PageToucher* page_toucher = nullptr;  // PageToucher::Shared() unless set; outlives the writer
};

class ShmWriter final {
 public:
  // Makes a new channel in its place below `root` (see ChannelPath), or at `path`, with the
  // directories. For errors see PrepareChannelFile and NameChannelFile.
  static absl::StatusOr<ShmWriter> Create(absl::string_view root, const Header& header, WriterOptions options = {});
  static absl::StatusOr<ShmWriter> CreateAt(const std::string& path, const Header& header, WriterOptions options = {});
  // Makes a channel from a prepared file, in a directory that exists. Nothing that takes long is
  // left to do (see PrepareChannelFile).
  static absl::StatusOr<ShmWriter> CreateFrom(PreparedChannelFile prepared, const std::string& path,
                                              const Header& header, WriterOptions options = {});

  ShmWriter(ShmWriter&& other) noexcept;
  ShmWriter& operator=(ShmWriter&& other) noexcept;
  ShmWriter(const ShmWriter&) = delete;
  ShmWriter& operator=(const ShmWriter&) = delete;
  // Closes the channel, flushes, unmaps, releases the lock.
  ~ShmWriter();

  // Puts CLOSE after the last record: readers know that nothing follows. The destructor does so,
  // too; this is for callers that let the rest, which takes longer, wait. Only the destructor may
  // be called after this.
  void Close();

  // Appends a record with a copy of `payload`; returns how many bytes of the channel the record
  // took. After an error nothing is published, and a shorter payload may still fit.
  // InvalidArgument: empty, or longer than header().max_msg_len(). ResourceExhausted: longer than
  // what is left. REQUIRES: no claim is open.
  absl::StatusOr<uint64_t> Write(Bytes payload) {
    if (absl::Status status = Reserve(payload.size()); ABSL_PREDICT_FALSE(!status.ok())) return status;
    std::memcpy(head_ + kLengthBytes, payload.data(), payload.size());
    return Append(payload.size());
  }

  // Gives room for a payload of up to `size` bytes inside the mapping, valid until Publish() or
  // Abort(). The bytes are unspecified. Errors as for Write(). REQUIRES: no claim is open.
  absl::StatusOr<MutableBytes> Claim(uint64_t size) {
    if (absl::Status status = Reserve(size); ABSL_PREDICT_FALSE(!status.ok())) return status;
    claimed_ = size;
    return MutableBytes(head_ + kLengthBytes, size);
  }

  // Gives all the room that the next payload may have: the longest allowed, or less if less is
  // left. Like Claim() of that size; ResourceExhausted if no payload fits any more.
  absl::StatusOr<MutableBytes> ClaimMost();

  // Appends a record whose payload is the first `used` bytes of the open claim. Returns how many
  // bytes of the channel the record took. REQUIRES: a claim is open; 1 <= used <= its size.
  uint64_t Publish(uint64_t used) {
    KB_CHECK(used - 1 < (claimed_ & mark_.mask()));
    claimed_ = 0;
    return Append(used);
  }

  // Appends like Publish(), but readers see the record only with Release(). Several records, held
  // in succession, are published as one. Meanwhile nothing else may be published.
  void Hold(uint64_t used) {
    KB_CHECK(used - 1 < (claimed_ & mark_.mask()));
    claimed_ = 0;
    const uint64_t size = RecordBytes(used);
    PrepareWord(head_ + size, kWatermark);
    if (held_.record == nullptr) {
      held_ = {.record = head_, .length = used};
    } else {
      PrepareWord(head_, used);  // readers don't get past the first one
    }
    head_ += size;
  }
  // Publishes the records that are held. REQUIRES: at least one is held; no claim is open.
  void Release() {
    KB_CHECK(held_.record != nullptr && claimed_ == 0 && !mark_.in_child());
    PublishWord(std::exchange(held_.record, nullptr), held_.length);
    wake_.Notify();
  }
  // Takes back the records that are held, if any: they were never published. REQUIRES: no claim is
  // open.
  void DropHeld() {
    KB_CHECK(claimed_ == 0);
    if (held_.record != nullptr) head_ = std::exchange(held_.record, nullptr);
  }

  // Gives the open claim back; nothing was published. REQUIRES: a claim is open.
  void Abort() {
    KB_CHECK(claimed_ != 0);
    claimed_ = 0;
  }

  // Appends a record without payload: a sign of life that readers never show. ResourceExhausted if
  // the channel is full. REQUIRES: no claim is open.
  absl::StatusOr<uint64_t> Heartbeat();

  // Returns once everything published so far, and the channel's name, is on stable storage. An
  // error is final: nobody can know what reached the disk, and a second try may claim success
  // wrongly.
  absl::Status Flush();

  // Returns true if the path still leads to this channel: false if somebody moved, replaced or
  // deleted its file.
  absl::StatusOr<bool> IsNamed() const;

  // Returns the bytes of the data area not yet used. A record takes RecordBytes(its payload's
  // length) of them.
  uint64_t available() const { return header_.capacity() - write_offset(); }
  // Returns the offset of the next record in the data area.
  uint64_t write_offset() const { return static_cast<uint64_t>(head_ - data_); }
  const Header& header() const { return header_; }
  // Returns the id of the payloads' format.
  uint64_t data_format() const { return options_.extension.data_format; }
  const std::string& path() const { return path_; }

  // Returns the mapping, for a reader of the same process that shares it (see
  // ShmReader::OpenShared).
  const std::shared_ptr<MappedFile>& mapping() const { return mapping_; }

 private:
  // The first record that is held back; null: none.
  struct Held {
    uint8_t* record = nullptr;
    uint64_t length = 0;  // of its payload
  };

  // `touched_bytes`: see PreparedChannelFile.
  ShmWriter(ChannelFile channel, const std::string& path, WakeEvent wake, uint64_t touched_bytes,
            WriterOptions options);

  // Returns OK if a payload of `size` bytes may be written now. Two comparisons tell in most cases:
  // before easy_end_ there is neither the end of the channel nor an untouched page. In a forked
  // child no payload is short enough.
  absl::Status Reserve(uint64_t size) {
    KB_CHECK(claimed_ == 0);
    // Signed: a heartbeat may have gone beyond easy_end_.
    const bool fits =
        size - 1 < (max_payload_ & mark_.mask()) && static_cast<int64_t>(RecordBytes(size)) <= easy_end_ - head_;
    if (ABSL_PREDICT_TRUE(fits)) return absl::OkStatus();
    return ReserveSlowly(size);
  }
  absl::Status ReserveSlowly(uint64_t size);

  // Publishes the record at head_, whose payload of `length` bytes is in its place.
  uint64_t Append(uint64_t length) {
    const uint64_t size = RecordBytes(length);
    PrepareWord(head_ + size, kWatermark);
    PublishWord(head_, length);
    head_ += size;
    wake_.Notify();
    return size;
  }

  void TouchAhead();
  void SetEasyEnd();

  // The hot path's fields first: one cache line.
  uint8_t* head_;            // where the next record will stand
  const uint8_t* easy_end_;  // see Reserve
  uint64_t max_payload_;
  uint64_t claimed_ = 0;  // size of the open claim; 0: none
  WakeEvent wake_;

  ForkMark mark_;
  Held held_;
  uint8_t* data_;
  uint64_t touched_ = 0;  // requested from the toucher, as an offset in the data area
  Header header_;
  std::string path_;
  std::unique_ptr<File> file_;  // null: moved from
  std::shared_ptr<MappedFile> mapping_;
  WriterOptions options_;
  bool name_synced_ = false;
  bool closed_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_SHM_WRITER_H_
