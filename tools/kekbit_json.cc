#include "tools/kekbit_json.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/codecs/utf8.h"

namespace kekbit {
namespace {

void AppendEscaped(absl::string_view valid_utf8, std::string& to) {
  for (const char c : valid_utf8) {
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (c == '\n') {
      to.append("\\n");
    } else if (c == '\t') {
      to.append("\\t");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&to, "\\u%04x", static_cast<unsigned>(c));
    } else {
      to.push_back(c);
    }
  }
}

}  // namespace

void JsonLine::Name(absl::string_view name) { absl::StrAppend(&text_, text_.empty() ? "{" : ",", "\"", name, "\":"); }

JsonLine& JsonLine::Number(absl::string_view name, uint64_t value) {
  Name(name);
  absl::StrAppend(&text_, value);
  return *this;
}

JsonLine& JsonLine::Signed(absl::string_view name, int64_t value) {
  Name(name);
  absl::StrAppend(&text_, value);
  return *this;
}

JsonLine& JsonLine::Bool(absl::string_view name, bool value) {
  Name(name);
  text_.append(value ? "true" : "false");
  return *this;
}

JsonLine& JsonLine::String(absl::string_view name, absl::string_view value) {
  Name(name);
  text_.append(ToJsonString(value));
  return *this;
}

JsonLine& JsonLine::Hex(absl::string_view name, Bytes value) {
  Name(name);
  absl::StrAppend(&text_, "\"", ToHex(value), "\"");
  return *this;
}

std::string JsonLine::Take() {
  if (text_.empty()) text_.push_back('{');
  text_.push_back('}');
  return std::exchange(text_, {});
}

std::string ToJsonString(absl::string_view text) {
  std::string json = "\"";
  for (;;) {
    const size_t valid = ValidUtf8Prefix(AsBytes(text));
    AppendEscaped(text.substr(0, valid), json);
    if (valid == text.size()) break;
    json.append("\\ufffd");
    text.remove_prefix(valid + 1);
  }
  json.push_back('"');
  return json;
}

std::string ToHex(Bytes bytes) { return absl::BytesToHexString(AsText(bytes)); }

bool IsText(Bytes bytes) {
  if (ValidUtf8Prefix(bytes) != bytes.size()) return false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t c = bytes[i];
    if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7F) return false;
    // U+0080 to U+009F are control characters, too.
    if (c == 0xC2 && bytes[i + 1] < 0xA0) return false;
  }
  return true;
}

}  // namespace kekbit
