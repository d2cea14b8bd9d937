// Snapshots for tests: a few calls that write one of any bytes, and read it back.

#ifndef KEKBIT_TESTS_SUPPORT_TEST_SNAPSHOT_H_
#define KEKBIT_TESTS_SUPPORT_TEST_SNAPSHOT_H_

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"
#include "kekbit/replication/snapshot/snapshot_writer.h"

namespace kekbit {

inline SnapshotHeader HeaderOf(Seq seq, SnapshotCompression compression = SnapshotCompression::kNone,
                               uint32_t chunk_bytes = kSnapshotChunkBytes) {
  return {.last = {.position = {.epoch = 3, .seq = seq}, .crc32c = 0xABCD'0123, .time_ns = 1'700'000'000'000'000'000},
          .type = {.data_format = 2, .type_id = 7, .type_version = 1},
          .compression = compression,
          .chunk_bytes = chunk_bytes};
}

// Without a thread, so that the calls of the file system have an order.
inline SnapshotWriterOptions NoThread() {
  SnapshotWriterOptions options;
  options.own_threads = false;
  return options;
}

// Writes and publishes a snapshot of these bytes.
inline absl::Status WriteSnapshot(FileSystem& fs, const std::string& directory, const SnapshotHeader& header,
                                  absl::string_view state, SnapshotWriterOptions options = NoThread()) {
  KB_ASSIGN_OR_RETURN(auto writer, SnapshotWriter::Begin(fs, directory, header, std::move(options)));
  KB_RETURN_IF_ERROR(writer->Write(AsBytes(state)));
  KB_RETURN_IF_ERROR(writer->Complete());
  return writer->Publish();
}

// All bytes of its state, read `step` at a time.
inline absl::StatusOr<std::string> ReadState(SnapshotReader& reader, size_t step = 1 << 16) {
  std::string state;
  while (reader.left() > 0) {
    const size_t done = state.size();
    state.resize(done + std::min<size_t>(step, reader.left()));
    KB_RETURN_IF_ERROR(reader.Read(MutableBytes(reinterpret_cast<uint8_t*>(state.data()) + done, state.size() - done)));
  }
  KB_RETURN_IF_ERROR(reader.Finish());
  return state;
}

inline absl::StatusOr<std::string> ReadSnapshot(const std::string& path, size_t step = 1 << 16) {
  KB_ASSIGN_OR_RETURN(auto reader, SnapshotReader::Open(FileSystem::Posix(), path));
  return ReadState(*reader, step);
}

// Bytes without a pattern that zstd finds; the same for the same size.
inline std::string NoiseOf(size_t size) {
  std::string noise(size, '\0');
  uint64_t x = 0x9E37'79B9'7F4A'7C15;
  for (char& c : noise) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    c = static_cast<char>(x);
  }
  return noise;
}

// Bytes that compress well.
inline std::string TextOfSize(size_t size) {
  std::string text;
  while (text.size() < size) text += "the account of ada has 100, ";
  text.resize(size);
  return text;
}

// Returns the file of a snapshot of these bytes, with right checksums, whatever else the file says.
// `raw_bytes` is the size that each chunk claims to decompress to; 0: it is not compressed.
// `raw_bytes_claimed` is what the trailer says of all; 0: the truth.
inline std::string SnapshotAround(Bytes bytes, const SnapshotType& type, uint32_t chunk_bytes, uint32_t raw_bytes,
                                  uint64_t raw_bytes_claimed = 0, uint64_t chunks_claimed = 0) {
  const auto text_of = [](const auto& value) {
    return absl::string_view(reinterpret_cast<const char*>(&value), sizeof value);
  };
  SnapshotHeader header = HeaderOf(1, raw_bytes == 0 ? SnapshotCompression::kNone : SnapshotCompression::kZstd);
  header.type = type;
  header.chunk_bytes = chunk_bytes;
  const SnapshotFileHeader file_header = ToFile(header);
  std::string file(text_of(file_header));
  uint32_t crc = file_header.crc32c;
  SnapshotTrailer trailer;
  while (!bytes.empty()) {
    const Bytes payload = bytes.first(std::min<size_t>(bytes.size(), chunk_bytes));
    bytes.remove_prefix(payload.size());
    SnapshotChunk chunk;
    chunk.bytes = static_cast<uint32_t>(payload.size());
    chunk.raw_bytes = raw_bytes == 0 ? chunk.bytes : raw_bytes;
    chunk.crc32c = crc = ChunkChecksum(crc, chunk, payload);
    absl::StrAppend(&file, text_of(chunk), AsText(payload));
    trailer.raw_bytes += chunk.raw_bytes;
    trailer.chunks += 1;
  }
  if (raw_bytes_claimed != 0) trailer.raw_bytes = raw_bytes_claimed;
  if (chunks_claimed != 0) trailer.chunks = chunks_claimed;
  trailer.file_bytes = file.size() + sizeof trailer;
  trailer.chunk.crc32c = TrailerChecksum(crc, trailer);
  absl::StrAppend(&file, text_of(trailer));
  return file;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TEST_SNAPSHOT_H_
