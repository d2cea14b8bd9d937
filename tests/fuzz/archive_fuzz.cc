// Reads arbitrary bytes as what an archive's store may give: an object of frames, a manifest, an
// answer of S3.
//
// The first byte says as which. Frames and manifests also with right checksums, so that the parser
// gets to see what is behind them. What is planned from a manifest must be there.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/replication/archive/archive_retention.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/restore_plan.h"
#include "kekbit/replication/archive/s3_answer.h"

namespace kekbit {
namespace {

// Both formats have their checksum there: of all before, and of what follows up to some end.
constexpr size_t kChecksumAt = 12;

void Require(bool condition) {
  if (!condition) std::abort();
}

void MendChecksum(std::vector<uint8_t>& bytes, size_t end) {
  const uint32_t before = Crc32c(0, Bytes(bytes).first(kChecksumAt));
  const uint32_t crc =
      Crc32c(before, Bytes(bytes).subspan(kChecksumAt + sizeof(uint32_t), end - kChecksumAt - sizeof(uint32_t)));
  StoreUnaligned(bytes.data() + kChecksumAt, crc);
}

void ReadFrames(std::vector<uint8_t> bytes) {
  absl::StatusOr<FramesReader> reader = FramesReader::Open("object", std::move(bytes));
  if (!reader.ok()) return;
  const FramesEntry entry = reader->entry();
  Require(entry.last_seq > entry.after_seq);
  Seq seq = entry.after_seq;
  while (true) {
    const absl::StatusOr<std::optional<Bytes>> record = reader->Next();
    if (!record.ok()) return;
    if (!*record) break;
    Require(reader->last().position.seq == ++seq);
  }
  Require(seq == entry.last_seq);
}

void ReadManifest(const std::vector<uint8_t>& bytes) {
  const absl::StatusOr<Manifest> manifest = DecodeManifest("manifest", bytes);
  if (!manifest.ok()) return;
  Require(EncodeManifest(*manifest).size() == bytes.size());
  RangesText(RestorableRanges(*manifest));
  for (const RestoreTarget& target : {RestoreTarget{}, RestoreTarget{.seq = manifest->end().position.seq / 2},
                                      RestoreTarget{.time_ns = manifest->end().time_ns / 2}}) {
    const absl::StatusOr<RestorePlan> plan = PlanRestore("archive", *manifest, target);
    if (!plan.ok()) continue;
    Require(EntryWith(*manifest, plan->first) != nullptr && EntryWith(*manifest, plan->last) != nullptr);
    Require(!plan->snapshot || plan->snapshot->seq <= plan->last);
  }
  const ArchiveRetentionPlan goes = PlanArchiveRetention(*manifest, {.snapshots = 1, .age_ns = 5}, 100);
  Require(goes.snapshots <= manifest->snapshots.size() && goes.frames <= manifest->frames.size());
}

void Run(uint8_t as, std::vector<uint8_t> bytes) {
  switch (as % 6) {
    case 0:
      return ReadFrames(std::move(bytes));
    case 1:
      if (bytes.size() < sizeof(FramesFileHeader)) return;
      {
        const Bytes stored = Bytes(bytes).subspan(sizeof(FramesFileHeader));
        StoreUnaligned(bytes.data() + offsetof(FramesFileHeader, stored_bytes), uint64_t{stored.size()});
        StoreUnaligned(bytes.data() + offsetof(FramesFileHeader, stored_crc32c), Crc32c(0, stored));
      }
      MendChecksum(bytes, sizeof(FramesFileHeader));
      return ReadFrames(std::move(bytes));
    case 2:
      return ReadManifest(bytes);
    case 3:
      if (bytes.size() < kChecksumAt + sizeof(uint32_t)) return;
      MendChecksum(bytes, bytes.size());
      return ReadManifest(bytes);
    case 4:
      ReadS3List(AsText(bytes)).status().IgnoreError();
      return ReadUploadId(AsText(bytes)).status().IgnoreError();
    default:
      return S3Error(as, AsText(bytes), "call").IgnoreError();
  }
}

}  // namespace
}  // namespace kekbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size != 0) kekbit::Run(data[0], std::vector<uint8_t>(data + 1, data + size));
  return 0;
}
