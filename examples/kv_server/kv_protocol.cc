#include "examples/kv_server/kv_protocol.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace kekbit::examples {
namespace {

// Cuts a line into words as Redis does: "double quotes" know \n \r \t \b \a \xHH and any other character by itself,
// 'single quotes' know \'. False if a quote does not end, or does not end its word.
bool SplitWords(absl::string_view line, KvArguments* words) {
  const auto is_space = [](char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); };
  const auto is_hex = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
  static constexpr absl::string_view kEscapes = "nrtba";
  static constexpr absl::string_view kEscaped = "\n\r\t\b\a";
  for (size_t at = 0; at < line.size();) {
    if (is_space(line[at])) {
      ++at;
      continue;
    }
    std::string word;
    char quote = 0;
    for (; at < line.size() && (quote != 0 || !is_space(line[at])); ++at) {
      const char c = line[at];
      const absl::string_view rest = line.substr(at + 1);
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (quote == '"' && c == '\\' && rest.size() >= 3 && rest[0] == 'x' && is_hex(rest[1]) &&
                 is_hex(rest[2])) {
        uint8_t byte = 0;
        std::from_chars(rest.data() + 1, rest.data() + 3, byte, 16);
        word += static_cast<char>(byte);
        at += 3;
      } else if (quote == '"' && c == '\\' && !rest.empty()) {
        const size_t escape = kEscapes.find(rest[0]);
        word += escape == absl::string_view::npos ? rest[0] : kEscaped[escape];
        ++at;
      } else if (quote == '\'' && absl::StartsWith(line.substr(at), "\\'")) {
        word += '\'';
        ++at;
      } else if (quote != 0 && c == quote) {
        if (!rest.empty() && !is_space(rest[0])) return false;
        quote = 0;
      } else {
        word += c;
      }
    }
    if (quote != 0) return false;
    words->push_back(std::move(word));
  }
  return true;
}

}  // namespace

bool ParseKvInteger(absl::string_view text, int64_t* value) {
  const absl::string_view digits = text.substr(!text.empty() && text[0] == '-' ? 1 : 0);
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

void KvRequestParser::Feed(absl::string_view bytes) {
  if (error_.empty()) buffer_.append(bytes.data(), bytes.size());
}

KvParse KvRequestParser::Next(KvArguments* arguments, bool stranger) {
  KvParse parse = error_.empty() ? KvParse::kRequest : KvParse::kError;
  while (parse == KvParse::kRequest) {
    parse = ReadPart(stranger);
    if (parse != KvParse::kRequest || missing_ > 0 || arguments_.empty()) continue;
    bytes_ = 0;
    arguments->clear();
    arguments->swap(arguments_);
    return KvParse::kRequest;
  }
  // Only what is unread stays; it is moved once, however often bytes are fed until a part is whole.
  constexpr size_t kBytesKept = 64 << 10;
  buffer_.erase(0, read_);
  read_ = 0;
  if (buffer_.empty() && buffer_.capacity() > kBytesKept) buffer_.shrink_to_fit();
  return parse;
}

KvParse KvRequestParser::ReadPart(bool stranger) {
  if (read_ == buffer_.size()) return KvParse::kMore;
  if (missing_ > 0) return length_ == kNoLength ? ReadLength(stranger) : ReadString();
  return buffer_[read_] == '*' ? ReadCount(stranger) : ReadWords();
}

KvParse KvRequestParser::ReadHead(absl::string_view too_long, absl::string_view* text) {
  const size_t end = unread().substr(0, limits_.line_bytes_max).find('\r');
  if (end == absl::string_view::npos) return unread().size() < limits_.line_bytes_max ? KvParse::kMore : Fail(too_long);
  if (end + 2 > unread().size()) return KvParse::kMore;
  *text = unread().substr(1, std::max<size_t>(end, 1) - 1);
  return KvParse::kRequest;
}

KvParse KvRequestParser::ReadCount(bool stranger) {
  absl::string_view text;
  const KvParse parse = ReadHead("too big mbulk count string", &text);
  if (parse != KvParse::kRequest) return parse;
  int64_t count = 0;
  if (!ParseKvInteger(text, &count) || count > static_cast<int64_t>(limits_.arguments_max)) {
    return Fail("invalid multibulk length");
  }
  if (stranger && count > static_cast<int64_t>(limits_.stranger_arguments_max)) {
    return Fail("unauthenticated multibulk length");
  }
  read_ += text.size() + 3;
  missing_ = static_cast<size_t>(std::max<int64_t>(count, 0));  // fewer than none are none
  return KvParse::kRequest;
}

KvParse KvRequestParser::ReadLength(bool stranger) {
  absl::string_view text;
  const KvParse parse = ReadHead("too big bulk count string", &text);
  if (parse != KvParse::kRequest) return parse;
  if (unread()[0] != '$') return Fail(absl::StrCat("expected '$', got '", unread().substr(0, 1), "'"));
  int64_t length = 0;
  if (!ParseKvInteger(text, &length) || length < 0 || length > static_cast<int64_t>(limits_.string_bytes_max) ||
      bytes_ + static_cast<size_t>(length) > limits_.request_bytes_max) {
    return Fail("invalid bulk length");
  }
  if (stranger && length > static_cast<int64_t>(limits_.stranger_string_bytes_max)) {
    return Fail("unauthenticated bulk length");
  }
  read_ += text.size() + 3;
  length_ = length;
  bytes_ += static_cast<size_t>(length);
  return KvParse::kRequest;
}

KvParse KvRequestParser::ReadString() {
  const auto length = static_cast<size_t>(length_);
  if (unread().size() < length + 2) return KvParse::kMore;  // its line feed
  arguments_.emplace_back(unread().substr(0, length));
  read_ += length + 2;
  length_ = kNoLength;
  --missing_;
  return KvParse::kRequest;
}

KvParse KvRequestParser::ReadWords() {
  const absl::string_view line = unread().substr(0, limits_.line_bytes_max);
  const size_t end = line.find('\n');
  if (end == absl::string_view::npos) {
    return line.size() < limits_.line_bytes_max ? KvParse::kMore : Fail("too big inline request");
  }
  if (!SplitWords(line.substr(0, end), &arguments_)) return Fail("unbalanced quotes in request");
  read_ += end + 1;
  return KvParse::kRequest;
}

KvParse KvRequestParser::Fail(absl::string_view what) {
  error_ = absl::StrCat("ERR Protocol error: ", what);
  return KvParse::kError;
}

void KvReplyWriter::Head(char type, int64_t number) {
  char digits[32];
  digits[0] = type;
  char* end = std::to_chars(digits + 1, digits + sizeof digits, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  to_.append(digits, static_cast<size_t>(end - digits));
}

void KvReplyWriter::Simple(absl::string_view text) { absl::StrAppend(&to_, "+", text, "\r\n"); }

void KvReplyWriter::Error(absl::string_view text) {
  absl::StrAppend(&to_, "-", absl::StrReplaceAll(text, {{"\r", " "}, {"\n", " "}}), "\r\n");
}

void KvReplyWriter::Integer(int64_t value) { Head(':', value); }

void KvReplyWriter::Bulk(absl::string_view bytes) {
  Head('$', static_cast<int64_t>(bytes.size()));
  to_.append(bytes.data(), bytes.size());
  to_.append("\r\n", 2);
}

void KvReplyWriter::Verbatim(absl::string_view text) {
  if (resp_ == 2) return Bulk(text);
  Head('=', static_cast<int64_t>(text.size() + 4));
  absl::StrAppend(&to_, "txt:", text, "\r\n");
}

void KvReplyWriter::Nil() { to_.append(resp_ == 2 ? "$-1\r\n" : "_\r\n"); }
void KvReplyWriter::NilArray() { to_.append(resp_ == 2 ? "*-1\r\n" : "_\r\n"); }
void KvReplyWriter::Array(size_t count) { Head('*', static_cast<int64_t>(count)); }
void KvReplyWriter::Set(size_t count) { Head(resp_ == 2 ? '*' : '~', static_cast<int64_t>(count)); }

void KvReplyWriter::Map(size_t count) {
  resp_ == 2 ? Head('*', static_cast<int64_t>(2 * count)) : Head('%', static_cast<int64_t>(count));
}

}  // namespace kekbit::examples
