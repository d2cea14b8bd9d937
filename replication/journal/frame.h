// Frame is what a record of a journal's segment holds. See journal_format.md.
//
// Little endian, a fixed header and a payload. Each frame's checksum covers its header and its
// payload; its seed is the checksum of the frame before. Frames that fit each other form a chain,
// and bytes of another history don't fit.

#ifndef KEKBIT_REPLICATION_JOURNAL_FRAME_H_
#define KEKBIT_REPLICATION_JOURNAL_FRAME_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// The values are in files: never change them. 3 to 6 are kept for heartbeats, digests, sessions and
// seals.
enum class FrameKind : uint8_t {
  // 0 is none: pages that never reached the disk read as zeros.
  kCommand = 1,     // the payload is a command, as its codec encoded it
  kEpochStart = 2,  // the first frame of an epoch; the payload is an EpochStart
};

struct FrameHeader {
  uint32_t crc32c = 0;        // of all that follows, seeded with the crc32c of the frame before (0 for the first)
  uint8_t kind = 0;           // a FrameKind
  uint8_t flags = 0;          // 0
  uint16_t type_version = 0;  // of the command's type; 0
  uint64_t epoch = 0;
  uint64_t seq = 0;
  int64_t time_ns = 0;   // since the Unix epoch, on the primary's clock; never less than that of the frame before
  uint32_t type_id = 0;  // of the command; 0
  // How many frames directly before this one its writer did not know to be synced; kUnsyncedMax: so
  // many or more. Valid only if the segment says so (see SegmentCountsUnsynced).
  uint32_t unsynced = std::numeric_limits<uint32_t>::max();
};
static_assert(std::is_trivially_copyable_v<FrameHeader> && sizeof(FrameHeader) == 40);
static_assert(offsetof(FrameHeader, kind) == 4 && offsetof(FrameHeader, type_version) == 6);
static_assert(offsetof(FrameHeader, epoch) == 8 && offsetof(FrameHeader, seq) == 16);
static_assert(offsetof(FrameHeader, time_ns) == 24 && offsetof(FrameHeader, type_id) == 32);
static_assert(offsetof(FrameHeader, unsynced) == 36);

inline constexpr size_t kFrameHeaderBytes = sizeof(FrameHeader);
inline constexpr uint32_t kUnsyncedMax = std::numeric_limits<uint32_t>::max();

// Returns FrameHeader::unsynced of the frame `seq`, at least 1, when all up to `synced` are known
// to be synced.
constexpr uint32_t UnsyncedBefore(Seq seq, Seq synced) {
  return static_cast<uint32_t>(std::min<Seq>(seq - 1 - std::min(synced, seq - 1), kUnsyncedMax));
}

// Returns up to which seq all was synced when the frame was written, by its own word; 0: the frame
// does not say.
constexpr Seq SyncedBefore(Seq seq, uint32_t unsynced) {
  return unsynced == kUnsyncedMax || seq <= unsynced ? 0 : seq - 1 - unsynced;
}

// EpochStart is the payload of a FrameKind::kEpochStart: what the new epoch follows. Frames that an
// older writer put after that place are no part of the journal.
struct EpochStart {
  uint64_t follows_epoch = 0;
  uint64_t follows_seq = 0;
  uint32_t follows_crc32c = 0;
  uint32_t reserved = 0;
};
static_assert(std::is_trivially_copyable_v<EpochStart> && sizeof(EpochStart) == 24);

// Frame is one frame, as read. The payload points into the segment's mapping.
struct Frame {
  FrameHeader header;
  Bytes payload;

  FrameKind kind() const { return static_cast<FrameKind>(header.kind); }
  Position position() const { return {.epoch = header.epoch, .seq = header.seq}; }
};

// ChainLink is what a frame follows: everything that is needed to check the frame, or to write it.
struct ChainLink {
  Position position;  // of the frame before
  uint32_t crc32c = 0;
  int64_t time_ns = 0;

  friend bool operator==(const ChainLink&, const ChainLink&) = default;
};

// Returns FrameHeader::crc32c of the frame in a whole record that follows `link`. REQUIRES:
// `record` is longer than a header.
uint32_t FrameChecksum(const ChainLink& link, Bytes record);

// Completes a frame in `record`, whose payload already stands after the header's place. Writes the
// header, with its checksum, for the frame that follows `link`, and moves `link` on to that frame.
// REQUIRES: `record` is longer than a header; header.seq, header.unsynced and the like are set.
inline void SealFrame(const FrameHeader& header, ChainLink& link, MutableBytes record) {
  KB_CHECK(record.size() >= kFrameHeaderBytes);
  // Store in words, as the checksum loads them right after: a processor waits where it loads what
  // was just stored in other pieces.
  uint8_t* const to = record.data();
  StoreUnaligned(to, uint64_t{header.kind} << 32 | uint64_t{header.flags} << 40 | uint64_t{header.type_version} << 48);
  StoreUnaligned(to + offsetof(FrameHeader, epoch), header.epoch);
  StoreUnaligned(to + offsetof(FrameHeader, seq), header.seq);
  StoreUnaligned(to + offsetof(FrameHeader, time_ns), header.time_ns);
  StoreUnaligned(to + offsetof(FrameHeader, type_id), uint64_t{header.type_id} | uint64_t{header.unsynced} << 32);
  link.crc32c = FrameChecksum(link, record);
  StoreUnaligned(to, link.crc32c);
  link.position.epoch = header.epoch;
  link.position.seq = header.seq;
  link.time_ns = header.time_ns;
}

// Returns the frame in a whole record, if the frame follows `link`; moves `link` on to it.
// Otherwise `link` stays. DataLoss if the checksum, seq or epoch does not fit. FailedPrecondition
// if this code does not know the frame's kind or type: newer code wrote the frame.
absl::StatusOr<Frame> ParseFrame(Bytes record, ChainLink& link);

// Parses a frame for callers that read many: returns true if it is a command, and fits. If not,
// ParseFrame() tells why; `link` stays, and the contents of `frame` are undefined.
bool ParseCommand(Bytes record, ChainLink& link, Frame& frame);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_FRAME_H_
