// TimeoutReader takes the writer for gone after a silence as long as the channel's header says. A
// heartbeat, too, ends a silence.
//
//   TimeoutReader reader(*ShmReader::Open(root, channel_id));
//   while (!reader.reader().exhausted() && !reader.timed_out()) {
//     if (auto payload = reader.TryRead()) Use(*payload);
//   }
//
// A timeout is a guess. A stopped or starved writer may go on later; the reader may then go on,
// too, and is timed out no more. ShmReader::WriterAlive() is no guess. A timeout is for channels of
// the Rust library, and for writers that promise heartbeats. Silence is measured on the monotonic
// clock, from the first look that found nothing.
//
// Thread safety, publication, lifetimes: as ShmReader.

#ifndef KEKBIT_TIMEOUT_READER_H_
#define KEKBIT_TIMEOUT_READER_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kekbit/base/clock.h"
#include "kekbit/shm_reader.h"

namespace kekbit {

class TimeoutReader final {
 public:
  // `clock` outlives the reader.
  explicit TimeoutReader(ShmReader reader, const Clock& clock = Clock::System())
      : reader_(std::move(reader)), clock_(clock), timeout_ns_(TimeoutNanos(reader_.header())) {}

  // Returns the payload of the next record, or nullopt: none yet, none ever (reader().exhausted()),
  // or timed_out().
  std::optional<Bytes> TryRead() {
    const uint64_t before = reader_.position();
    std::optional<Bytes> payload = reader_.TryRead();
    if (payload || reader_.position() != before || reader_.exhausted()) {
      silent_since_ns_.reset();
      timed_out_ = false;
      return payload;
    }
    const int64_t now = clock_.MonotonicNanos();
    if (!silent_since_ns_) silent_since_ns_ = now;
    timed_out_ = now - *silent_since_ns_ >= timeout_ns_;
    return std::nullopt;
  }

  // Returns true if the last TryRead() found the writer silent for the timeout or longer.
  bool timed_out() const { return timed_out_; }

  // Returns ShmReader::status(), or Unavailable when timed out.
  absl::Status status() const {
    if (!timed_out_) return reader_.status();
    return absl::UnavailableError(absl::StrCat(reader_.path(), ": the writer has been silent at offset ",
                                               reader_.position(), " for ", timeout_ns_, " ns or longer"));
  }

  ShmReader& reader() { return reader_; }

 private:
  // Returns the header's timeout, or the longest that can be counted.
  static int64_t TimeoutNanos(const Header& header) {
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    const uint64_t unit = NanosPerTick(header.tick_unit());
    return static_cast<int64_t>(std::min(header.timeout(), kMax / unit) * unit);
  }

  ShmReader reader_;
  const Clock& clock_;
  int64_t timeout_ns_;
  std::optional<int64_t> silent_since_ns_;
  bool timed_out_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_TIMEOUT_READER_H_
