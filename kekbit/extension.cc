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

// Stands right after that. Earlier versions left zeros here, which are no label; they read a file
// with one.
struct RawLabel {
  uint32_t crc32c;  // of all that follows, seeded with that of RawExtension
  uint32_t reserved;
  char text[56];
};
static_assert(std::is_trivially_copyable_v<RawLabel> && sizeof(RawLabel) == 64);
static_assert(offsetof(RawLabel, text) == 8 && sizeof(RawLabel::text) == sizeof(Extension::label));

constexpr uint64_t kLabelOffset = kExtensionOffset + sizeof(RawExtension);
// In one sector with the rest of the header, so that a power failure leaves all of it or nothing.
static_assert(kLabelOffset + sizeof(RawLabel) <= 512 && 512 <= kDataOffset);

// Returns the checksum of all bytes of `raw` from `from` on.
template <typename Raw>
uint32_t ChecksumFrom(uint32_t seed, const Raw& raw, size_t from) {
  return Crc32c(seed, Bytes(reinterpret_cast<const uint8_t*>(&raw) + from, sizeof raw - from));
}

uint32_t Checksum(const RawExtension& raw) { return ChecksumFrom(0, raw, offsetof(RawExtension, data_format)); }
uint32_t Checksum(const RawLabel& raw, uint32_t seed) { return ChecksumFrom(seed, raw, offsetof(RawLabel, reserved)); }

absl::Status DecodeLabel(Bytes file, uint32_t seed, Extension& extension) {
  if (file.size() < kLabelOffset + sizeof(RawLabel)) return absl::OkStatus();
  const Bytes bytes = file.subspan(kLabelOffset, sizeof(RawLabel));
  if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; })) return absl::OkStatus();
  const auto raw = LoadUnaligned<RawLabel>(bytes.data());
  if (const uint32_t crc = Checksum(raw, seed); raw.crc32c != crc) {
    return absl::DataLossError(
        absl::StrFormat("the label has the checksum 0x%08x, its bytes have 0x%08x", raw.crc32c, crc));
  }
  std::copy(std::begin(raw.text), std::end(raw.text), extension.label.begin());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<Extension>> Extension::Decode(Bytes file) {
  if (file.size() < kExtensionOffset + sizeof(RawExtension)) return std::nullopt;
  const auto raw = LoadUnaligned<RawExtension>(file.data() + kExtensionOffset);
  if (raw.magic != kMagic) return std::nullopt;
  // A version of 0 is no older or newer format: power failed before all of the block was on the
  // disk.
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
  if (absl::Status label = DecodeLabel(file, raw.crc32c, extension); !label.ok()) return label;
  return extension;
}

void Extension::EncodeTo(MutableBytes file) const {
  KB_CHECK(file.size() >= kDataOffset);
  RawExtension raw{.magic = kMagic, .version = kExtensionVersion, .crc32c = 0, .data_format = data_format, .hints = {}};
  std::copy(hints.begin(), hints.end(), std::begin(raw.hints));
  raw.crc32c = Checksum(raw);
  StoreUnaligned(file.data() + kExtensionOffset, raw);
  RawLabel raw_label{.crc32c = 0, .reserved = 0, .text = {}};
  std::copy(label.begin(), label.end(), std::begin(raw_label.text));
  if (label != decltype(label){}) raw_label.crc32c = Checksum(raw_label, raw.crc32c);
  StoreUnaligned(file.data() + kLabelOffset, raw_label);
}

}  // namespace kekbit
