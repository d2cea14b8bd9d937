// A manifest says what a restore needs: which objects hold the frames and the snapshots of one
// incarnation of a journal. Manifests are numbered; each is put once, if absent, after all the
// objects that it names. The one with the highest number counts. See archive_format.md.
//
// Thread safety: none needed; values.

#ifndef KEKBIT_REPLICATION_ARCHIVE_MANIFEST_H_
#define KEKBIT_REPLICATION_ARCHIVE_MANIFEST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/position.h"

namespace kekbit {

// The longest manifest that is read: some 700,000 objects.
inline constexpr uint64_t kManifestBytesMax = 64 << 20;

inline constexpr absl::string_view kManifestsPrefix = "manifests/";
inline constexpr absl::string_view kFramesPrefix = "frames/";
inline constexpr absl::string_view kSnapshotsPrefix = "snapshots/";

// FramesEntry is an object of frames. The words are in files: never change them.
struct FramesEntry {
  uint64_t after_epoch = 0;  // the frame that its first one follows
  uint64_t after_seq = 0;
  int64_t after_time_ns = 0;
  uint64_t last_epoch = 0;  // its last frame
  uint64_t last_seq = 0;
  int64_t last_time_ns = 0;
  uint32_t after_crc32c = 0;
  uint32_t last_crc32c = 0;
  int64_t first_time_ns = 0;  // of its first frame
  uint64_t raw_bytes = 0;     // of its records
  uint64_t bytes = 0;         // of the object
  uint32_t crc32c = 0;        // that of its header, which covers all of the object
  uint32_t content = 0;       // CRC-32C of what the object says of its commands: format, name of the state

  ChainLink after() const {
    return {.position = {.epoch = after_epoch, .seq = after_seq}, .crc32c = after_crc32c, .time_ns = after_time_ns};
  }
  ChainLink last() const {
    return {.position = {.epoch = last_epoch, .seq = last_seq}, .crc32c = last_crc32c, .time_ns = last_time_ns};
  }
  uint64_t frames() const { return last_seq - after_seq; }
  // Returns true if its first frame follows the last one of `before`: there is no gap between.
  bool Follows(const FramesEntry& before) const {
    return after().position == before.last().position && after_crc32c == before.last_crc32c;
  }
  // The object's name: with all that makes its bytes these, so that no late put can change them.
  std::string Name(uint64_t incarnation) const;

  friend bool operator==(const FramesEntry&, const FramesEntry&) = default;
};
static_assert(std::is_trivially_copyable_v<FramesEntry> && sizeof(FramesEntry) == 88);

// SnapshotEntry is a snapshot's file, as it is.
struct SnapshotEntry {
  uint64_t epoch = 0;  // the last frame that was applied to the state
  uint64_t seq = 0;
  int64_t time_ns = 0;  // of that frame
  uint64_t bytes = 0;
  uint32_t frame_crc32c = 0;  // of that frame
  uint32_t crc32c = 0;        // of the object
  int64_t archived_ns = 0;    // by the copier's clock

  ChainLink last() const {
    return {.position = {.epoch = epoch, .seq = seq}, .crc32c = frame_crc32c, .time_ns = time_ns};
  }
  std::string Name(uint64_t incarnation) const;

  friend bool operator==(const SnapshotEntry&, const SnapshotEntry&) = default;
};
static_assert(std::is_trivially_copyable_v<SnapshotEntry> && sizeof(SnapshotEntry) == 48);

// DroppedEntry is an object that nothing in the manifest needs any more. A restore that began before
// may: so the object is deleted later.
struct DroppedEntry {
  int64_t delete_ns = 0;  // not before, by the copier's clock
  bool merged = false;    // another object has its frames now: a restore that misses it goes on with that
  std::string name;

  friend bool operator==(const DroppedEntry&, const DroppedEntry&) = default;
};

// Origin says from where a journal was restored: the incarnation, and the frame after which it goes
// on by itself. All 0: it was not.
struct Origin {
  uint64_t incarnation = 0;
  uint64_t epoch = 0;
  uint64_t seq = 0;

  friend bool operator==(const Origin&, const Origin&) = default;
};

struct Manifest {
  uint64_t incarnation = 0;
  uint64_t number = 0;     // 1, 2, 3, ...
  int64_t written_ns = 0;  // by the copier's clock
  uint64_t copier = 0;     // who put it: a random number of each opening
  Origin origin;
  std::vector<FramesEntry> frames;       // by seq; each follows its predecessor, or there is a gap
  std::vector<SnapshotEntry> snapshots;  // by seq
  std::vector<DroppedEntry> dropped;

  // Returns the last frame that is archived; all 0: none.
  ChainLink end() const { return frames.empty() ? ChainLink() : frames.back().last(); }

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

std::string ManifestName(uint64_t incarnation, uint64_t number);
// The names of all manifests of the incarnation begin with this.
std::string ManifestsOf(uint64_t incarnation);
// Reads such a name; false if it is none.
bool ParseManifestName(absl::string_view name, uint64_t& incarnation, uint64_t& number);

std::vector<uint8_t> EncodeManifest(const Manifest& manifest);
// `name` is for messages. DataLoss if the bytes are damaged, or if the entries are not in order;
// FailedPrecondition for a newer version.
absl::StatusOr<Manifest> DecodeManifest(absl::string_view name, Bytes bytes);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_MANIFEST_H_
