// SnapshotScan goes through a snapshot's file, chunk by chunk, and checks each: what reading and
// verifying share.
//
//   KB_ASSIGN_OR_RETURN(SnapshotScan scan, SnapshotScan::Open(*file));
//   while (true) {
//     KB_ASSIGN_OR_RETURN(const std::optional<SnapshotScan::Chunk> chunk, scan.Next());
//     if (!chunk) break;      // the trailer is there, and all of the file fits
//   }
//
// Memory: one chunk.
// Errors: DataLoss with path, offset and both numbers; FailedPrecondition for a newer version; what
// the file system says.
//
// Thread safety: one thread at a time. The file outlives the scan.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_SCAN_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_SCAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/snapshot/snapshot_format.h"

namespace kekbit {

class SnapshotScan final {
 public:
  struct Chunk {
    Bytes payload;  // as in the file; valid until the next call
    uint32_t raw_bytes = 0;
    bool compressed() const { return payload.size() != raw_bytes; }
  };

  // Reads and checks the header, and looks whether the file ends as a whole snapshot does.
  static absl::StatusOr<SnapshotScan> Open(File& file);
  // Opens a file that is being written: it has its header, but no end yet.
  static absl::StatusOr<SnapshotScan> OpenUnfinished(File& file);

  const SnapshotHeader& header() const { return header_; }
  // Returns the trailer's word. Next() checks the trailer when it gets there.
  uint64_t claimed_raw_bytes() const { return trailer_.raw_bytes; }

  // Returns the next chunk, whose checksum holds; nullopt once all of the file is read and fits its
  // trailer.
  absl::StatusOr<std::optional<Chunk>> Next();

  // Returns where the next chunk begins in the file, and how many chunks and bytes of the state
  // stand before.
  uint64_t offset() const { return offset_; }
  uint64_t chunks() const { return chunks_; }
  uint64_t raw_bytes() const { return raw_bytes_; }
  // Returns the offset beyond which the next chunk can't reach.
  uint64_t next_end_max() const { return offset_ + sizeof(SnapshotChunk) + header_.chunk_bytes; }
  // Returns the size of the file when it was opened.
  uint64_t file_bytes() const { return file_bytes_; }

 private:
  explicit SnapshotScan(File& file) : file_(&file) {}

  absl::Status ReadHeader();
  absl::Status ReadTrailer();
  absl::Status CheckTrailer(const SnapshotChunk& chunk);
  // Reads all of `to`; DataLoss if the file ends before.
  absl::Status ReadAt(uint64_t offset, MutableBytes to, absl::string_view what);
  absl::Status Damaged(absl::string_view what) const;

  File* file_;
  SnapshotHeader header_;
  SnapshotTrailer trailer_;
  uint64_t file_bytes_ = 0;
  uint64_t offset_ = 0;
  uint64_t chunks_ = 0;
  uint64_t raw_bytes_ = 0;
  uint32_t crc32c_ = 0;  // of the last chunk, or of the header
  std::vector<uint8_t> payload_;
};

// Reads all of a snapshot and checks it, without decompressing. Returns its header.
absl::StatusOr<SnapshotHeader> VerifySnapshot(File& file);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_SCAN_H_
