// Reads arbitrary bytes as a snapshot, and loads states from them.
//
// The first byte says how to read them. As they are; or as a state with right checksums around it,
// so that the loader gets to see it, compressed or not; or as the zstd frame of a chunk. What was
// verified must be read to its end.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kekbit/base/bytes.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"
#include "kekbit/replication/state_archive.h"
#include "tests/codecs/test_values.h"
#include "tests/support/memory_file.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

constexpr uint32_t kChunkBytes = 4096;

std::string Around(Bytes bytes, uint32_t raw_bytes) {
  return SnapshotAround(bytes, StateType<Nested>(), kChunkBytes, raw_bytes);
}

void Require(bool condition) {
  if (!condition) std::abort();
}

void Read(const std::string& bytes) {
  MemoryFile to_verify(bytes);
  const bool good = VerifySnapshot(to_verify).ok();
  auto reader = SnapshotReader::Open(std::make_unique<MemoryFile>(bytes));
  if (!reader.ok()) {
    Require(!good);
    return;
  }
  std::vector<uint8_t> buffer(1000);
  absl::Status status;
  while ((*reader)->left() > 0 && status.ok()) {
    status = (*reader)->Read(MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), (*reader)->left())));
  }
  if (status.ok()) status = (*reader)->Finish();
  // Verifying does not decompress: so what it finds good may still not be.
  Require(good || !status.ok());
}

template <typename State>
void Load(const std::string& bytes) {
  auto reader = SnapshotReader::Open(std::make_unique<MemoryFile>(bytes));
  if (!reader.ok()) return;
  State state{};
  LoadState(**reader, &state).IgnoreError();
}

void All(const std::string& bytes) {
  Read(bytes);
  Load<Nested>(bytes);
  Load<Tree>(bytes);
  Load<Chain>(bytes);
}

}  // namespace
}  // namespace kekbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const kekbit::Bytes bytes(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      kekbit::All(std::string(kekbit::AsText(bytes)));
      break;
    case 1:
      kekbit::All(kekbit::Around(bytes, 0));
      break;
    case 2:
      kekbit::All(kekbit::Around(bytes, kekbit::kChunkBytes));
      break;
    default:
      // A chunk claims to be compressed, and to hold many that are not there.
      kekbit::All(kekbit::SnapshotAround(bytes, kekbit::StateType<kekbit::Nested>(), kekbit::kChunkBytes,
                                         static_cast<uint32_t>(bytes.size()), bytes.size() / 16 * kekbit::kChunkBytes,
                                         bytes.size() / 16));
      break;
  }
  return 0;
}
