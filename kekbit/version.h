// Version of a file's format: a word in the header, major in 16 bits, then minor in 16, then patch
// in 32.

#ifndef KEKBIT_VERSION_H_
#define KEKBIT_VERSION_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace kekbit {

struct Version {
  uint16_t major = 0;
  uint16_t minor = 0;
  uint32_t patch = 0;

  static constexpr Version FromWord(uint64_t word) {
    return {static_cast<uint16_t>(word >> 48), static_cast<uint16_t>(word >> 32), static_cast<uint32_t>(word)};
  }
  constexpr uint64_t ToWord() const {
    return static_cast<uint64_t>(major) << 48 | static_cast<uint64_t>(minor) << 32 | patch;
  }

  // Returns true if code of this version can read a file of version `file`: the same major, and no
  // newer minor. A newer minor may hold what this code does not know.
  constexpr bool CanRead(Version file) const { return file.major == major && file.minor <= minor; }

  std::string ToString() const { return absl::StrCat(major, ".", minor, ".", patch); }

  // NOLINTNEXTLINE(modernize-use-nullptr): it takes the comparison with 0 inside for one with a pointer
  friend constexpr auto operator<=>(const Version&, const Version&) = default;
};

// The version of the channel format that this code writes.
inline constexpr Version kChannelVersion{1, 0, 0};

}  // namespace kekbit

#endif  // KEKBIT_VERSION_H_
