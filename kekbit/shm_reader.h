// ShmReader reads the records of one channel, in order, from its beginning or from any record on.
//
//   auto reader = ShmReader::Open(root, channel_id);
//   while (!reader->exhausted()) {
//     for (Bytes payload : *reader) Use(payload);   // all that there is now
//     ...                                           // wait: Backoff, RetryingReader, BlockingReader
//   }
//   if (!reader->status().ok()) ...                 // the channel is damaged
//
// Thread safety: one thread at a time. Readers are independent of each other and of the writer, in
// any number and any process. They map the channel for reading only, take no lock and write
// nothing.
// Publication: see ShmWriter. A payload points into the mapping, never changes, and is valid as
// long as the reader.
// Invariants:
//   (1) Whatever bytes the file holds, a reader returns records or ends with an error. Each length
//       is checked against what the file really has before use. Heartbeats are never shown.
//   (2) Once exhausted() is true it stays true, unless MoveTo() goes back.

#ifndef KEKBIT_SHM_READER_H_
#define KEKBIT_SHM_READER_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_format.h"
#include "kekbit/extension.h"
#include "kekbit/header.h"

namespace kekbit {

struct ReaderOptions {
  FileSystem* file_system = &FileSystem::Posix();  // outlives the reader
  // The format that the payloads must have; nullopt: any. A plain channel does not say, and is
  // taken.
  std::optional<uint64_t> data_format = std::nullopt;
  // How long to wait for the channel to be made.
  absl::Duration open_timeout = absl::ZeroDuration();
  // False in a journal, which has no heartbeats: a length of zero is then a place never written to.
  // Pages that never reached the disk read as zeros. The reader waits there as at a WATERMARK.
  bool heartbeats = true;
};

// ChannelEnd says why a channel has no more to give.
enum class ChannelEnd {
  kNone,     // more may come: the next length is a WATERMARK
  kClosed,   // its writer closed it
  kFull,     // no further record fits
  kFileEnd,  // the file ends before the data area does: it was cut
  kDamaged,  // no length, where a length should be
};

class ShmReader final {
 public:
  // Opens a channel below `root` (see ChannelPath), or at `path`, at its first record. NotFound if
  // there is none. FailedPrecondition if its version or data format is another. DataLoss if the
  // file is no channel.
  static absl::StatusOr<ShmReader> Open(absl::string_view root, uint64_t channel_id, const ReaderOptions& options = {});
  static absl::StatusOr<ShmReader> OpenAt(const std::string& path, const ReaderOptions& options = {});

  // Opens a channel that this process, as its writer, has mapped already: both then use one
  // mapping.
  static absl::StatusOr<ShmReader> OpenShared(const std::string& path, std::shared_ptr<MappedFile> mapping,
                                              const ReaderOptions& options = {});

  ShmReader(ShmReader&&) = default;
  ShmReader& operator=(ShmReader&&) = default;

  // Returns the payload of the next record, or nullopt: none is published yet, or none ever will be
  // (exhausted()).
  std::optional<Bytes> TryRead() {
    const uint8_t* at = at_;
    while (ABSL_PREDICT_TRUE(at < lengths_end_)) {
      const uint64_t length = AcquireWord(at);
      if (ABSL_PREDICT_TRUE(length - 1 < max_payload_)) {
        const uint64_t size = RecordBytes(length);
        if (ABSL_PREDICT_FALSE(size > static_cast<uint64_t>(records_end_ - at))) break;
        at_ = at + size;
        return Bytes(at + kLengthBytes, length);
      }
      if (length == unwritten_[0] || length == unwritten_[1]) {
        if (at >= capacity_end_) break;
        at_ = at;
        return std::nullopt;
      }
      if (length != kHeartbeat || at >= capacity_end_) break;
      at += kLengthBytes;
    }
    at_ = at;
    end_ = FindEnd();
    return std::nullopt;
  }

  // Calls `handler(Bytes payload)` for up to `count` published records. Returns by how many bytes
  // of the channel the reader moved, heartbeats included.
  template <typename Handler>
  uint64_t Read(Handler&& handler, uint64_t count) {
    const uint8_t* const from = at_;
    for (; count > 0; --count) {
      const std::optional<Bytes> payload = TryRead();
      if (!payload) break;
      handler(*payload);
    }
    return static_cast<uint64_t>(at_ - from);
  }

  // Iterates over what is published now; when it ends, more may come unless exhausted().
  class Iterator {
   public:
    using value_type = Bytes;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    explicit Iterator(ShmReader* reader) : reader_(reader), payload_(reader->TryRead()) {}
    const Bytes& operator*() const { return *payload_; }
    Iterator& operator++() {
      payload_ = reader_->TryRead();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& iterator, std::default_sentinel_t) { return !iterator.payload_; }

   private:
    ShmReader* reader_;
    std::optional<Bytes> payload_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() { return std::default_sentinel; }

  // Returns the offset in the data area of the next record or heartbeat, published or not.
  uint64_t position() const { return static_cast<uint64_t>(at_ - data_); }

  // Moves to a place that position() once returned, in this or another reader. Walks over the
  // records in between to check the place. InvalidArgument if the place is inside a record.
  // OutOfRange if nothing is published there yet, unless the records end there. After an error the
  // reader stays where it was.
  absl::Status MoveTo(uint64_t position);

  // Moves to a place that position() returned, without the walk. Nothing is read that does not fit
  // into the file, but only the caller can tell whether a record stands there. InvalidArgument if
  // no record can begin there.
  absl::Status JumpTo(uint64_t position);

  // Returns true if no record will ever come again; channel_end() says why.
  bool exhausted() const { return end_ != ChannelEnd::kNone; }
  ChannelEnd channel_end() const { return end_; }
  // OK as long as the channel is, also when its writer has closed it. DataLoss with path, offset
  // and what was found there, when the channel is damaged or cut.
  absl::Status status() const;

  // Returns true if a writer holds the channel's lock now. False is final: a channel is never
  // written again. What was published before is still to be read. FailedPrecondition for a plain
  // channel: the Rust library holds no lock.
  absl::StatusOr<bool> WriterAlive();

  const Header& header() const { return channel_.header; }
  // Returns nullopt for a plain channel.
  const std::optional<Extension>& extension() const { return channel_.extension; }
  const std::string& path() const { return channel_.file->path(); }

 private:
  ShmReader(ChannelFile channel, const ReaderOptions& options);

  // Returns why the reader can't go on at at_.
  ChannelEnd FindEnd() const;

  // The hot path's fields: one cache line.
  const uint8_t* at_;            // the next length
  const uint8_t* lengths_end_;   // a length word may begin before this
  const uint8_t* records_end_;   // a record ends at this at the latest
  const uint8_t* capacity_end_;  // where the footer begins
  uint64_t max_payload_;
  uint64_t unwritten_[2];  // words that stand where nothing is written yet
  const uint8_t* data_;
  ChannelEnd end_ = ChannelEnd::kNone;

  ChannelFile channel_;
};

}  // namespace kekbit

#endif  // KEKBIT_SHM_READER_H_
