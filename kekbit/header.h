// Header holds what the first bytes of a channel file say of the channel. See channel_format.md.
//
//   auto header = Header::Make(
//       {.writer_id = 1850, .channel_id = 42, .capacity = 1 << 20, .max_msg_len = 1000});
//
// A Header always holds valid values: Make() and Decode() refuse others. It is a plain value, safe
// to copy and to share.

#ifndef KEKBIT_HEADER_H_
#define KEKBIT_HEADER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/clock.h"
#include "kekbit/tick_unit.h"
#include "kekbit/version.h"

namespace kekbit {

// HeaderOptions is what the creator of a channel chooses.
struct HeaderOptions {
  uint64_t writer_id = 0;
  uint64_t channel_id = 0;
  // Bytes of the data area: raised to 16 KiB, then rounded up to a multiple of 8. At most 2^32 - 8.
  uint32_t capacity = 64u << 20;
  // The longest payload wanted. A channel takes at most about 1/128 of its capacity in one record;
  // the real limit is Header::max_msg_len.
  uint32_t max_msg_len = 64u << 10;
  // Ticks of silence after which a reader may take the writer for gone (see TimeoutReader).
  uint64_t timeout = 10'000'000'000;
  TickUnit tick_unit = TickUnit::kNanos;
  // In ticks since the Unix epoch; the clock's time unless set.
  std::optional<uint64_t> creation_time = std::nullopt;
};

class Header final {
 public:
  // InvalidArgument if the capacity is above the maximum.
  static absl::StatusOr<Header> Make(const HeaderOptions& options, const Clock& clock = Clock::System());

  // Reads the header at the beginning of `file`. DataLoss if the header is too short, or has
  // another signature, an unknown tick unit, or impossible sizes. FailedPrecondition if this code
  // can't read the header's version.
  static absl::StatusOr<Header> Decode(Bytes file);

  // Writes the kHeaderBytes bytes of the header. REQUIRES: `file` is at least that long.
  void EncodeTo(MutableBytes file) const;

  Version version() const { return version_; }
  uint64_t writer_id() const { return writer_id_; }
  uint64_t channel_id() const { return channel_id_; }
  // Bytes of the data area.
  uint32_t capacity() const { return capacity_; }
  // Bytes of the longest payload that the writer accepts.
  uint32_t max_msg_len() const { return max_msg_len_; }
  // In ticks of tick_unit().
  uint64_t timeout() const { return timeout_; }
  uint64_t creation_time() const { return creation_time_; }
  TickUnit tick_unit() const { return tick_unit_; }

  // One line for people.
  std::string ToString() const;

  friend bool operator==(const Header&, const Header&) = default;

 private:
  Header() = default;

  Version version_ = kChannelVersion;
  uint64_t writer_id_ = 0;
  uint64_t channel_id_ = 0;
  uint32_t capacity_ = 0;
  uint32_t max_msg_len_ = 0;
  uint64_t timeout_ = 0;
  uint64_t creation_time_ = 0;
  TickUnit tick_unit_ = TickUnit::kNanos;
};

}  // namespace kekbit

#endif  // KEKBIT_HEADER_H_
