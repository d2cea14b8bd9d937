#include "kekbit/replication/archive/frames_object.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/check.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/snapshot/snapshot_compressor.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x314D'4152'4642'4B4B;  // "KKBFRAM1" as bytes
constexpr uint32_t kVersion = 1;
constexpr uint32_t kNone = 0;
constexpr uint32_t kZstd = 1;
constexpr size_t kFramesHeaderBytes = sizeof(FramesFileHeader);
// Room for a full object, so that it is not moved again near its end.
constexpr size_t kFullBytes = kFramesHeaderBytes + kFramesBytesMax + (1 << 20);
// zstd's own choice between speed and size.
constexpr int kZstdLevel = 3;

Bytes BytesOf(const FramesFileHeader& header) {
  return Bytes(reinterpret_cast<const uint8_t*>(&header), kFramesHeaderBytes);
}

uint32_t ChecksumOf(const FramesFileHeader& header) {
  const Bytes bytes = BytesOf(header);
  return Crc32c(Crc32c(0, bytes.first(offsetof(FramesFileHeader, crc32c))),
                bytes.subspan(offsetof(FramesFileHeader, incarnation)));
}

// Of what the frames of an object have in common: the header from the data format on.
uint32_t ContentChecksum(const FramesFileHeader& header) {
  return Crc32c(0, BytesOf(header).subspan(offsetof(FramesFileHeader, data_format)));
}

FramesEntry EntryOf(const FramesFileHeader& header, Bytes object) {
  return {.after_epoch = header.after_epoch,
          .after_seq = header.after_seq,
          .after_time_ns = header.after_time_ns,
          .last_epoch = header.last_epoch,
          .last_seq = header.last_seq,
          .last_time_ns = header.last_time_ns,
          .after_crc32c = header.after_crc32c,
          .last_crc32c = header.last_crc32c,
          .first_time_ns = header.first_time_ns,
          .raw_bytes = header.raw_bytes,
          .bytes = object.size(),
          .crc32c = header.crc32c,
          .content = ContentChecksum(header)};
}

// Replaces the records after the header's room by one zstd frame, if that is shorter.
absl::StatusOr<bool> Compress(std::vector<uint8_t>& object) {
  const Bytes raw = Bytes(object).subspan(kFramesHeaderBytes);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<SnapshotCompressor> zstd,
                      SnapshotCompressor::Make(kZstdLevel, raw.size(), /*room=*/0));
  const MutableBytes smaller = zstd->Compress(raw);
  if (smaller.empty()) return false;
  std::memcpy(object.data() + kFramesHeaderBytes, smaller.data(), smaller.size());
  object.resize(kFramesHeaderBytes + smaller.size());
  return true;
}

absl::Status Unfitting(Seq seq, const ChainLink& last) {
  return absl::InvalidArgumentError(absl::StrCat("seq ", seq, " does not follow ", last.position.ToString()));
}

}  // namespace

absl::Status FramesBuilder::Reserve(size_t bytes) {
  const size_t at = std::max(buffer_.size(), kFramesHeaderBytes);
  if (at + bytes > buffer_.capacity()) {
    // In steps: most objects are either short or full.
    const size_t want = std::max<size_t>(at + bytes, std::min<size_t>(4 * buffer_.capacity(), kFullBytes));
    std::vector<uint8_t> longer;
    try {
      longer.reserve(want);
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError(
          absl::StrCat("frames of the archive: no memory for a buffer of ", want, " bytes"));
    }
    longer.assign(buffer_.begin(), buffer_.end());
    buffer_.swap(longer);
  }
  buffer_.resize(at);
  return absl::OkStatus();
}

void FramesBuilder::Follow(const FrameHeader& first, const FrameHeader& last) {
  if (empty()) first_time_ns_ = first.time_ns;
  last_ = {.position = {.epoch = last.epoch, .seq = last.seq}, .crc32c = last.crc32c, .time_ns = last.time_ns};
}

absl::Status FramesBuilder::Append(const Frame& frame) {
  if (frame.header.seq != last_.position.seq + 1) return Unfitting(frame.header.seq, last_);
  const size_t length = kFrameHeaderBytes + frame.payload.size();
  KB_RETURN_IF_ERROR(Reserve(RecordBytes(length)));
  const size_t at = buffer_.size();
  buffer_.resize(at + RecordBytes(length));
  uint8_t* const to = buffer_.data() + at;
  StoreUnaligned(to, uint64_t{length});
  StoreUnaligned(to + kLengthBytes, frame.header);
  if (!frame.payload.empty()) {
    std::memcpy(to + kLengthBytes + kFrameHeaderBytes, frame.payload.data(), frame.payload.size());
  }
  Follow(frame.header, frame.header);
  return absl::OkStatus();
}

absl::Status FramesBuilder::AppendRun(absl::Span<const Frame> frames) {
  const Frame& first = frames.front();
  const Frame& last = frames.back();
  if (first.header.seq != last_.position.seq + 1) return Unfitting(first.header.seq, last_);
  const uint8_t* const begin = first.payload.data() - kFrameHeaderBytes - kLengthBytes;
  const uint8_t* const last_begin = last.payload.data() - kFrameHeaderBytes - kLengthBytes;
  const size_t bytes = static_cast<size_t>(last_begin - begin) + RecordBytes(kFrameHeaderBytes + last.payload.size());
  KB_RETURN_IF_ERROR(Reserve(bytes));
  buffer_.insert(buffer_.end(), begin, begin + bytes);
  Follow(first.header, last.header);
  return absl::OkStatus();
}

absl::StatusOr<FramesObject> FramesBuilder::Finish(bool compressed) && {
  KB_CHECK(!empty());
  FramesFileHeader header = {.magic = kMagic,
                             .version = kVersion,
                             .incarnation = incarnation_,
                             .after_epoch = after_.position.epoch,
                             .after_seq = after_.position.seq,
                             .after_time_ns = after_.time_ns,
                             .after_crc32c = after_.crc32c,
                             .last_crc32c = last_.crc32c,
                             .last_epoch = last_.position.epoch,
                             .last_seq = last_.position.seq,
                             .last_time_ns = last_.time_ns,
                             .first_time_ns = first_time_ns_,
                             .raw_bytes = raw_bytes(),
                             .data_format = content_.data_format,
                             .counts_unsynced = content_.counts_unsynced ? 1u : 0u};
  std::memcpy(header.state_name, content_.state_name.data(),
              std::min(content_.state_name.size(), sizeof header.state_name));
  if (compressed) {
    KB_ASSIGN_OR_RETURN(const bool smaller, Compress(buffer_));
    header.compression = smaller ? kZstd : kNone;
  }
  const Bytes stored = Bytes(buffer_).subspan(kFramesHeaderBytes);
  header.stored_bytes = stored.size();
  header.stored_crc32c = Crc32c(0, stored);
  header.crc32c = ChecksumOf(header);
  StoreUnaligned(buffer_.data(), header);
  FramesObject object;
  object.entry = EntryOf(header, buffer_);
  object.bytes = std::move(buffer_);
  return object;
}

absl::StatusOr<FramesReader> FramesReader::Open(absl::string_view name, std::vector<uint8_t> object) {
  const auto damaged = [&](absl::string_view what) { return absl::DataLossError(absl::StrCat(name, ": ", what)); };
  if (object.size() < kFramesHeaderBytes) return damaged(absl::StrCat("frames in ", object.size(), " bytes"));
  const auto header = LoadUnaligned<FramesFileHeader>(object.data());
  if (header.magic != kMagic) return damaged(absl::StrFormat("begins with 0x%016x: no frames", header.magic));
  if (header.version > kVersion || header.compression > kZstd) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": frames of version ", header.version, " and compression ",
                                                      header.compression, ": written by a newer kekbit"));
  }
  if (const uint32_t checksum = ChecksumOf(header); checksum != header.crc32c) {
    return damaged(absl::StrFormat("the header has the checksum %08x, not %08x", checksum, header.crc32c));
  }
  const Bytes stored = Bytes(object).subspan(kFramesHeaderBytes);
  if (stored.size() != header.stored_bytes) {
    return damaged(absl::StrCat("has ", stored.size(), " bytes after the header, not ", header.stored_bytes));
  }
  if (const uint32_t checksum = Crc32c(0, stored); checksum != header.stored_crc32c) {
    return damaged(absl::StrFormat("the frames have the checksum %08x, not %08x", checksum, header.stored_crc32c));
  }
  if (header.raw_bytes > kFramesObjectBytesMax || header.last_seq <= header.after_seq) {
    return damaged(absl::StrCat("claims ", header.raw_bytes, " bytes of frames after seq ", header.after_seq, " up to ",
                                header.last_seq));
  }
  FramesReader reader(name, header);
  reader.entry_ = EntryOf(header, object);
  reader.content_ = {
      .data_format = header.data_format,
      .counts_unsynced = header.counts_unsynced != 0,
      .state_name = std::string(header.state_name, strnlen(header.state_name, sizeof header.state_name))};
  reader.last_ = reader.entry_.after();
  if (header.compression == kNone) {
    if (header.raw_bytes != stored.size()) {
      return damaged(absl::StrCat("has ", stored.size(), " bytes of frames, not ", header.raw_bytes));
    }
    reader.records_ = std::move(object);
    reader.at_ = kFramesHeaderBytes;
    return reader;
  }
  KB_RETURN_IF_ERROR(ResizeBuffer(reader.records_, header.raw_bytes, name));
  const absl::Status whole = SnapshotDecompressor().Decompress(stored, MutableBytes(reader.records_));
  if (!whole.ok()) return absl::IsDataLoss(whole) ? damaged(whole.message()) : whole;
  return reader;
}

absl::StatusOr<FramesReader> FramesReader::Get(ObjectStore& store, uint64_t incarnation, const FramesEntry& entry) {
  const std::string name = entry.Name(incarnation);
  const std::string path = absl::StrCat(store.location(), "/", name);
  KB_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, GetWhole(store, name, kFramesObjectBytesMax));
  KB_ASSIGN_OR_RETURN(FramesReader reader, Open(path, std::move(bytes)));
  if (reader.incarnation() != incarnation || reader.entry() != entry) {
    return absl::DataLossError(absl::StrCat(path, ": is not what the manifest says"));
  }
  return reader;
}

absl::Status FramesReader::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(name_, ": after ", last_.position.ToString(), ": ", what));
}

absl::StatusOr<std::optional<Bytes>> FramesReader::Next() {
  const Bytes rest = Bytes(records_).subspan(at_);
  if (rest.empty()) {
    if (last_ == entry_.last()) return std::nullopt;
    return Damaged(absl::StrCat("the frames end, but the header promises ", entry_.last().position.ToString()));
  }
  if (rest.size() < kLengthBytes) return Damaged(absl::StrCat(rest.size(), " bytes are left: no frame"));
  const auto length = LoadUnaligned<uint64_t>(rest.data());
  if (length < kFrameHeaderBytes || length > rest.size() || RecordBytes(length) > rest.size()) {
    return Damaged(absl::StrCat("a frame of ", length, " bytes does not fit into ", rest.size()));
  }
  const Bytes record = rest.subspan(kLengthBytes, length);
  if (Frame command; !ParseCommand(record, last_, command)) {
    const absl::StatusOr<Frame> frame = ParseFrame(record, last_);
    if (!frame.ok()) return absl::Status(frame.status().code(), absl::StrCat(name_, ": ", frame.status().message()));
  }
  if (last_.position.seq > entry_.last_seq) return Damaged("more frames than the header promises");
  at_ += RecordBytes(length);
  return record;
}

}  // namespace kekbit
