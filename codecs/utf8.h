// ValidUtf8Prefix finds where text stops being UTF-8, as Unicode defines UTF-8. That means no
// overlong forms, no surrogates, nothing above U+10FFFF, nothing cut off.

#ifndef KEKBIT_CODECS_UTF8_H_
#define KEKBIT_CODECS_UTF8_H_

#include <cstddef>

#include "kekbit/base/bytes.h"

namespace kekbit {

// Returns the length of the longest beginning of `text` that is valid UTF-8: text.size() if all is.
size_t ValidUtf8Prefix(Bytes text);

}  // namespace kekbit

#endif  // KEKBIT_CODECS_UTF8_H_
