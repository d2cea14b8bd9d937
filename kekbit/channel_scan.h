// ChannelScan walks over everything in a channel's data area, for tools and tests. It shows what
// ShmReader does not: heartbeats, the marker at the end, and what is no record at all.
//
//   auto scan = ChannelScan::OpenAt(path);
//   for (ChannelItem item = scan->Next();; item = scan->Next()) {
//     Show(item.offset, item.kind, item.payload);
//     if (item.is_last()) break;
//   }
//
// Thread safety: one thread at a time. A scan maps the file for reading only, takes no lock and
// writes nothing. So it may look at a channel that is being written.
// Lifetimes: a payload points into the mapping and is valid as long as the scan.
// Errors: each length is checked against what the file really has, by the same rules as
// ShmReader's. Damage is an item, not an error of the scan.

#ifndef KEKBIT_CHANNEL_SCAN_H_
#define KEKBIT_CHANNEL_SCAN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_file.h"

namespace kekbit {

enum class ChannelItemKind {
  kRecord,
  kHeartbeatRecord,  // a record without payload
  kWatermarkMarker,  // nothing further yet; at the end of the data area: nothing further fits
  kCloseMarker,      // the writer closed the channel
  kFileEnd,          // the file ends before the data area does
  kDamage,           // no length, where a length should be
};

// "record", "heartbeat", "watermark", "close", "end" or "damage".
absl::string_view ChannelItemKindName(ChannelItemKind kind);

struct ChannelItem {
  ChannelItemKind kind = ChannelItemKind::kWatermarkMarker;
  uint64_t offset = 0;  // in the data area
  Bytes payload = {};   // of a record
  // DataLoss with path, offset and what was found there: for kDamage and kFileEnd. OK for all else,
  // and for kFileEnd of a file that the Rust library made so short.
  absl::Status status = absl::OkStatus();

  // Returns true if nothing follows. Next() then gives the same item again, though a WATERMARK may
  // have become something else.
  bool is_last() const { return kind != ChannelItemKind::kRecord && kind != ChannelItemKind::kHeartbeatRecord; }
};

class ChannelScan final {
 public:
  // Opens the channel at `path`, at its first item. Errors as OpenChannelFile.
  static absl::StatusOr<ChannelScan> OpenAt(const std::string& path, FileSystem& fs = FileSystem::Posix());

  // `heartbeats` as ReaderOptions::heartbeats: if false, a length of zero is shown as a WATERMARK.
  explicit ChannelScan(ChannelFile channel, bool heartbeats = true);

  ChannelScan(ChannelScan&&) = default;
  ChannelScan& operator=(ChannelScan&&) = default;

  // Returns the item at position(). Moves past a record or a heartbeat, else stays.
  ChannelItem Next();

  // Returns the offset of the next item in the data area.
  uint64_t position() const { return at_; }

  // Returns true if the file is shorter than its creator made it. If CLOSE still stands in the
  // file, nothing is lost.
  bool is_cut() const;

  const ChannelFile& channel() const { return channel_; }
  const std::string& path() const { return channel_.file->path(); }

  // Returns true if a writer holds the channel's lock now; see ShmReader::WriterAlive.
  absl::StatusOr<bool> WriterAlive();

 private:
  ChannelItem LastItem(ChannelItemKind kind) const;
  ChannelItem EndItem() const;
  ChannelItem DamageItem(uint64_t word) const;

  ChannelFile channel_;
  const uint8_t* data_;
  uint64_t capacity_;    // of the data area, by the header
  uint64_t file_bytes_;  // of the data area and the footer, that the file has
  bool heartbeats_;
  uint64_t at_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_SCAN_H_
