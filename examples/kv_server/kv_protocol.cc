#include "examples/kv_server/kv_protocol.h"

#include <hiredis/read.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "kekbit/base/check.h"

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
        word += absl::HexStringToBytes(rest.substr(1, 2));
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

// What hiredis says of a request that is none, in Redis' words.
std::string InRedisWords(absl::string_view text) {
  if (absl::StrContains(text, "ulti-bulk length")) return "invalid multibulk length";
  if (absl::StrContains(text, "ulk string length")) return "invalid bulk length";
  std::string byte;
  if (absl::ConsumePrefix(&text, "Protocol error, got \"") && absl::ConsumeSuffix(&text, "\" as reply type byte") &&
      absl::CUnescape(text, &byte)) {
    return absl::StrCat("expected '$', got '", byte, "'");
  }
  return std::string(text);
}

}  // namespace

// hiredis makes an object of each part through these; a null one means that it went wrong. Ours puts the strings into
// the parser's arguments, and stands for the parser itself.
struct KvRequestParser::Hooks {
  static KvRequestParser* Parser(const redisReadTask* task) { return static_cast<KvRequestParser*>(task->privdata); }

  static void* Array(const redisReadTask* task, int elements) {
    KvRequestParser* parser = Parser(task);
    if (task->parent != nullptr) return Unexpected(task, '*');
    if (static_cast<size_t>(elements) > parser->limits_.arguments_max) {
      parser->Fail("invalid multibulk length");
      return nullptr;
    }
    return parser;
  }
  static void* String(const redisReadTask* task, char* text, size_t size) {
    KvRequestParser* parser = Parser(task);
    if (task->parent == nullptr || task->type != REDIS_REPLY_STRING) {
      return Unexpected(task, task->type == REDIS_REPLY_STATUS ? '+' : task->type == REDIS_REPLY_ERROR ? '-' : '$');
    }
    parser->bytes_ += size;
    if (size > parser->limits_.string_bytes_max || parser->bytes_ > parser->limits_.request_bytes_max) {
      parser->Fail("invalid bulk length");
      return nullptr;
    }
    parser->arguments_.emplace_back(text, size);
    return parser;
  }
  static void* Integer(const redisReadTask* task, long long /*value*/) { return Unexpected(task, ':'); }
  static void* Nil(const redisReadTask* task) {
    if (task->parent == nullptr && task->type == REDIS_REPLY_ARRAY) return Parser(task);  // *-1: no request
    Parser(task)->Fail(task->type == REDIS_REPLY_ARRAY ? "expected '$', got '*'" : "invalid bulk length");
    return nullptr;
  }
  static void Free(void* /*object*/) {}

  static void* Unexpected(const redisReadTask* task, char type) {
    Parser(task)->Fail(absl::StrCat("expected '$', got '", absl::string_view(&type, 1), "'"));
    return nullptr;
  }

  static redisReplyObjectFunctions* Table() {
    static redisReplyObjectFunctions table = {String, Array, Integer, Nil, Free};
    return &table;
  }
};

KvRequestParser::KvRequestParser(const KvRequestLimits& limits) : limits_(limits), reader_(nullptr, redisReaderFree) {
  Restart({});
}

void KvRequestParser::Restart(const std::string& bytes) {
  reader_.reset(redisReaderCreateWithFunctions(Hooks::Table()));
  KB_CHECK(reader_ != nullptr);
  reader_->privdata = this;
  Feed(bytes);
}

KvRequestParser::~KvRequestParser() = default;

void KvRequestParser::Feed(absl::string_view bytes) {
  if (error_.empty()) redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
}

KvParse KvRequestParser::Next(KvArguments* arguments) {
  for (;;) {
    if (!error_.empty()) return KvParse::kError;
    const bool between = reader_->ridx < 0;  // two requests
    if (between && reader_->pos == reader_->len) return KvParse::kMore;
    const KvParse parse = between && reader_->buf[reader_->pos] != '*' ? NextLine() : NextArray();
    if (parse != KvParse::kRequest) return parse;
    bytes_ = 0;
    arguments->clear();
    arguments->swap(arguments_);
    if (!arguments->empty()) return KvParse::kRequest;
  }
}

KvParse KvRequestParser::NextArray() {
  void* request = nullptr;
  if (redisReaderGetReply(reader_.get(), &request) != REDIS_OK) {
    return error_.empty() ? Fail(InRedisWords(reader_->errstr)) : KvParse::kError;
  }
  if (request != nullptr) return KvParse::kRequest;
  return CheckPending() ? KvParse::kMore : KvParse::kError;
}

bool KvRequestParser::CheckPending() {
  // hiredis stands behind the byte that tells what begins here, which it has kept as the task's type.
  const redisReadTask& task = reader_->rstack[std::max(reader_->ridx, 0)];
  const absl::string_view pending(reader_->buf + reader_->pos, reader_->len - reader_->pos);
  const size_t end = pending.substr(0, limits_.line_bytes_max).find("\r\n");
  if (end == absl::string_view::npos) {
    if (pending.size() + 1 < limits_.line_bytes_max) return true;
    Fail(task.parent == nullptr ? "too big mbulk count string" : "too big bulk count string");
    return false;
  }
  // A string that is announced and not all there. hiredis has checked that it is a number.
  int64_t size = 0;
  if (task.type != REDIS_REPLY_STRING || !absl::SimpleAtoi(pending.substr(0, end), &size)) return true;
  if (size >= 0 && static_cast<uint64_t>(size) <= limits_.string_bytes_max &&
      bytes_ + static_cast<uint64_t>(size) <= limits_.request_bytes_max) {
    return true;
  }
  Fail("invalid bulk length");
  return false;
}

KvParse KvRequestParser::NextLine() {
  const char* begin = reader_->buf + reader_->pos;
  const size_t size = std::min(reader_->len - reader_->pos, limits_.line_bytes_max);
  const auto* end = static_cast<const char*>(std::memchr(begin, '\n', size));
  if (end == nullptr) return size < limits_.line_bytes_max ? KvParse::kMore : Fail("too big inline request");
  if (!SplitWords(absl::string_view(begin, static_cast<size_t>(end - begin)), &arguments_)) {
    return Fail("unbalanced quotes in request");
  }
  // A browser that was lured here: what it was made to send is no request.
  if (!arguments_.empty()) {
    const std::string word = absl::AsciiStrToLower(arguments_[0]);
    if (word == "post" || word == "host:") return Fail("this is no HTTP server");
  }
  reader_->pos += static_cast<size_t>(end - begin) + 1;
  // hiredis forgets what it has read itself only.
  if (reader_->pos >= 1024) Restart(std::string(reader_->buf + reader_->pos, reader_->len - reader_->pos));
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

void KvReplyWriter::Nil() { to_.append("$-1\r\n", 5); }
void KvReplyWriter::NilArray() { to_.append("*-1\r\n", 5); }
void KvReplyWriter::Array(size_t count) { Head('*', static_cast<int64_t>(count)); }

}  // namespace kekbit::examples
