// The Redis protocol (RESP2) as a server speaks it: requests in, replies out.
//
//   KvRequestParser parser;
//   parser.Feed(bytes);                              // as they come
//   while (parser.Next(&arguments) == KvParse::kRequest) ...
//
// A request is an array of bulk strings, which hiredis reads, or a line of words as one types it into telnet. Whatever
// the bytes are, they are requests or an error; what a client makes the parser hold is bounded by the limits below, not
// by what it announces.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

struct redisReader;

namespace kekbit::examples {

// What a request may have. One string can't be longer than a frame of the journal takes anyway, 1/128 of a segment of
// up to 4 GiB.
struct KvRequestLimits {
  size_t arguments_max = 1 << 20;
  size_t string_bytes_max = 32 << 20;
  size_t request_bytes_max = 64 << 20;
  size_t line_bytes_max = 64 << 10;  // of a line of words, or the one that announces a string or an array
};

enum class KvParse {
  kRequest,  // there is one
  kMore,     // its end has not come yet
  kError,    // error() says why; final
};

// The name of a command and what follows it.
using KvArguments = std::vector<std::string>;

class KvRequestParser final {
 public:
  explicit KvRequestParser(const KvRequestLimits& limits = {});
  ~KvRequestParser();
  KvRequestParser(const KvRequestParser&) = delete;
  KvRequestParser& operator=(const KvRequestParser&) = delete;

  void Feed(absl::string_view bytes);
  // The next request; never an empty one.
  KvParse Next(KvArguments* arguments);
  // As Redis says it: "ERR Protocol error: ...".
  const std::string& error() const { return error_; }

 private:
  struct Hooks;  // what hiredis calls for each part of a request

  // Begins anew with these bytes.
  void Restart(const std::string& bytes);
  KvParse NextArray();
  KvParse NextLine();
  KvParse Fail(absl::string_view what);
  // Refuses what is announced, or has come without an end, before it is all there.
  bool CheckPending();

  const KvRequestLimits limits_;
  std::unique_ptr<redisReader, void (*)(redisReader*)> reader_;
  KvArguments arguments_;  // of the request that is being read
  size_t bytes_ = 0;       // of these
  std::string error_;
};

// Appends replies to `to`, which outlives it.
class KvReplyWriter final {
 public:
  explicit KvReplyWriter(std::string* to) : to_(*to) {}

  void Simple(absl::string_view text);  // "OK"
  void Error(absl::string_view text);   // "ERR ..."; what would break the line becomes a space
  void Integer(int64_t value);
  void Bulk(absl::string_view bytes);
  void Nil();
  void NilArray();
  void Array(size_t count);  // the replies that follow are its elements

 private:
  void Head(char type, int64_t number);

  std::string& to_;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_
