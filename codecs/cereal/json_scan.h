// ScanJson refuses text that could hurt a parser or be misread, before the parser sees the text.
//
// The scan is no parser: what passes may still be no JSON. It runs in one pass, without recursion
// or allocation.

#ifndef KEKBIT_CODECS_CEREAL_JSON_SCAN_H_
#define KEKBIT_CODECS_CEREAL_JSON_SCAN_H_

#include "kekbit/base/bytes.h"

namespace kekbit {

// Depth to which objects and arrays may nest: parsers recurse, and so do the types that are read
// from them.
inline constexpr int kJsonDepthMax = 256;

// Returns null if `text` is harmless, else what is wrong. Wrong is: nested too deep; a zero byte
// (for RapidJSON the end of the text, whatever follows); an escaped zero in a string (where cereal
// would truncate the string); or an outermost object with more than one member (cereal reads the
// first, and would leave the rest unread).
const char* ScanJson(Bytes text);

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CEREAL_JSON_SCAN_H_
