#include "kekbit/replication/snapshot/snapshot_scan.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

template <typename T>
MutableBytes MutableBytesOf(T& value) {
  return MutableBytes(reinterpret_cast<uint8_t*>(&value), sizeof value);
}

absl::Status At(absl::string_view path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<SnapshotScan> SnapshotScan::Open(File& file) {
  SnapshotScan scan(file);
  KB_ASSIGN_OR_RETURN(const FileInfo info, file.Info());
  scan.file_bytes_ = info.size;
  KB_RETURN_IF_ERROR(scan.ReadHeader());
  KB_RETURN_IF_ERROR(scan.ReadTrailer());
  return scan;
}

absl::StatusOr<SnapshotScan> SnapshotScan::OpenUnfinished(File& file) {
  SnapshotScan scan(file);
  KB_RETURN_IF_ERROR(scan.ReadHeader());
  return scan;
}

absl::Status SnapshotScan::ReadHeader() {
  SnapshotFileHeader header;
  KB_RETURN_IF_ERROR(ReadAt(0, MutableBytesOf(header), "the header"));
  const absl::StatusOr<SnapshotHeader> parsed = FromFile(header);
  if (!parsed.ok()) return At(file_->path(), parsed.status());
  header_ = *parsed;
  crc32c_ = header.crc32c;
  offset_ = kSnapshotHeaderBytes;
  return absl::OkStatus();
}

absl::Status SnapshotScan::ReadTrailer() {
  if (file_bytes_ < kSnapshotHeaderBytes + kSnapshotTrailerBytes) {
    return Damaged(absl::StrCat("the file has ", file_bytes_, " bytes, header and trailer take ",
                                kSnapshotHeaderBytes + kSnapshotTrailerBytes));
  }
  KB_RETURN_IF_ERROR(ReadAt(file_bytes_ - kSnapshotTrailerBytes, MutableBytesOf(trailer_), "the trailer"));
  if (trailer_.magic != kSnapshotTrailerMagic || trailer_.file_bytes != file_bytes_) {
    return absl::DataLossError(absl::StrFormat(
        "%s: damaged at offset %d: the file of %d bytes ends with 0x%016x, not 0x%016x, and %d bytes: it was cut",
        file_->path(), file_bytes_ - kSnapshotTrailerBytes, file_bytes_, trailer_.magic, kSnapshotTrailerMagic,
        trailer_.file_bytes));
  }
  // Check before trusting how long the state is: each chunk takes room in the file, and holds so
  // much and no more.
  const uint64_t room = file_bytes_ - kSnapshotHeaderBytes - kSnapshotTrailerBytes;
  const bool plausible = trailer_.chunks <= room / sizeof(SnapshotChunk) &&
                         trailer_.raw_bytes <= trailer_.chunks * header_.chunk_bytes &&
                         (header_.compression != SnapshotCompression::kNone ||
                          trailer_.raw_bytes == room - trailer_.chunks * sizeof(SnapshotChunk));
  if (!plausible) {
    return absl::DataLossError(
        absl::StrCat(file_->path(), ": damaged at offset ", file_bytes_ - kSnapshotTrailerBytes, ": the trailer names ",
                     trailer_.chunks, " chunks of up to ", header_.chunk_bytes, " bytes with ", trailer_.raw_bytes,
                     " bytes of the state, which the ", room, " bytes of chunks in the file can't hold"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SnapshotScan::Chunk>> SnapshotScan::Next() {
  SnapshotChunk chunk;
  KB_RETURN_IF_ERROR(ReadAt(offset_, MutableBytesOf(chunk), "a chunk's header"));
  if (chunk.bytes == 0) {
    KB_RETURN_IF_ERROR(CheckTrailer(chunk));
    return std::nullopt;
  }
  if (chunk.raw_bytes > header_.chunk_bytes || chunk.bytes > chunk.raw_bytes) {
    return Damaged(absl::StrCat("chunk ", chunks_ + 1, " has ", chunk.bytes, " bytes for ", chunk.raw_bytes,
                                " of the state, chunks have up to ", header_.chunk_bytes));
  }
  KB_RETURN_IF_ERROR(ResizeBuffer(payload_, header_.chunk_bytes, file_->path()));
  const MutableBytes payload = MutableBytes(payload_).first(chunk.bytes);
  KB_RETURN_IF_ERROR(ReadAt(offset_ + sizeof chunk, payload, "a chunk"));
  if (const uint32_t crc = ChunkChecksum(crc32c_, chunk, payload); crc != chunk.crc32c) {
    return Damaged(absl::StrFormat("chunk %d has the checksum 0x%08x, not 0x%08x", chunks_ + 1, crc, chunk.crc32c));
  }
  if (chunk.bytes != chunk.raw_bytes && header_.compression == SnapshotCompression::kNone) {
    return Damaged(absl::StrCat("chunk ", chunks_ + 1, " has ", chunk.bytes, " bytes for ", chunk.raw_bytes,
                                " of the state, though nothing is compressed"));
  }
  crc32c_ = chunk.crc32c;
  offset_ += sizeof chunk + chunk.bytes;
  chunks_ += 1;
  raw_bytes_ += chunk.raw_bytes;
  return Chunk{.payload = payload, .raw_bytes = chunk.raw_bytes};
}

absl::Status SnapshotScan::CheckTrailer(const SnapshotChunk& chunk) {
  KB_ASSIGN_OR_RETURN(const FileInfo info, file_->Info());
  file_bytes_ = info.size;
  SnapshotTrailer trailer;
  KB_RETURN_IF_ERROR(ReadAt(offset_, MutableBytesOf(trailer), "the trailer"));
  if (const uint32_t crc = TrailerChecksum(crc32c_, trailer); crc != trailer.chunk.crc32c) {
    return Damaged(absl::StrFormat("the trailer has the checksum 0x%08x, not 0x%08x", crc, chunk.crc32c));
  }
  if (trailer.raw_bytes != raw_bytes_ || trailer.chunks != chunks_) {
    return Damaged(absl::StrCat("the trailer names ", trailer.chunks, " chunks with ", trailer.raw_bytes,
                                " bytes of the state, there are ", chunks_, " with ", raw_bytes_));
  }
  const uint64_t end = offset_ + kSnapshotTrailerBytes;
  if (trailer.file_bytes != end || file_bytes_ != end || trailer.magic != kSnapshotTrailerMagic) {
    return Damaged(absl::StrFormat("the trailer ends at %d with 0x%016x; it names %d bytes, the file has %d", end,
                                   trailer.magic, trailer.file_bytes, file_bytes_));
  }
  return absl::OkStatus();
}

absl::Status SnapshotScan::ReadAt(uint64_t offset, MutableBytes to, absl::string_view what) {
  KB_ASSIGN_OR_RETURN(const size_t bytes, file_->ReadAt(offset, to));
  if (bytes == to.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(file_->path(), ": damaged at offset ", offset, ": the file ends ", bytes,
                                          " bytes behind it, within ", what, " of ", to.size()));
}

absl::Status SnapshotScan::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(file_->path(), ": damaged at offset ", offset_, ": ", what));
}

absl::StatusOr<SnapshotHeader> VerifySnapshot(File& file) {
  KB_ASSIGN_OR_RETURN(SnapshotScan scan, SnapshotScan::Open(file));
  while (true) {
    KB_ASSIGN_OR_RETURN(const std::optional<SnapshotScan::Chunk> chunk, scan.Next());
    if (!chunk) return scan.header();
  }
}

}  // namespace kekbit
