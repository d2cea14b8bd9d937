// A frames object is an object of the archive: frames of a journal in a row, as they are. See
// archive_format.md.
//
//   FramesBuilder builder(incarnation, content, after);      // after: the link of the frame before
//   while (builder.raw_bytes() < limit) builder.Append(frame);
//   KB_ASSIGN_OR_RETURN(const FramesObject object, builder.Finish(compressor));
//   store.Put(object.entry.Name(incarnation), object.bytes);
//
//   KB_ASSIGN_OR_RETURN(FramesReader reader, FramesReader::Open(name, std::move(bytes)));
//   while (true) {
//     KB_ASSIGN_OR_RETURN(const std::optional<Bytes> record, reader.Next());   // fits the chain
//     if (!record) break;
//   }
//
// Checks: everything is behind checksums, and each frame fits the chain; so no byte of another
// history is taken. Sizes from the object are checked before memory is taken for them.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_ARCHIVE_FRAMES_OBJECT_H_
#define KEKBIT_REPLICATION_ARCHIVE_FRAMES_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/journal/frame.h"

namespace kekbit {

// The longest run of records that one object holds, unless a single record is longer.
inline constexpr uint64_t kFramesBytesMax = 8 << 20;
// A record takes at most 1/128 of a segment of 4 GiB; so a longer object is none.
inline constexpr uint64_t kFramesObjectBytesMax = 80 << 20;

struct FramesFileHeader {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t crc32c = 0;  // of the header's other bytes: 0 to 11, then 16 to the end
  uint64_t incarnation = 0;
  uint64_t after_epoch = 0;  // the frame that the first one follows; 0: none
  uint64_t after_seq = 0;
  int64_t after_time_ns = 0;
  uint32_t after_crc32c = 0;
  uint32_t last_crc32c = 0;
  uint64_t last_epoch = 0;
  uint64_t last_seq = 0;
  int64_t last_time_ns = 0;
  int64_t first_time_ns = 0;
  uint64_t raw_bytes = 0;        // of the records
  uint64_t stored_bytes = 0;     // that follow the header
  uint32_t stored_crc32c = 0;    // of these
  uint32_t compression = 0;      // 0: none, 1: zstd
  uint64_t data_format = 0;      // of the commands
  uint32_t counts_unsynced = 0;  // 1: FrameHeader::unsynced of the frames is valid
  uint32_t reserved = 0;
  char state_name[56] = {};  // of the state whose commands they are, padded with zeros; empty: not known
};
static_assert(std::is_trivially_copyable_v<FramesFileHeader> && sizeof(FramesFileHeader) == 184);
static_assert(offsetof(FramesFileHeader, incarnation) == 16 && offsetof(FramesFileHeader, after_crc32c) == 48);
static_assert(offsetof(FramesFileHeader, last_epoch) == 56 && offsetof(FramesFileHeader, raw_bytes) == 88);
static_assert(offsetof(FramesFileHeader, stored_crc32c) == 104 && offsetof(FramesFileHeader, state_name) == 128);

// FramesContent is what a segment says of its frames. All frames of an object have the same.
struct FramesContent {
  uint64_t data_format = 0;
  bool counts_unsynced = false;
  std::string state_name;  // empty: not known

  friend bool operator==(const FramesContent&, const FramesContent&) = default;
};

// FramesObject is an object's bytes, and what the manifest has to say of them.
struct FramesObject {
  FramesEntry entry;
  std::vector<uint8_t> bytes;
};

class FramesBuilder final {
 public:
  FramesBuilder(uint64_t incarnation, FramesContent content, const ChainLink& after)
      : incarnation_(incarnation), content_(std::move(content)), after_(after), last_(after) {}

  // Appends the next frame. InvalidArgument if it does not follow the one before;
  // ResourceExhausted if there is no memory.
  absl::Status Append(const Frame& frame);
  // Appends frames that stand one after the other in memory, each as in a segment: as NextBatch() of
  // a JournalReader, or of a FramesReader, gives them. REQUIRES: there is one.
  absl::Status AppendRun(absl::Span<const Frame> frames);

  bool empty() const { return last_.position.seq == after_.position.seq; }
  uint64_t raw_bytes() const { return buffer_.empty() ? 0 : buffer_.size() - sizeof(FramesFileHeader); }
  const FramesContent& content() const { return content_; }
  const ChainLink& after() const { return after_; }
  const ChainLink& last() const { return last_; }

  // Completes the object; `compressed`: by zstd, if that makes it smaller. REQUIRES: it is not
  // empty.
  absl::StatusOr<FramesObject> Finish(bool compressed) &&;

 private:
  // Makes sure that there is memory for so many more bytes of records, and room for the header.
  absl::Status Reserve(size_t bytes);
  // Notes frames that were appended.
  void Follow(const FrameHeader& first, const FrameHeader& last);

  uint64_t incarnation_;
  FramesContent content_;
  ChainLink after_;
  ChainLink last_;
  int64_t first_time_ns_ = 0;
  std::vector<uint8_t> buffer_;  // room for the header, then the records
};

class FramesReader final {
 public:
  // Checks all but the frames. `name` is for messages. DataLoss if the bytes are damaged;
  // FailedPrecondition for a newer version.
  static absl::StatusOr<FramesReader> Open(absl::string_view name, std::vector<uint8_t> object);

  // Reads the object that a manifest of the incarnation names. NotFound; DataLoss also if the object
  // is not what `entry` says; other errors: the store could not be asked.
  static absl::StatusOr<FramesReader> Get(ObjectStore& store, uint64_t incarnation, const FramesEntry& entry);

  uint64_t incarnation() const { return header_.incarnation; }
  const FramesContent& content() const { return content_; }
  // Returns what the manifest has to say of the object.
  const FramesEntry& entry() const { return entry_; }

  // The link of the last frame given: what the next one follows.
  const ChainLink& last() const { return last_; }

  // Returns the record of the next frame: its header and payload, with its length before it and
  // padding after it, as in a segment. Nullopt after the last. DataLoss if the frame does not follow
  // the one before, or if the last is not what the header says. Valid as long as the reader.
  absl::StatusOr<std::optional<Bytes>> Next();

 private:
  FramesReader(absl::string_view name, const FramesFileHeader& header) : name_(name), header_(header) {}

  absl::Status Damaged(absl::string_view what) const;

  std::string name_;
  FramesFileHeader header_;
  FramesContent content_;
  FramesEntry entry_;
  std::vector<uint8_t> records_;
  size_t at_ = 0;
  ChainLink last_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_FRAMES_OBJECT_H_
