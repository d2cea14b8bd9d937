// SnapshotCompressor and SnapshotDecompressor: a snapshot's chunks by zstd, each for itself.
//
// A compressed chunk is one zstd frame that names its size and has a checksum of its own: so what comes out of it is
// what went in, not only what zstd made of it.
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
  // `room` bytes are kept free before what Compress() returns. InvalidArgument for a level that zstd does not have.
  static absl::StatusOr<std::unique_ptr<SnapshotCompressor>> Make(int level, size_t chunk_bytes, size_t room);

  SnapshotCompressor(const SnapshotCompressor&) = delete;
  SnapshotCompressor& operator=(const SnapshotCompressor&) = delete;
  ~SnapshotCompressor();

  // The compressed bytes, valid until the next call; none if they are not fewer than the raw ones.
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

  // Fills exactly all of `raw`. DataLoss if that is not what the bytes hold.
  absl::Status Decompress(Bytes compressed, MutableBytes raw);

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_COMPRESSOR_H_
