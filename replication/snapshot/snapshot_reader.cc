#include "kekbit/replication/snapshot/snapshot_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// Ratio that an unseen compressed state is assumed to have at most.
constexpr uint64_t kUsualRatio = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  return Open(std::move(file));
}

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(std::unique_ptr<File> file) {
  KB_ASSIGN_OR_RETURN(SnapshotScan scan, SnapshotScan::Open(*file));
  return absl::WrapUnique(new SnapshotReader(std::move(file), std::move(scan)));
}

SnapshotReader::SnapshotReader(std::unique_ptr<File> file, SnapshotScan scan)
    : SnapshotInput(scan.header()), file_(std::move(file)), scan_(std::move(scan)) {
  SetBuffer(Bytes(), scan_.claimed_raw_bytes());
}

uint64_t SnapshotReader::backed() const {
  const uint64_t bytes = scan_.file_bytes() - std::min(scan_.file_bytes(), scan_.offset());
  const uint64_t ratio = header().compression == SnapshotCompression::kNone ? 1 : kUsualRatio;
  return buffered() + std::min(behind(), bytes * ratio);
}

absl::Status SnapshotReader::ReadBeyond(MutableBytes to) {
  KB_RETURN_IF_ERROR(status_);
  if (to.size() > left()) {
    return FailLength(
        absl::StrCat(path(), ": the state ends: ", to.size(), " more bytes are asked for, ", left(), " are left"));
  }
  while (!to.empty()) {
    if (buffered() == 0) {
      KB_RETURN_IF_ERROR(NextChunk());
      continue;
    }
    const MutableBytes part = to.first(std::min(buffered(), to.size()));
    KB_RETURN_IF_ERROR(Read(part));
    to.remove_prefix(part.size());
  }
  return absl::OkStatus();
}

absl::Status SnapshotReader::NextChunk() {
  const absl::StatusOr<std::optional<SnapshotScan::Chunk>> chunk = scan_.Next();
  if (!chunk.ok()) return Fail(chunk.status());
  const uint64_t claimed = scan_.claimed_raw_bytes();
  if (!*chunk || scan_.raw_bytes() > claimed) {
    return Fail(
        absl::DataLossError(absl::StrCat(path(), ": damaged at offset ", scan_.offset(), ": ", scan_.raw_bytes(),
                                         " bytes of the state are there, the trailer names ", claimed)));
  }
  Bytes raw = (*chunk)->payload;
  if ((*chunk)->compressed()) {
    if (absl::Status resized = ResizeBuffer(raw_, header().chunk_bytes, path()); !resized.ok()) return Fail(resized);
    const MutableBytes to = MutableBytes(raw_).first((*chunk)->raw_bytes);
    const absl::Status status = decompressor_.Decompress(raw, to);
    if (!status.ok()) {
      return Fail(absl::Status(status.code(), absl::StrCat(path(), ": damaged before offset ", scan_.offset(),
                                                           ": chunk ", scan_.chunks(), ": ", status.message())));
    }
    raw = to;
  }
  SetBuffer(raw, claimed - scan_.raw_bytes());
  return absl::OkStatus();
}

absl::Status SnapshotReader::Finish() {
  KB_RETURN_IF_ERROR(status_);
  if (ended_) return absl::OkStatus();
  if (left() > 0) {
    return FailLength(absl::StrCat(path(), ": ", left(), " of ", scan_.claimed_raw_bytes(),
                                   " bytes of the state are left over after what was loaded"));
  }
  const absl::StatusOr<std::optional<SnapshotScan::Chunk>> chunk = scan_.Next();
  if (!chunk.ok()) return Fail(chunk.status());
  if (*chunk) {
    return Fail(absl::DataLossError(absl::StrCat(path(), ": damaged before offset ", scan_.offset(), ": ",
                                                 scan_.raw_bytes(), " bytes of the state are there, the trailer names ",
                                                 scan_.claimed_raw_bytes())));
  }
  ended_ = true;
  return absl::OkStatus();
}

absl::Status SnapshotReader::CheckRest() {
  KB_RETURN_IF_ERROR(status_);
  while (!ended_) {
    const absl::StatusOr<std::optional<SnapshotScan::Chunk>> chunk = scan_.Next();
    if (!chunk.ok()) return Fail(chunk.status());
    ended_ = !*chunk;
  }
  SetBuffer(Bytes(), 0);
  return absl::OkStatus();
}

absl::Status SnapshotReader::FailLength(const std::string& message) {
  // The trailer says how long the state is, and its checksum is known once all chunks were read.
  KB_RETURN_IF_ERROR(CheckRest());
  return Fail(absl::FailedPreconditionError(message));
}

absl::Status SnapshotReader::Fail(const absl::Status& status) {
  status_ = status;
  SetBuffer(Bytes(), 0);
  return status_;
}

}  // namespace kekbit
