// Extension is what this library adds to a channel's header, in bytes that the Rust library leaves
// unused. See channel_format.md.
//
// A channel without an extension is a plain channel, written by the Rust library. That library says
// nothing of its data format and holds no lock while it writes.

#ifndef KEKBIT_EXTENSION_H_
#define KEKBIT_EXTENSION_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

struct Extension {
  // Id of the format of the payloads: see codecs/.
  uint64_t data_format = kRawDataFormat;
  // Words of the channel's maker; channels pass them through. A journal says here which part of it
  // a segment holds.
  std::array<uint64_t, 4> hints = {};
  // A text of theirs, padded with zeros; a journal names here the state whose commands it holds.
  // Files of earlier versions have none.
  std::array<char, 56> label = {};

  // Reads the extension of a whole `file`; nullopt for a plain channel. DataLoss if the checksum
  // does not hold. FailedPrecondition for a version that this code can't read.
  static absl::StatusOr<std::optional<Extension>> Decode(Bytes file);

  // Writes the extension in its place. REQUIRES: `file` is at least kDataOffset bytes long.
  void EncodeTo(MutableBytes file) const;

  friend bool operator==(const Extension&, const Extension&) = default;
};

}  // namespace kekbit

#endif  // KEKBIT_EXTENSION_H_
