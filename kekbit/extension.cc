#include "kekbit/extension.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/check.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x3154'5845'5442'4B4B;  // "KKBTEXT1" as bytes
constexpr uint32_t kExtensionVersion = 1;

struct RawExtension {
  uint64_t magic;
  uint32_t version;
  uint32_t crc32c;  // of all that follows
  uint64_t data_format;
  uint64_t hints[4];
};
static_assert(std::is_trivially_copyable_v<RawExtension> && sizeof(RawExtension) == 56);
static_assert(offsetof(RawExtension, version) == 8 && offsetof(RawExtension, crc32c) == 12);
static_assert(offsetof(RawExtension, data_format) == 16 && offsetof(RawExtension, hints) == 24);
static_assert(kExtensionOffset + sizeof(RawExtension) <= kDataOffset);

uint32_t Checksum(const RawExtension& raw) {
  constexpr size_t kFrom = offsetof(RawExtension, data_format);
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&raw) + kFrom, sizeof raw - kFrom));
}

}  // namespace

absl::StatusOr<std::optional<Extension>> Extension::Decode(Bytes file) {
  if (file.size() < kExtensionOffset + sizeof(RawExtension)) return std::nullopt;
  const auto raw = LoadUnaligned<RawExtension>(file.data() + kExtensionOffset);
  if (raw.magic != kMagic) return std::nullopt;
  // Not an older or newer format: power failed before all of the block was on the disk.
  if (raw.version == 0) return absl::DataLossError("the extension block has no version: it was not written whole");
  if (raw.version != kExtensionVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("extension block is version ", raw.version, ", this code reads ", kExtensionVersion));
  }
  if (const uint32_t crc = Checksum(raw); raw.crc32c != crc) {
    return absl::DataLossError(
        absl::StrFormat("extension block has checksum 0x%08x, its bytes have 0x%08x", raw.crc32c, crc));
  }
  Extension extension{.data_format = raw.data_format};
  std::copy(std::begin(raw.hints), std::end(raw.hints), extension.hints.begin());
  return extension;
}

void Extension::EncodeTo(MutableBytes file) const {
  KB_CHECK(file.size() >= kDataOffset);
  RawExtension raw{.magic = kMagic, .version = kExtensionVersion, .crc32c = 0, .data_format = data_format, .hints = {}};
  std::copy(hints.begin(), hints.end(), std::begin(raw.hints));
  raw.crc32c = Checksum(raw);
  StoreUnaligned(file.data() + kExtensionOffset, raw);
}

}  // namespace kekbit
