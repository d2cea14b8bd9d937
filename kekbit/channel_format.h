// Layout of a channel file: what writer and reader share. See channel_format.md.
//
// The numbers are those of the Rust library kekbit 0.2.x, so each side reads the other's files.
// Never change them.

#ifndef KEKBIT_CHANNEL_FORMAT_H_
#define KEKBIT_CHANNEL_FORMAT_H_

#include <cstdint>

namespace kekbit {

// File: header, extension block, data area of `capacity` bytes, footer.
inline constexpr uint64_t kHeaderBytes = 128;
inline constexpr uint64_t kExtensionOffset = kHeaderBytes;
inline constexpr uint64_t kDataOffset = 1024;
// The footer follows the data area: a WATERMARK or CLOSE has a place even after a record that ends
// with the area.
inline constexpr uint64_t kFooterBytes = 32;

inline constexpr uint64_t kSignature = 0x2A54'4942'4B45'4B2A;  // "*KEKBIT*" as bytes

// A record: a length word, the payload, padding up to the next multiple of 8. In place of a length
// stands a marker:
inline constexpr uint64_t kWatermark = 0xFFFF'FFFF'1111'1111;  // nothing further yet
inline constexpr uint64_t kClose = 0xFFFF'FFFF'FFFF'FFFF;      // nothing further ever
inline constexpr uint64_t kHeartbeat = 0;                      // a record without payload: the writer was alive here

inline constexpr uint64_t kLengthBytes = 8;
inline constexpr uint64_t kAlignment = 8;

inline constexpr uint32_t kCapacityMin = 16 * 1024;
inline constexpr uint32_t kCapacityMax = 0xFFFF'FFF8;  // the header has 32 bits for it

constexpr uint64_t AlignUp(uint64_t n) { return (n + (kAlignment - 1)) & ~(kAlignment - 1); }

// Bytes that a record with a payload of `length` bytes takes in the data area. `length` is below
// 2^32.
constexpr uint64_t RecordBytes(uint64_t length) { return AlignUp(kLengthBytes + length); }

// Length of the file of a channel.
constexpr uint64_t ChannelFileBytes(uint32_t capacity) { return kDataOffset + capacity + kFooterBytes; }

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_FORMAT_H_
