#include "kekbit/replication/archive/manifest.h"

#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x3146'494E'4D42'4B4B;  // "KKBMNIF1" as bytes
constexpr uint32_t kVersion = 1;
constexpr size_t kHexDigits = 16;

struct FileHeader {
  uint64_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t crc32c = 0;  // of all other bytes of the object: 0 to 11, then 16 to the end
  uint64_t incarnation = 0;
  uint64_t number = 0;
  int64_t written_ns = 0;
  uint64_t copier = 0;
  uint64_t origin_incarnation = 0;
  uint64_t origin_epoch = 0;
  uint64_t origin_seq = 0;
  uint64_t frames = 0;     // so many FramesEntry follow
  uint64_t snapshots = 0;  // then so many SnapshotEntry
  uint64_t dropped = 0;    // then so many of DroppedHeader and name
};
static_assert(std::is_trivially_copyable_v<FileHeader> && sizeof(FileHeader) == 96);
static_assert(offsetof(FileHeader, crc32c) == 12 && offsetof(FileHeader, frames) == 72);

struct DroppedHeader {
  int64_t delete_ns = 0;
  uint32_t name_bytes = 0;
  uint32_t merged = 0;  // 1: another object has its frames now
};
static_assert(std::is_trivially_copyable_v<DroppedHeader> && sizeof(DroppedHeader) == 16);

uint32_t ChecksumOf(Bytes object) {
  return Crc32c(Crc32c(0, object.first(offsetof(FileHeader, crc32c))),
                object.subspan(offsetof(FileHeader, incarnation)));
}

// Takes a value from the front of `bytes`; false if they are too few.
template <typename T>
bool Take(Bytes& bytes, T& value) {
  if (bytes.size() < sizeof value) return false;
  value = LoadUnaligned<T>(bytes.data());
  bytes.remove_prefix(sizeof value);
  return true;
}

template <typename T>
void Add(std::vector<uint8_t>& bytes, const T& value) {
  const auto* const from = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

// OK if the entries are in order, and each begins where, or after, the one before ends.
absl::Status CheckOrder(absl::string_view name, const Manifest& manifest) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(name, ": a manifest whose ", what, " are not in order"));
  };
  uint64_t end = 0;
  for (const FramesEntry& entry : manifest.frames) {
    if (entry.after_seq < end || entry.last_seq <= entry.after_seq) return damaged("frames");
    end = entry.last_seq;
  }
  uint64_t seq = 0;
  for (const SnapshotEntry& entry : manifest.snapshots) {
    if (entry.seq < seq) return damaged("snapshots");
    seq = entry.seq;
  }
  return absl::OkStatus();
}

}  // namespace

std::string FramesEntry::Name(uint64_t incarnation) const {
  return absl::StrFormat("%s%016x-%016x-%016x-%016x-%08x-%08x", kFramesPrefix, incarnation, last_epoch, after_seq + 1,
                         last_seq, last_crc32c, crc32c);
}

std::string SnapshotEntry::Name(uint64_t incarnation) const {
  return absl::StrFormat("%s%016x-%016x-%016x-%08x-%08x", kSnapshotsPrefix, incarnation, epoch, seq, frame_crc32c,
                         crc32c);
}

std::string ManifestsOf(uint64_t incarnation) { return absl::StrFormat("%s%016x-", kManifestsPrefix, incarnation); }

std::string ManifestName(uint64_t incarnation, uint64_t number) {
  return absl::StrFormat("%s%016x", ManifestsOf(incarnation), number);
}

bool ParseManifestName(absl::string_view name, uint64_t& incarnation, uint64_t& number) {
  if (!absl::StartsWith(name, kManifestsPrefix)) return false;
  const absl::string_view rest = name.substr(kManifestsPrefix.size());
  // The whole name is compared: numbers are not read in other ways than they are written.
  return rest.size() == 2 * kHexDigits + 1 && absl::SimpleHexAtoi(rest.substr(0, kHexDigits), &incarnation) &&
         absl::SimpleHexAtoi(rest.substr(kHexDigits + 1), &number) && ManifestName(incarnation, number) == name;
}

std::vector<uint8_t> EncodeManifest(const Manifest& manifest) {
  FileHeader header = {.incarnation = manifest.incarnation,
                       .number = manifest.number,
                       .written_ns = manifest.written_ns,
                       .copier = manifest.copier,
                       .origin_incarnation = manifest.origin.incarnation,
                       .origin_epoch = manifest.origin.epoch,
                       .origin_seq = manifest.origin.seq,
                       .frames = manifest.frames.size(),
                       .snapshots = manifest.snapshots.size(),
                       .dropped = manifest.dropped.size()};
  std::vector<uint8_t> object;
  object.reserve(sizeof header + manifest.frames.size() * sizeof(FramesEntry) +
                 manifest.snapshots.size() * sizeof(SnapshotEntry) +
                 manifest.dropped.size() * (sizeof(DroppedHeader) + kObjectNameBytesMax));
  Add(object, header);
  for (const FramesEntry& entry : manifest.frames) Add(object, entry);
  for (const SnapshotEntry& entry : manifest.snapshots) Add(object, entry);
  for (const DroppedEntry& entry : manifest.dropped) {
    Add(object, DroppedHeader{.delete_ns = entry.delete_ns,
                              .name_bytes = static_cast<uint32_t>(entry.name.size()),
                              .merged = entry.merged ? 1u : 0u});
    object.insert(object.end(), entry.name.begin(), entry.name.end());
  }
  StoreUnaligned(object.data() + offsetof(FileHeader, crc32c), ChecksumOf(object));
  return object;
}

absl::StatusOr<Manifest> DecodeManifest(absl::string_view name, Bytes bytes) {
  const auto damaged = [&](absl::string_view what) { return absl::DataLossError(absl::StrCat(name, ": ", what)); };
  const Bytes object = bytes;
  FileHeader header;
  if (!Take(bytes, header)) return damaged(absl::StrCat("a manifest of ", object.size(), " bytes"));
  if (header.magic != kMagic) return damaged(absl::StrFormat("begins with 0x%016x: no manifest", header.magic));
  if (header.version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": a manifest of version ", header.version,
                                                      ", this code knows ", kVersion, ": written by a newer kekbit"));
  }
  if (const uint32_t checksum = ChecksumOf(object); checksum != header.crc32c) {
    return damaged(absl::StrFormat("has the checksum %08x, not %08x", checksum, header.crc32c));
  }
  Manifest manifest = {
      .incarnation = header.incarnation,
      .number = header.number,
      .written_ns = header.written_ns,
      .copier = header.copier,
      .origin = {.incarnation = header.origin_incarnation, .epoch = header.origin_epoch, .seq = header.origin_seq},
      .frames = {},
      .snapshots = {},
      .dropped = {}};
  const auto too_short = [&] { return damaged("ends before the last of its entries"); };
  if (header.frames > bytes.size() / sizeof(FramesEntry)) return too_short();
  manifest.frames.resize(header.frames);
  for (FramesEntry& entry : manifest.frames) Take(bytes, entry);
  if (header.snapshots > bytes.size() / sizeof(SnapshotEntry)) return too_short();
  manifest.snapshots.resize(header.snapshots);
  for (SnapshotEntry& entry : manifest.snapshots) Take(bytes, entry);
  if (header.dropped > bytes.size() / sizeof(DroppedHeader)) return too_short();
  manifest.dropped.resize(header.dropped);
  for (DroppedEntry& entry : manifest.dropped) {
    DroppedHeader dropped;
    if (!Take(bytes, dropped) || dropped.name_bytes > bytes.size()) return too_short();
    entry = {.delete_ns = dropped.delete_ns,
             .merged = dropped.merged != 0,
             .name = std::string(AsText(bytes.first(dropped.name_bytes)))};
    bytes.remove_prefix(dropped.name_bytes);
    if (absl::Status ok = CheckObjectName(entry.name); !ok.ok()) return damaged(ok.message());
  }
  if (!bytes.empty()) return damaged(absl::StrCat("has ", bytes.size(), " bytes after the last of its entries"));
  KB_RETURN_IF_ERROR(CheckOrder(name, manifest));
  return manifest;
}

}  // namespace kekbit
