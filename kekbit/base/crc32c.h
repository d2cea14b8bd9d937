// Crc32c is the checksum CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's
// instruction where there is one.

#ifndef KEKBIT_BASE_CRC32C_H_
#define KEKBIT_BASE_CRC32C_H_

#include <cstdint>

#include "kekbit/base/bytes.h"

namespace kekbit {

// Returns the checksum of what `crc` is the checksum of, followed by `bytes`; `crc` is 0 at the
// beginning. So a checksum can be taken in pieces, or chained from one record to the next.
uint32_t Crc32c(uint32_t crc, Bytes bytes);

namespace internal {

// Computes Crc32c() without the instruction: for processors that lack it, and for tests that
// compare the two.
uint32_t Crc32cPortable(uint32_t crc, Bytes bytes);

}  // namespace internal
}  // namespace kekbit

#endif  // KEKBIT_BASE_CRC32C_H_
