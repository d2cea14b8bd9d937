// Whole files as strings, for tests that look at bytes or plant them. Errors end the process.

#ifndef KEKBIT_TESTS_SUPPORT_FILE_BYTES_H_
#define KEKBIT_TESTS_SUPPORT_FILE_BYTES_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/string_view.h"

namespace kekbit {

inline std::string ReadFileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "can't read %s\n", path.c_str());
    std::abort();
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Tests that damage one place after the other go so many places further each time: 1, but for builds
// in which each takes long. No multiple of a power of two: all kinds of places are met.
inline uint64_t DamageStride() {
  const char* const stride = std::getenv("KEKBIT_DAMAGE_STRIDE");
  return stride == nullptr ? 1 : std::strtoull(stride, nullptr, 10);
}

// Makes the file, or replaces all that was in it.
inline void WriteFileBytes(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    std::fprintf(stderr, "can't write %s\n", path.c_str());
    std::abort();
  }
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FILE_BYTES_H_
