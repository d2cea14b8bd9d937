#include "kekbit/replication/snapshot/snapshot_compressor.h"

#include <zstd.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

struct SnapshotCompressor::Context {
  ZSTD_CCtx* const zstd = ZSTD_createCCtx();
  ~Context() { ZSTD_freeCCtx(zstd); }
};

absl::StatusOr<std::unique_ptr<SnapshotCompressor>> SnapshotCompressor::Make(int level, size_t chunk_bytes,
                                                                             size_t room) {
  if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) {
    return absl::InvalidArgumentError(
        absl::StrCat("zstd's levels are ", ZSTD_minCLevel(), " to ", ZSTD_maxCLevel(), ", not ", level));
  }
  auto context = std::make_unique<Context>();
  if (context->zstd == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
  ZSTD_CCtx_setParameter(context->zstd, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context->zstd, ZSTD_c_checksumFlag, 1);
  auto compressor = absl::WrapUnique(new SnapshotCompressor(std::move(context), room));
  absl::Status resized = ResizeBuffer(compressor->buffer_, room + ZSTD_compressBound(chunk_bytes), "zstd");
  if (!resized.ok()) return resized;
  return compressor;
}

SnapshotCompressor::SnapshotCompressor(std::unique_ptr<Context> context, size_t room)
    : context_(std::move(context)), room_(room) {}

SnapshotCompressor::~SnapshotCompressor() = default;

MutableBytes SnapshotCompressor::Compress(Bytes raw) {
  const MutableBytes to = MutableBytes(buffer_).subspan(room_);
  const size_t size = ZSTD_compress2(context_->zstd, to.data(), to.size(), raw.data(), raw.size());
  if (ZSTD_isError(size) != 0 || size >= raw.size()) return {};
  return to.first(size);
}

struct SnapshotDecompressor::Context {
  ZSTD_DCtx* const zstd = ZSTD_createDCtx();
  ~Context() { ZSTD_freeDCtx(zstd); }
};

SnapshotDecompressor::SnapshotDecompressor() : context_(std::make_unique<Context>()) {}

SnapshotDecompressor::~SnapshotDecompressor() = default;

absl::Status SnapshotDecompressor::Decompress(Bytes compressed, MutableBytes raw) {
  if (context_->zstd == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
  const size_t size = ZSTD_decompressDCtx(context_->zstd, raw.data(), raw.size(), compressed.data(), compressed.size());
  if (ZSTD_isError(size) != 0) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(size)));
  if (size == raw.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("zstd: decompresses to ", size, " bytes, not ", raw.size()));
}

}  // namespace kekbit
