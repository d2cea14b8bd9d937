// Errors that codecs have in common. All are off the hot path, and none is inlined into it.

#ifndef KEKBIT_CODECS_CODEC_ERRORS_H_
#define KEKBIT_CODECS_CODEC_ERRORS_H_

#include <cstddef>

#include "absl/base/attributes.h"
#include "absl/status/status.h"

namespace kekbit::internal {

// Returns ResourceExhausted: an encoding takes `needed` bytes, and there is room for `room`.
ABSL_ATTRIBUTE_COLD absl::Status NeedsMoreRoom(size_t needed, size_t room);
// Returns ResourceExhausted where nobody counted how many bytes are needed.
ABSL_ATTRIBUTE_COLD absl::Status NeedsMoreRoom(size_t room);

// Returns DataLoss: `left` of `size` bytes stand after what was decoded.
ABSL_ATTRIBUTE_COLD absl::Status BytesLeftOver(size_t left, size_t size);

// Returns the error of the exception being handled; call this in a catch block. Out of memory is
// ResourceExhausted on decoding. On encoding that code means more room in the channel: there
// everything is InvalidArgument.
ABSL_ATTRIBUTE_COLD absl::Status EncodingException();
ABSL_ATTRIBUTE_COLD absl::Status DecodingException();

}  // namespace kekbit::internal

#endif  // KEKBIT_CODECS_CODEC_ERRORS_H_
