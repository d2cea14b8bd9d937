// Requests in pieces, requests that are none, limits; replies; commands as requests name them.

#include "examples/kv_server/kv_protocol.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/kv_server/kv_commands.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"

namespace kekbit::examples {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Parsed {
  std::vector<KvArguments> requests;
  std::string error;  // empty: there is none
};

// Feeds `bytes` in pieces of `size`.
Parsed Parse(absl::string_view bytes, size_t size = SIZE_MAX, const KvRequestLimits& limits = {}) {
  KvRequestParser parser(limits);
  Parsed parsed;
  KvArguments request;
  for (size_t at = 0; at < bytes.size() || at == 0; at += std::min(size, bytes.size())) {
    parser.Feed(bytes.substr(at, size));
    KvParse parse = KvParse::kMore;
    while ((parse = parser.Next(&request)) == KvParse::kRequest) parsed.requests.push_back(request);
    if (parse == KvParse::kError) {
      parsed.error = parser.error();
      EXPECT_FALSE(parsed.error.empty());
      EXPECT_EQ(parser.Next(&request), KvParse::kError);
    }
    if (bytes.empty()) break;
  }
  return parsed;
}

TEST(KvRequestParserTest, RequestsInPiecesOfAnySize) {
  const std::string all =
      "*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n*1\r\n$4\r\nPING\r\n*0\r\n*-1\r\n*-2\r\n\r\nPING  a \"b c\"\r\nQUIT\n"
      "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\nabc\r\n";
  for (size_t size = 1; size <= all.size(); ++size) {
    const Parsed parsed = Parse(all, size);
    EXPECT_EQ(parsed.error, "");
    ASSERT_EQ(parsed.requests.size(), 5u) << size;
    EXPECT_THAT(parsed.requests[0], ElementsAre("GET", "hello"));
    EXPECT_THAT(parsed.requests[1], ElementsAre("PING"));
    EXPECT_THAT(parsed.requests[2], ElementsAre("PING", "a", "b c"));
    EXPECT_THAT(parsed.requests[3], ElementsAre("QUIT"));
    EXPECT_THAT(parsed.requests[4], ElementsAre("SET", "", "abc"));
  }
}

TEST(KvRequestParserTest, AnyByteInAString) {
  const std::string value("\r\n$5\r\n\0\xFF*", 9);
  const std::string bytes = absl::StrCat("*2\r\n$4\r\nECHO\r\n$", value.size(), "\r\n", value, "\r\n");
  for (size_t size = 1; size <= bytes.size(); ++size) {
    const Parsed parsed = Parse(bytes, size);
    ASSERT_EQ(parsed.requests.size(), 1u);
    EXPECT_THAT(parsed.requests[0], ElementsAre("ECHO", value));
  }
}

TEST(KvRequestParserTest, WordsAsRedisCutsThem) {
  EXPECT_THAT(Parse("a\tb  c \r\n").requests[0], ElementsAre("a", "b", "c"));
  EXPECT_THAT(Parse("\"\\x41\\n\\\"\\q\" 'it\\'s \\n' x\n").requests[0], ElementsAre("A\n\"q", "it's \\n", "x"));
  EXPECT_THAT(Parse("a\"b\" ''\n").requests[0], ElementsAre("ab", ""));
  for (const char* bad : {"\"a\n", "'a\n", "\"a\"b\n", "'a'b\n", "\"a\\\n"}) {
    EXPECT_EQ(Parse(bad).error, "ERR Protocol error: unbalanced quotes in request") << bad;
  }
  EXPECT_THAT(Parse(" \r\n\n").requests, IsEmpty());
}

TEST(KvRequestParserTest, WhatIsNoRequest) {
  for (const auto& [bytes, error] : std::vector<std::pair<std::string, std::string>>{
           {"*1\r\n:5\r\n", "expected '$', got ':'"},
           {"*1\r\n+OK\r\n", "expected '$', got '+'"},
           {"*1\r\n-ERR\r\n", "expected '$', got '-'"},
           {"*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"},
           {"*1\r\n*-1\r\n", "expected '$', got '*'"},
           {"*2\r\n$1\r\na\r\n$-1\r\n", "invalid bulk length"},
           {"*1\r\n$-2\r\n", "length"},
           {"*1\r\n$x\r\n", "length"},
           {"*x\r\n", "length"},
           {"*1\r\n!\r\n", "!"},
           {"*99999999999999999999\r\n", "length"},
           {"*1048577\r\n", "invalid multibulk length"},
           {"*1\r\n$9223372036854775807\r\n", "length"},
           {"*1\r\n$33554433\r\n", "invalid bulk length"},
       }) {
    for (const size_t size : {size_t{1}, SIZE_MAX}) {
      const Parsed parsed = Parse(absl::StrCat("*1\r\n$4\r\nPING\r\n", bytes), size);
      EXPECT_THAT(parsed.error, StartsWith("ERR Protocol error: ")) << bytes;
      EXPECT_THAT(parsed.error, HasSubstr(error)) << bytes;
      EXPECT_EQ(parsed.requests.size(), 1u) << bytes;  // what came before it counts
    }
  }
}

TEST(KvRequestParserTest, LimitsHoldBeforeTheBytesAreThere) {
  const KvRequestLimits limits = {
      .arguments_max = 3, .string_bytes_max = 10, .request_bytes_max = 25, .line_bytes_max = 64};
  const std::string ten = "$10\r\n0123456789\r\n";
  EXPECT_EQ(Parse(absl::StrCat("*2\r\n", ten, ten), 1, limits).error, "");
  EXPECT_EQ(Parse(absl::StrCat("*3\r\n", ten, ten, "$5\r\n01234\r\n"), 1, limits).error, "");
  for (const size_t size : {size_t{1}, SIZE_MAX}) {
    EXPECT_THAT(Parse("*4\r\n", size, limits).error, HasSubstr("invalid multibulk length"));
    EXPECT_THAT(Parse("*1\r\n$11\r\n", size, limits).error, HasSubstr("invalid bulk length"));
    EXPECT_THAT(Parse(absl::StrCat("*3\r\n", ten, ten, "$6\r\n"), size, limits).error,
                HasSubstr("invalid bulk length"));
    EXPECT_THAT(Parse(std::string(64, 'x'), size, limits).error, HasSubstr("too big inline request"));
    EXPECT_THAT(Parse(absl::StrCat("*", std::string(63, '1')), size, limits).error, HasSubstr("too big mbulk"));
    EXPECT_THAT(Parse(absl::StrCat("*1\r\n$", std::string(63, '1')), size, limits).error, HasSubstr("too big bulk"));
  }
}

TEST(KvRequestParserTest, AStrangerSendsShortRequestsOnly) {
  const std::string eleven = "*11\r\n";
  const std::string longer = "*2\r\n$4\r\nAUTH\r\n$16385\r\n";
  for (const auto& [bytes, error] :
       {std::pair(eleven, "unauthenticated multibulk length"), std::pair(longer, "unauthenticated bulk length")}) {
    KvArguments request;
    KvRequestParser stranger;
    stranger.Feed(bytes);
    EXPECT_EQ(stranger.Next(&request, true), KvParse::kError);
    EXPECT_THAT(stranger.error(), HasSubstr(error));
    KvRequestParser known;
    known.Feed(bytes);
    EXPECT_EQ(known.Next(&request, false), KvParse::kMore);
  }
}

TEST(KvRequestParserTest, ALineFeedAloneEndsNoLength) {
  // It once kept the limit from being looked at, and everything behind it was kept.
  for (const char* begin : {"*1\n", "*1\r\n$1\n"}) {
    EXPECT_THAT(Parse(begin + std::string(1 << 20, 'x'), 1000).error, HasSubstr("too big")) << begin;
  }
}

TEST(KvRequestParserTest, LinesAreForgottenWhenTheyAreRead) {
  KvRequestParser parser;
  KvArguments request;
  const std::string line = "PING " + std::string(1000, 'x') + "\r\n";
  size_t count = 0;
  for (int i = 0; i < 1000; ++i) {
    parser.Feed(line);
    parser.Feed("*1\r\n$1\r\na\r\n");
    while (parser.Next(&request) == KvParse::kRequest) ++count;
  }
  EXPECT_EQ(count, 2000u);
}

TEST(KvReplyWriterTest, EachKindOfReply) {
  std::string text;
  KvReplyWriter reply(&text);
  reply.Simple("OK");
  reply.Error("ERR a\r\nb");
  reply.Integer(INT64_MIN);
  reply.Bulk(absl::string_view("a\r\n\0", 4));
  reply.Bulk("");
  reply.Nil();
  reply.NilArray();
  reply.Array(2);
  EXPECT_EQ(
      text,
      std::string("+OK\r\n-ERR a  b\r\n:-9223372036854775808\r\n$4\r\na\r\n\0\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n", 69));
}

TEST(KvReplyWriterTest, TheThirdVersionsOwnKinds) {
  std::string text;
  KvReplyWriter reply(&text, 3);
  reply.Nil();
  reply.NilArray();
  reply.Array(0);
  reply.Map(1);
  reply.Set(2);
  reply.Verbatim("ab\n");
  EXPECT_EQ(text, "_\r\n_\r\n*0\r\n%1\r\n~2\r\n=7\r\ntxt:ab\n\r\n");
  text.clear();
  KvReplyWriter second(&text, 2);
  second.Map(1);
  second.Set(2);
  second.Verbatim("ab\n");
  EXPECT_EQ(text, "*2\r\n*2\r\n$3\r\nab\n\r\n");
}

TEST(KvCommandsTest, EachIsFoundByItsName) {
  std::string error;
  for (const absl::string_view name : KvCommandNames()) {
    const KvCommandSpec& spec = *KvCommandNamed(name);
    EXPECT_EQ((spec.write != nullptr) + (spec.query != nullptr) + (spec.server != KvServerCommand::kNone), 1) << name;
    EXPECT_EQ(spec.name, name);
    const auto count = static_cast<size_t>(spec.arity < 0 ? -spec.arity : spec.arity);
    KvArguments request(count, "1");
    request[0] = std::string(spec.name);
    const bool has_subcommands = spec.server == KvServerCommand::kClient || spec.server == KvServerCommand::kConfig;
    EXPECT_EQ(FindKvCommand(request, &error), has_subcommands ? nullptr : &spec) << spec.name;
    request.pop_back();
    if (request.empty()) continue;
    EXPECT_EQ(FindKvCommand(request, &error), nullptr);
    EXPECT_EQ(error, absl::StrCat("ERR wrong number of arguments for '", spec.name, "' command"));
  }
  EXPECT_EQ(FindKvCommand({std::string(1000, 'x'), "a\r\nb"}, &error), nullptr);
  EXPECT_EQ(error,
            absl::StrCat("ERR unknown command '", std::string(128, 'x'), "', with args beginning with: 'a\r\nb' "));
}

TEST(KvCommandsTest, SubcommandsHaveArgumentsOfTheirOwn) {
  std::string error;
  EXPECT_NE(FindKvCommand({"Client", "SetName", "a"}, &error), nullptr);
  EXPECT_NE(FindKvCommand({"CONFIG", "GET", "a", "b"}, &error), nullptr);
  EXPECT_NE(FindKvCommand({"COMMAND"}, &error), nullptr);
  EXPECT_EQ(FindKvCommand({"CLIENT", "SETNAME"}, &error), nullptr);
  EXPECT_EQ(error, "ERR wrong number of arguments for 'client|setname' command");
  EXPECT_EQ(FindKvCommand({"CLIENT", "nosuch"}, &error), nullptr);
  EXPECT_EQ(error, "ERR unknown subcommand 'nosuch'. Try CLIENT HELP.");
}

TEST(KvPatternTest, Patterns) {
  for (const auto& [pattern, text] : std::vector<std::pair<const char*, const char*>>{{"", ""},
                                                                                      {"*", ""},
                                                                                      {"**", "ab"},
                                                                                      {"a*c", "abbc"},
                                                                                      {"a*b*c", "a-b-b-c"},
                                                                                      {"?", "x"},
                                                                                      {"[abc]", "b"},
                                                                                      {"[^abc]", "d"},
                                                                                      {"[a-c]x", "bx"},
                                                                                      {"[c-a]", "b"},
                                                                                      {"\\*", "*"},
                                                                                      {"[\\]]", "]"},
                                                                                      {"a\\", "a\\"},
                                                                                      {"[ab", "b"},
                                                                                      {"*a", "aba"},
                                                                                      {"*.*", "a.b"}}) {
    EXPECT_TRUE(MatchesKvPattern(pattern, text)) << pattern << " " << text;
  }
  for (const auto& [pattern, text] : std::vector<std::pair<const char*, const char*>>{{"", "a"},
                                                                                      {"a", ""},
                                                                                      {"a", "b"},
                                                                                      {"?", ""},
                                                                                      {"a*c", "abb"},
                                                                                      {"[abc]", "d"},
                                                                                      {"[^abc]", "a"},
                                                                                      {"\\*", "x"},
                                                                                      {"*a", "ab"},
                                                                                      {"[", ""},
                                                                                      {"a?", "a"}}) {
    EXPECT_FALSE(MatchesKvPattern(pattern, text)) << pattern << " " << text;
  }
  // No pattern takes more than its length times the text's.
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  EXPECT_FALSE(MatchesKvPattern(stars + "b", std::string(20'000, 'a')));
}

}  // namespace
}  // namespace kekbit::examples
