// SnapshotCompressor and SnapshotDecompressor compress a snapshot's chunks by zstd, each chunk
// alone.
//
// A compressed chunk is one zstd frame that names its size and has a checksum of its own. So what
// comes out is what went in, not only what zstd made of it.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_COMPRESSOR_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_COMPRESSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

class SnapshotCompressor final {
 public:
  // `room` bytes are kept free before what Compress() returns. InvalidArgument for a level that
  // zstd does not have.
  static absl::StatusOr<std::unique_ptr<SnapshotCompressor>> Make(int level, size_t chunk_bytes, size_t room);

  SnapshotCompressor(const SnapshotCompressor&) = delete;
  SnapshotCompressor& operator=(const SnapshotCompressor&) = delete;
  ~SnapshotCompressor();

  // Returns the compressed bytes, valid until the next call; empty if they are not fewer than the
  // raw bytes.
  MutableBytes Compress(Bytes raw);

 private:
  struct Context;
  SnapshotCompressor(std::unique_ptr<Context> context, size_t room);

  const std::unique_ptr<Context> context_;
  const size_t room_;
  std::vector<uint8_t> buffer_;
};

class SnapshotDecompressor final {
 public:
  SnapshotDecompressor();
  SnapshotDecompressor(const SnapshotDecompressor&) = delete;
  SnapshotDecompressor& operator=(const SnapshotDecompressor&) = delete;
  ~SnapshotDecompressor();

  // Fills exactly all of `raw`. DataLoss if the bytes do not hold that.
  absl::Status Decompress(Bytes compressed, MutableBytes raw);

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_COMPRESSOR_H_
