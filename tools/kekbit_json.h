// JsonLine builds one flat JSON object, its fields in the order of the calls.
//
//   JsonLine line;
//   line.Number("offset", 8).String("kind", "record").Hex("payload", payload);
//   output.Line(line.Take());   // {"offset":8,"kind":"record","payload":"6869"}
//
// The result is strict JSON, whatever goes in: valid UTF-8 without raw control characters. Names
// are the caller's own words and are not escaped.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_TOOLS_KEKBIT_JSON_H_
#define KEKBIT_TOOLS_KEKBIT_JSON_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

class JsonLine final {
 public:
  JsonLine& Number(absl::string_view name, uint64_t value);
  JsonLine& Signed(absl::string_view name, int64_t value);
  JsonLine& Bool(absl::string_view name, bool value);
  // Adds text; bytes that are no UTF-8 become U+FFFD: a path may have such.
  JsonLine& String(absl::string_view name, absl::string_view value);
  // Adds two lower case digits a byte.
  JsonLine& Hex(absl::string_view name, Bytes value);

  // Returns the whole object, without a line end. The line is then empty again.
  std::string Take();

 private:
  void Name(absl::string_view name);

  std::string text_;
};

// Returns `text` as JSON writes it, with its quotes.
std::string ToJsonString(absl::string_view text);

// Returns two lower case digits a byte.
std::string ToHex(Bytes bytes);

// Returns true if people would take the bytes for text: valid UTF-8 without control characters but
// tab and line feed.
bool IsText(Bytes bytes);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_JSON_H_
