#include "kekbit/replication/archive/object_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

// A whole object is read into a buffer that grows by this.
constexpr size_t kGetBytes = 1 << 20;

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

}  // namespace

absl::Status CheckObjectName(absl::string_view name) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no name of an object: ", why));
  };
  if (name.size() > kObjectNameBytesMax) return bad(absl::StrCat("longer than ", kObjectNameBytesMax, " bytes"));
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part.front() == '.') return bad("a part is empty, or begins with a dot");
    if (!std::all_of(part.begin(), part.end(), IsNameCharacter)) return bad("takes letters, digits and ._- only");
  }
  return absl::OkStatus();
}

absl::Status BytesSource::Read(uint64_t offset, MutableBytes to) {
  KB_CHECK(offset <= bytes_.size() && to.size() <= bytes_.size() - offset);
  if (!to.empty()) std::memcpy(to.data(), bytes_.data() + offset, to.size());
  return absl::OkStatus();
}

absl::Status FileSource::Read(uint64_t offset, MutableBytes to) {
  KB_ASSIGN_OR_RETURN(const size_t read, file_.ReadAt(offset, to));
  if (read == to.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(file_.path(), ": ends after ", offset + read, " bytes, not ", bytes_));
}

absl::StatusOr<std::vector<uint8_t>> GetWhole(ObjectStore& store, absl::string_view name, uint64_t bytes_max) {
  std::vector<uint8_t> bytes;
  size_t size = 0;
  while (true) {
    // One byte more than may be tells of an object that is too long.
    const size_t step = std::min<uint64_t>(kGetBytes, bytes_max + 1 - size);
    KB_RETURN_IF_ERROR(ResizeBuffer(bytes, size + step, name));
    KB_ASSIGN_OR_RETURN(const size_t read, store.Get(name, size, MutableBytes(bytes).subspan(size)));
    size += read;
    if (size > bytes_max) {
      return absl::FailedPreconditionError(
          absl::StrCat(store.location(), "/", name, ": has more than ", bytes_max, " bytes"));
    }
    if (read < step) break;
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace kekbit
