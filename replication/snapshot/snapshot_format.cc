#include "kekbit/replication/snapshot/snapshot_format.h"

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "kekbit/base/crc32c.h"

namespace kekbit {
namespace {

constexpr size_t kSeqDigits = 16;
constexpr absl::string_view kSuffix = ".snapshot";

template <typename T>
Bytes BytesOf(const T& value) {
  return Bytes(reinterpret_cast<const uint8_t*>(&value), sizeof value);
}

}  // namespace

std::string SnapshotType::ToString() const {
  const std::string name = state.empty() ? "" : absl::StrCat("state \"", absl::CHexEscape(state), "\", ");
  return absl::StrCat("{", name, "data format ", data_format, ", type ", type_id, ", version ", type_version, "}");
}

absl::Status CheckSnapshotType(const SnapshotType& found, const SnapshotType& known) {
  if (absl::Status same = CheckStateName(found.state, known.state); !same.ok()) return same;
  if (found.data_format != known.data_format || found.type_id != known.type_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("holds a state of the type ", found.ToString(), ", not ", known.ToString()));
  }
  if (found.type_version > known.type_version) {
    return absl::FailedPreconditionError(absl::StrCat("holds a state of version ", found.type_version,
                                                      ", written by a newer program; this one knows up to version ",
                                                      known.type_version));
  }
  return absl::OkStatus();
}

uint32_t HeaderChecksum(const SnapshotFileHeader& header) {
  constexpr size_t kAt = offsetof(SnapshotFileHeader, crc32c);
  const Bytes bytes = BytesOf(header);
  return Crc32c(Crc32c(0, bytes.first(kAt)), bytes.subspan(kAt + sizeof header.crc32c));
}

uint32_t ChunkChecksum(uint32_t crc, const SnapshotChunk& chunk, Bytes payload) {
  return Crc32c(Crc32c(crc, BytesOf(chunk).subspan(sizeof chunk.crc32c)), payload);
}

uint32_t TrailerChecksum(uint32_t crc, const SnapshotTrailer& trailer) {
  return Crc32c(crc, BytesOf(trailer).subspan(sizeof trailer.chunk.crc32c));
}

SnapshotFileHeader ToFile(const SnapshotHeader& header) {
  SnapshotFileHeader file;
  file.epoch = header.last.position.epoch;
  file.seq = header.last.position.seq;
  file.time_ns = header.last.time_ns;
  file.frame_crc32c = header.last.crc32c;
  file.compression = static_cast<uint32_t>(header.compression);
  file.data_format = header.type.data_format;
  file.type_id = header.type.type_id;
  file.type_version = header.type.type_version;
  file.chunk_bytes = header.chunk_bytes;
  file.state = ToStateNameField(header.type.state);
  file.crc32c = HeaderChecksum(file);
  return file;
}

absl::StatusOr<SnapshotHeader> FromFile(const SnapshotFileHeader& file) {
  if (file.magic != kSnapshotMagic) {
    return absl::DataLossError(
        absl::StrFormat("begins with 0x%016x, not 0x%016x: no snapshot", file.magic, kSnapshotMagic));
  }
  if (const uint32_t crc = HeaderChecksum(file); crc != file.crc32c) {
    return absl::DataLossError(
        absl::StrFormat("damaged at offset 0: the header has the checksum 0x%08x, not 0x%08x", crc, file.crc32c));
  }
  if (file.version > kSnapshotFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("has the format version ", file.version,
                                                      ", written by a newer kekbit; this one knows up to version ",
                                                      kSnapshotFormatVersion));
  }
  if (file.compression > static_cast<uint32_t>(SnapshotCompression::kZstd)) {
    return absl::FailedPreconditionError(absl::StrCat("has the unknown compression ", file.compression));
  }
  if (file.version == 0 || file.chunk_bytes == 0 || file.chunk_bytes > kSnapshotChunkBytesMax) {
    return absl::DataLossError(absl::StrCat("damaged at offset 0: the header has the version ", file.version,
                                            " and chunks of ", file.chunk_bytes, " bytes, not 1 to ",
                                            kSnapshotChunkBytesMax));
  }
  SnapshotHeader header;
  header.last = {
      .position = {.epoch = file.epoch, .seq = file.seq}, .crc32c = file.frame_crc32c, .time_ns = file.time_ns};
  header.type = {.data_format = file.data_format,
                 .type_id = file.type_id,
                 .type_version = file.type_version,
                 .state = FromStateNameField(file.state)};
  header.compression = static_cast<SnapshotCompression>(file.compression);
  header.chunk_bytes = file.chunk_bytes;
  return header;
}

std::string SnapshotName(Seq seq) { return absl::StrCat(absl::Hex(seq, absl::kZeroPad16), kSuffix); }

std::optional<Seq> ParseSnapshotName(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, kSuffix) || name.size() != kSeqDigits) return std::nullopt;
  Seq seq = 0;
  const bool canonical = name.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
  if (!canonical || !absl::SimpleHexAtoi(name, &seq)) return std::nullopt;
  return seq;
}

}  // namespace kekbit
