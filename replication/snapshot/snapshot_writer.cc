#include "kekbit/replication/snapshot/snapshot_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

template <typename T>
Bytes BytesOf(const T& value) {
  return Bytes(reinterpret_cast<const uint8_t*>(&value), sizeof value);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Begin(FileSystem& fs, const std::string& directory,
                                                                      const SnapshotHeader& header,
                                                                      SnapshotWriterOptions options) {
  if (header.chunk_bytes == 0 || header.chunk_bytes > kSnapshotChunkBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a snapshot's chunks have 1 to ", kSnapshotChunkBytesMax, " bytes, not ", header.chunk_bytes));
  }
  std::unique_ptr<SnapshotCompressor> compressor;
  if (header.compression == SnapshotCompression::kZstd) {
    KB_ASSIGN_OR_RETURN(compressor,
                        SnapshotCompressor::Make(options.zstd_level, header.chunk_bytes, sizeof(SnapshotChunk)));
  }
  KB_RETURN_IF_ERROR(fs.CreateDirectories(directory));
  KB_RETURN_IF_ERROR(fs.SyncDirectory(DirectoryOf(directory)));
  const std::string path = JoinPath(directory, SnapshotName(header.last.position.seq));
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.CreateUnnamed(directory, path));
  std::vector<uint8_t> buffer;
  KB_RETURN_IF_ERROR(ResizeBuffer(buffer, sizeof(SnapshotChunk) + header.chunk_bytes, path));
  auto writer =
      absl::WrapUnique(new SnapshotWriter(fs, path, header, std::move(options), std::move(file), std::move(buffer)));
  writer->compressor_ = std::move(compressor);
  KB_RETURN_IF_ERROR(writer->WriteHeader());
  return writer;
}

SnapshotWriter::SnapshotWriter(FileSystem& fs, std::string path, const SnapshotHeader& header,
                               SnapshotWriterOptions options, std::unique_ptr<File> file, std::vector<uint8_t> buffer)
    : fs_(fs),
      path_(std::move(path)),
      header_(header),
      options_(std::move(options)),
      file_(std::move(file)),
      buffer_(std::move(buffer)),
      flusher_(std::make_unique<SnapshotFlusher>(*file_, options_.own_threads)) {
  SetBuffer(EmptyBuffer());
}

MutableBytes SnapshotWriter::EmptyBuffer() { return MutableBytes(buffer_).subspan(sizeof(SnapshotChunk)); }

absl::Status SnapshotWriter::WriteHeader() {
  const SnapshotFileHeader header = ToFile(header_);
  KB_RETURN_IF_ERROR(file_->WriteAt(0, BytesOf(header)));
  crc32c_ = header.crc32c;
  offset_ = sizeof header;
  return CheckFreeBytes();
}

absl::Status SnapshotWriter::WriteBeyond(Bytes bytes) {
  if (!status_.ok()) return status_;
  KB_CHECK(!complete_);
  if (flusher_->cancelled()) return Fail(Cancelled());
  while (!bytes.empty()) {
    if (buffered().empty() && bytes.size() >= header_.chunk_bytes) {
      KB_RETURN_IF_ERROR(WriteChunk(bytes.first(header_.chunk_bytes)));
      bytes.remove_prefix(header_.chunk_bytes);
      continue;
    }
    if (room() == 0) {
      KB_RETURN_IF_ERROR(WriteChunk(buffered()));
      SetBuffer(EmptyBuffer());
      continue;
    }
    const size_t fits = std::min(room(), bytes.size());
    KB_RETURN_IF_ERROR(Write(bytes.first(fits)));
    bytes.remove_prefix(fits);
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::WriteChunk(Bytes raw) {
  // A reader takes no other chunk: one without bytes would be the trailer.
  KB_CHECK(!raw.empty() && raw.size() <= header_.chunk_bytes);
  SnapshotChunk chunk;
  chunk.raw_bytes = static_cast<uint32_t>(raw.size());
  Bytes payload = raw;
  if (compressor_ != nullptr) {
    if (const Bytes compressed = compressor_->Compress(raw); !compressed.empty()) payload = compressed;
  }
  KB_CHECK(payload.size() <= raw.size());
  chunk.bytes = static_cast<uint32_t>(payload.size());
  chunk.crc32c = ChunkChecksum(crc32c_, chunk, payload);
  absl::Status written;
  if (payload.data() == raw.data() && raw.data() != EmptyBuffer().data()) {
    // Write from the caller's own memory: one call more is cheaper than a copy.
    written = file_->WriteAt(offset_, BytesOf(chunk));
    if (written.ok()) written = file_->WriteAt(offset_ + sizeof chunk, payload);
  } else {
    // buffer_ and the compressor's have room for the header before the payload.
    uint8_t* const record = const_cast<uint8_t*>(payload.data()) - sizeof chunk;
    StoreUnaligned(record, chunk);
    written = file_->WriteAt(offset_, Bytes(record, sizeof chunk + payload.size()));
  }
  if (!written.ok()) return Fail(written);
  crc32c_ = chunk.crc32c;
  offset_ += sizeof chunk + payload.size();
  raw_bytes_ += raw.size();
  chunks_ += 1;
  if (absl::Status status = flusher_->Written(offset_); !status.ok()) return Fail(status);
  if (offset_ - free_bytes_checked_ >= SnapshotFlusher::kStepBytes) KB_RETURN_IF_ERROR(CheckFreeBytes());
  ReportProgress();
  return absl::OkStatus();
}

absl::Status SnapshotWriter::WriteTrailer() {
  SnapshotTrailer trailer;
  trailer.raw_bytes = raw_bytes_;
  trailer.chunks = chunks_;
  trailer.file_bytes = offset_ + sizeof trailer;
  trailer.chunk.crc32c = TrailerChecksum(crc32c_, trailer);
  KB_RETURN_IF_ERROR(file_->WriteAt(offset_, BytesOf(trailer)));
  offset_ += sizeof trailer;
  return absl::OkStatus();
}

absl::Status SnapshotWriter::CheckFreeBytes() {
  if (options_.free_bytes_min == 0) return absl::OkStatus();
  free_bytes_checked_ = offset_;
  const absl::StatusOr<uint64_t> free_bytes = fs_.FreeBytes(DirectoryOf(path_));
  if (!free_bytes.ok()) return Fail(free_bytes.status());
  if (*free_bytes >= options_.free_bytes_min) return absl::OkStatus();
  return Fail(absl::ResourceExhaustedError(absl::StrCat(path_, ": the snapshot is given up after ", offset_,
                                                        " bytes: ", *free_bytes, " are free on the device, ",
                                                        options_.free_bytes_min, " are to stay free")));
}

absl::Status SnapshotWriter::Complete() {
  KB_CHECK(!complete_);
  KB_RETURN_IF_ERROR(WriteBeyond({}));
  if (!buffered().empty()) KB_RETURN_IF_ERROR(WriteChunk(buffered()));
  SetBuffer(MutableBytes());
  if (absl::Status status = WriteTrailer(); !status.ok()) return Fail(status);
  if (absl::Status status = flusher_->Finish(offset_, header_); !status.ok()) return Fail(status);
  complete_ = true;
  ReportProgress();
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Publish() {
  KB_RETURN_IF_ERROR(status_);
  KB_CHECK(complete_ && !done_);
  KB_CHECK(flusher_->verified() == offset_);  // only what was read back gets a name
  if (flusher_->cancelled()) return Fail(Cancelled());
  const absl::StatusOr<bool> linked = Link();
  if (!linked.ok()) return Fail(linked.status());
  absl::Status synced;
  if (!Planted(PlantedBug::kSnapshotNameNotSynced)) synced = fs_.SyncDirectory(DirectoryOf(path_));
  if (!synced.ok()) {
    // Unlink the name: nothing may rely on a name that could be gone after power loss.
    if (*linked) fs_.Unlink(path_).IgnoreError();
    return Fail(synced);
  }
  done_ = true;
  ReportProgress();
  return absl::OkStatus();
}

absl::StatusOr<bool> SnapshotWriter::Link() {
  absl::Status linked = file_->LinkTo(path_);
  if (linked.ok()) return true;
  if (!absl::IsAlreadyExists(linked)) return linked;
  {
    const absl::StatusOr<std::unique_ptr<File>> other = fs_.Open(path_, Access::kRead);
    KB_RETURN_IF_ERROR(other.status());
    const absl::StatusOr<SnapshotHeader> header = VerifySnapshot(**other);
    if (header.ok() && header->last == header_.last && header->type.IsSameOrUnnamed(header_.type)) return false;
    if (!header.ok() && !absl::IsDataLoss(header.status())) return header.status();
  }
  // The old file is damaged, or of another history: this snapshot is good and of this history.
  KB_RETURN_IF_ERROR(fs_.Unlink(path_));
  KB_RETURN_IF_ERROR(file_->LinkTo(path_));
  return true;
}

SnapshotProgress SnapshotWriter::progress() const {
  return {.raw_bytes = raw_bytes_, .file_bytes = offset_, .verified_bytes = flusher_->verified(), .done = done_};
}

void SnapshotWriter::ReportProgress() {
  if (options_.progress) options_.progress(progress());
}

absl::Status SnapshotWriter::Fail(const absl::Status& status) {
  status_ = status;
  SetBuffer(MutableBytes());
  return status_;
}

absl::Status SnapshotWriter::Cancelled() const {
  return absl::CancelledError(absl::StrCat(path_, ": the snapshot was cancelled"));
}

}  // namespace kekbit
