// ResizeBuffer makes a buffer longer, or returns the error that the machine has no memory for it.

#ifndef KEKBIT_BASE_BUFFER_H_
#define KEKBIT_BASE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace kekbit {

// Makes `buffer` `bytes` long. ResourceExhausted, with `what` it is for, if there is no memory: then
// the buffer is as before.
inline absl::Status ResizeBuffer(std::vector<uint8_t>& buffer, size_t bytes, absl::string_view what) {
  try {
    buffer.resize(bytes);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": no memory for a buffer of ", bytes, " bytes"));
  }
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_BUFFER_H_
