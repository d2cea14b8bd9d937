// The bytes of a snapshot file: header, chunks, trailer. See snapshot_format.md.
//
// Everything is little endian. The header has a checksum of its own. Each chunk's checksum, and the
// trailer's, is seeded with the checksum before, as in a journal's frames. So bytes that are
// missing, exchanged, changed or of another snapshot are found wherever they stand.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FORMAT_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/state_name.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// SnapshotType says what the bytes of a snapshot are, so that they are never loaded into something
// else.
struct SnapshotType {
  uint64_t data_format = 0;   // how the state is encoded: an id of codecs/data_format.h
  uint32_t type_id = 0;       // of the state's class, if it has one; 0
  uint32_t type_version = 0;  // of the state's class; a newer one than the code's is not loaded
  std::string state = {};     // as StateName() has it; empty: of an earlier version, or any

  std::string ToString() const;
  // Returns true if that is this type, except for the name that snapshots of earlier versions lack.
  bool IsSameOrUnnamed(SnapshotType other) const {
    if (state.empty()) other.state.clear();
    return *this == other;
  }

  friend bool operator==(const SnapshotType&, const SnapshotType&) = default;
};

// Returns FailedPrecondition, with both sides, if code that expects `known` can't load a snapshot
// of the type `found`.
absl::Status CheckSnapshotType(const SnapshotType& found, const SnapshotType& known);

// The values are in files: never change them.
enum class SnapshotCompression : uint32_t { kNone = 0, kZstd = 1 };

inline constexpr uint32_t kSnapshotChunkBytes = uint32_t{1} << 20;
inline constexpr uint32_t kSnapshotChunkBytesMax = uint32_t{1} << 24;

// SnapshotHeader is what a snapshot says of itself.
struct SnapshotHeader {
  ChainLink last;  // the last frame that was applied to the state
  SnapshotType type;
  SnapshotCompression compression = SnapshotCompression::kNone;
  uint32_t chunk_bytes = kSnapshotChunkBytes;  // how many bytes of the state each chunk has; the last may have fewer

  friend bool operator==(const SnapshotHeader&, const SnapshotHeader&) = default;
};

inline constexpr uint64_t kSnapshotMagic = 0x3150'414E'5342'4B4B;         // "KKBSNAP1" as bytes
inline constexpr uint64_t kSnapshotTrailerMagic = 0x3144'4E45'5342'4B4B;  // "KKBSEND1" as bytes
inline constexpr uint32_t kSnapshotFormatVersion = 1;

// SnapshotFileHeader is the header in the file. Its size, and where magic, version and checksum
// stand, are the same in all versions.
struct SnapshotFileHeader {
  uint64_t magic = kSnapshotMagic;
  uint32_t version = kSnapshotFormatVersion;
  uint32_t crc32c = 0;  // of the other 124 bytes
  uint64_t epoch = 0;   // epoch, seq, time_ns and frame_crc32c: of the last frame applied
  uint64_t seq = 0;
  int64_t time_ns = 0;
  uint32_t frame_crc32c = 0;
  uint32_t compression = 0;
  uint64_t data_format = 0;
  uint32_t type_id = 0;
  uint32_t type_version = 0;
  uint32_t chunk_bytes = 0;
  uint32_t reserved = 0;
  StateNameField state = {};  // zeros in snapshots of earlier versions, which read those with a name
};
static_assert(std::is_trivially_copyable_v<SnapshotFileHeader> && sizeof(SnapshotFileHeader) == 128);
static_assert(offsetof(SnapshotFileHeader, version) == 8 && offsetof(SnapshotFileHeader, crc32c) == 12);
static_assert(offsetof(SnapshotFileHeader, epoch) == 16 && offsetof(SnapshotFileHeader, seq) == 24);
static_assert(offsetof(SnapshotFileHeader, time_ns) == 32 && offsetof(SnapshotFileHeader, frame_crc32c) == 40);
static_assert(offsetof(SnapshotFileHeader, compression) == 44 && offsetof(SnapshotFileHeader, data_format) == 48);
static_assert(offsetof(SnapshotFileHeader, type_id) == 56 && offsetof(SnapshotFileHeader, type_version) == 60);
static_assert(offsetof(SnapshotFileHeader, chunk_bytes) == 64 && offsetof(SnapshotFileHeader, state) == 72);

// SnapshotChunk stands before each chunk's bytes. A chunk with as many bytes as its raw_bytes is
// not compressed.
struct SnapshotChunk {
  uint32_t crc32c = 0;     // of all that follows in the chunk, seeded with the checksum before
  uint32_t bytes = 0;      // that follow this header; 0: no chunk but the trailer
  uint32_t raw_bytes = 0;  // of the state
  uint32_t reserved = 0;
};
static_assert(std::is_trivially_copyable_v<SnapshotChunk> && sizeof(SnapshotChunk) == 16);
static_assert(offsetof(SnapshotChunk, bytes) == 4 && offsetof(SnapshotChunk, raw_bytes) == 8);

// SnapshotTrailer is the end of the file. Its first fields are those of a chunk without bytes.
struct SnapshotTrailer {
  SnapshotChunk chunk;      // crc32c: of the 44 bytes that follow, seeded with the checksum before; the rest: 0
  uint64_t raw_bytes = 0;   // of the whole state
  uint64_t chunks = 0;      // how many
  uint64_t file_bytes = 0;  // of the whole file, this trailer included
  uint64_t magic = kSnapshotTrailerMagic;
};
static_assert(std::is_trivially_copyable_v<SnapshotTrailer> && sizeof(SnapshotTrailer) == 48);
static_assert(offsetof(SnapshotTrailer, raw_bytes) == 16 && offsetof(SnapshotTrailer, chunks) == 24);
static_assert(offsetof(SnapshotTrailer, file_bytes) == 32 && offsetof(SnapshotTrailer, magic) == 40);

inline constexpr uint64_t kSnapshotHeaderBytes = sizeof(SnapshotFileHeader);
inline constexpr uint64_t kSnapshotTrailerBytes = sizeof(SnapshotTrailer);

// Returns the checksum of a structure of the file and what follows it, without the structure's own
// field. `crc` is the checksum before.
uint32_t HeaderChecksum(const SnapshotFileHeader& header);
uint32_t ChunkChecksum(uint32_t crc, const SnapshotChunk& chunk, Bytes payload);
uint32_t TrailerChecksum(uint32_t crc, const SnapshotTrailer& trailer);

// Returns the header as it stands in a file, with its checksum.
SnapshotFileHeader ToFile(const SnapshotHeader& header);
// Returns the header of a file. DataLoss if there is none, or it is damaged. FailedPrecondition if
// a newer version of kekbit wrote it.
absl::StatusOr<SnapshotHeader> FromFile(const SnapshotFileHeader& file);

// The name of a snapshot's file: the seq of the last frame applied, in 16 hexadecimal digits, and
// ".snapshot". Parsing returns nullopt for any other name.
std::string SnapshotName(Seq seq);
std::optional<Seq> ParseSnapshotName(absl::string_view name);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_FORMAT_H_
