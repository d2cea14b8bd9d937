// Patterns of KEYS, SCAN and CONFIG GET.

#include <utility>

#include "examples/kv_server/kv_queries.h"

namespace kekbit::examples {
namespace {

// Returns true if `c` is in the class that begins at `pattern[*at]`, after its '['; moves *at to
// after its ']'.
bool InClass(absl::string_view pattern, size_t* at, char c) {
  const bool negated = *at < pattern.size() && pattern[*at] == '^';
  if (negated) ++*at;
  const auto byte = static_cast<unsigned char>(c);
  bool found = false;
  for (; *at < pattern.size() && pattern[*at] != ']'; ++*at) {
    if (pattern[*at] == '\\' && *at + 1 < pattern.size()) {
      ++*at;
      found = found || pattern[*at] == c;
    } else if (*at + 2 < pattern.size() && pattern[*at + 1] == '-') {
      auto low = static_cast<unsigned char>(pattern[*at]);
      auto high = static_cast<unsigned char>(pattern[*at + 2]);
      if (low > high) std::swap(low, high);
      found = found || (byte >= low && byte <= high);
      *at += 2;
    } else {
      found = found || pattern[*at] == c;
    }
  }
  if (*at < pattern.size()) ++*at;
  return found != negated;
}

}  // namespace

bool MatchesKvPattern(absl::string_view pattern, absl::string_view text) {
  // After a '*' that matched too little, it takes one character more: only the last one seen has to
  // be tried again.
  size_t star = absl::string_view::npos;
  size_t star_text = 0;
  size_t at = 0;
  size_t i = 0;
  while (i < text.size() || at < pattern.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      star_text = i;
      continue;
    }
    if (at < pattern.size() && i < text.size()) {
      size_t next = at + 1;
      bool matches = true;
      if (pattern[at] == '[') {
        matches = InClass(pattern, &next, text[i]);
      } else if (pattern[at] != '?') {
        if (pattern[at] == '\\' && next < pattern.size()) ++next;
        matches = pattern[next - 1] == text[i];
      }
      if (matches) {
        at = next;
        ++i;
        continue;
      }
    }
    if (star == absl::string_view::npos || star_text >= text.size()) return false;
    at = star;
    i = ++star_text;
  }
  return true;
}

}  // namespace kekbit::examples
