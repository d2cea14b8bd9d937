#include "kekbit/header.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/check.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

struct RawHeader {
  uint64_t signature;
  uint64_t version;
  uint64_t writer_id;
  uint64_t channel_id;
  uint32_t capacity;
  uint32_t max_msg_len;
  uint64_t timeout;
  uint64_t creation_time;
  uint8_t tick_unit;
  uint8_t zeros[71];
};
static_assert(std::is_trivially_copyable_v<RawHeader> && sizeof(RawHeader) == kHeaderBytes);
static_assert(offsetof(RawHeader, writer_id) == 16 && offsetof(RawHeader, channel_id) == 24);
static_assert(offsetof(RawHeader, capacity) == 32 && offsetof(RawHeader, max_msg_len) == 36);
static_assert(offsetof(RawHeader, timeout) == 40 && offsetof(RawHeader, creation_time) == 48);
static_assert(offsetof(RawHeader, tick_unit) == 56);

// A writer may hold at least this many records of the longest kind.
constexpr uint64_t kRecordsMin = 128;

}  // namespace

absl::StatusOr<Header> Header::Make(const HeaderOptions& options, const Clock& clock) {
  if (options.capacity > kCapacityMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a channel's capacity of ", options.capacity, " bytes is above the maximum of ", kCapacityMax));
  }
  Header header;
  header.writer_id_ = options.writer_id;
  header.channel_id_ = options.channel_id;
  header.capacity_ = static_cast<uint32_t>(AlignUp(std::max(options.capacity, kCapacityMin)));
  const uint64_t wanted = uint64_t{options.max_msg_len} + kLengthBytes;
  header.max_msg_len_ = static_cast<uint32_t>(AlignUp(std::min(wanted, header.capacity_ / kRecordsMin - kLengthBytes)));
  header.timeout_ = options.timeout;
  header.tick_unit_ = options.tick_unit;
  header.creation_time_ = options.creation_time.value_or(TicksNow(options.tick_unit, clock));
  return header;
}

absl::StatusOr<Header> Header::Decode(Bytes file) {
  if (file.size() < kHeaderBytes) {
    return absl::DataLossError(
        absl::StrCat("a file of ", file.size(), " bytes is too short for the header of ", kHeaderBytes, " bytes"));
  }
  const auto raw = LoadUnaligned<RawHeader>(file.data());
  if (raw.signature != kSignature) {
    return absl::DataLossError(
        absl::StrFormat("signature is 0x%016x, not 0x%016x: not a kekbit channel", raw.signature, kSignature));
  }
  const Version version = Version::FromWord(raw.version);
  // A version of 0 is no older or newer format: power failed before all of the header was on the
  // disk.
  if (raw.version == 0) return absl::DataLossError("the channel's header has no version: it was not written whole");
  if (!kChannelVersion.CanRead(version)) {
    return absl::FailedPreconditionError(absl::StrCat("channel format is version ", version.ToString(),
                                                      ", this code reads ", kChannelVersion.ToString()));
  }
  if (raw.capacity < kCapacityMin || raw.capacity % kAlignment != 0) {
    return absl::DataLossError(absl::StrCat("capacity is ", raw.capacity, ", which is not a multiple of ", kAlignment,
                                            " of at least ", kCapacityMin));
  }
  if (raw.max_msg_len == 0 || raw.max_msg_len > raw.capacity / kRecordsMin) {
    return absl::DataLossError(absl::StrCat("longest payload is ", raw.max_msg_len, ", which is not in 1 to ",
                                            raw.capacity / kRecordsMin, ", 1/", kRecordsMin, " of the capacity"));
  }
  const auto tick_unit = TickUnitFromId(raw.tick_unit);
  if (!tick_unit) {
    return absl::DataLossError(absl::StrCat("tick unit is ", raw.tick_unit, ", not one of 0, 3, 6, 9"));
  }
  Header header;
  header.version_ = version;
  header.writer_id_ = raw.writer_id;
  header.channel_id_ = raw.channel_id;
  header.capacity_ = raw.capacity;
  header.max_msg_len_ = raw.max_msg_len;
  header.timeout_ = raw.timeout;
  header.creation_time_ = raw.creation_time;
  header.tick_unit_ = *tick_unit;
  return header;
}

void Header::EncodeTo(MutableBytes file) const {
  KB_CHECK(file.size() >= kHeaderBytes);
  RawHeader raw;
  std::memset(&raw, 0, sizeof raw);
  raw.signature = kSignature;
  raw.version = version_.ToWord();
  raw.writer_id = writer_id_;
  raw.channel_id = channel_id_;
  raw.capacity = capacity_;
  raw.max_msg_len = max_msg_len_;
  raw.timeout = timeout_;
  raw.creation_time = creation_time_;
  raw.tick_unit = static_cast<uint8_t>(tick_unit_);
  StoreUnaligned(file.data(), raw);
}

std::string Header::ToString() const {
  return absl::StrCat("version ", version_.ToString(), ", writer ", writer_id_, ", channel ", channel_id_,
                      ", capacity ", capacity_, ", longest payload ", max_msg_len_, ", timeout ", timeout_, " ",
                      TickUnitName(tick_unit_), ", created ", creation_time_, " ", TickUnitName(tick_unit_));
}

}  // namespace kekbit
