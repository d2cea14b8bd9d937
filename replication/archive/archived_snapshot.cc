#include "kekbit/replication/archive/archived_snapshot.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr size_t kReadBytes = 1 << 20;

}  // namespace

absl::Status CheckArchivedSnapshot(ObjectStore& store, uint64_t incarnation, const SnapshotEntry& entry) {
  const std::string name = entry.Name(incarnation);
  const std::string path = absl::StrCat(store.location(), "/", name);
  std::vector<uint8_t> buffer;
  KB_RETURN_IF_ERROR(ResizeBuffer(buffer, kReadBytes, path));
  uint32_t crc = 0;
  uint64_t size = 0;
  while (true) {
    KB_ASSIGN_OR_RETURN(const size_t read, store.Get(name, size, MutableBytes(buffer)));
    crc = Crc32c(crc, Bytes(buffer).first(read));
    size += read;
    if (read < buffer.size()) break;
  }
  if (size != entry.bytes) return absl::DataLossError(absl::StrCat(path, ": has ", size, " bytes, not ", entry.bytes));
  if (crc == entry.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat("%s: has the checksum %08x, not %08x", path, crc, entry.crc32c));
}

}  // namespace kekbit
