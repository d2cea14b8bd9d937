// The Redis protocol (RESP2 and RESP3) as a server speaks it: requests in, replies out.
//
//   KvRequestParser parser;
//   parser.Feed(bytes);                              // as they come
//   while (parser.Next(&arguments) == KvParse::kRequest) ...
//
// A request is an array of bulk strings, or a line of words as one types it into telnet. Whatever
// the bytes are, they are requests or an error, the same that Redis 7.0 makes of them. The limits
// below bound what a client makes the parser hold, whatever it announces.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace kekbit::examples {

// KvRequestLimits is what a request may have. A frame of the journal takes no longer string anyway:
// 1/128 of a segment of up to 4 GiB.
struct KvRequestLimits {
  size_t arguments_max = 1 << 20;
  size_t string_bytes_max = 32 << 20;
  size_t request_bytes_max = 64 << 20;
  size_t line_bytes_max = 64 << 10;  // of a line of words, or the one that announces a string or an array
  // For a client that has yet to say the password.
  size_t stranger_arguments_max = 10;
  size_t stranger_string_bytes_max = 16 << 10;
};

enum class KvParse {
  kRequest,  // there is one
  kMore,     // its end has not come yet
  kError,    // error() says why; final
};

// The name of a command and what follows it.
using KvArguments = std::vector<std::string>;

// A decimal number as Redis takes it: no spaces, no plus sign, no leading zeros, in 64 bits.
bool ParseKvInteger(absl::string_view text, int64_t* value);

class KvRequestParser final {
 public:
  explicit KvRequestParser(const KvRequestLimits& limits = {}) : limits_(limits) {}
  KvRequestParser(const KvRequestParser&) = delete;
  KvRequestParser& operator=(const KvRequestParser&) = delete;

  void Feed(absl::string_view bytes);
  // The next request; never an empty one. `stranger`: the client has yet to say the password.
  KvParse Next(KvArguments* arguments, bool stranger = false);
  // Returns the error in Redis' words: "ERR Protocol error: ...".
  const std::string& error() const { return error_; }

 private:
  absl::string_view unread() const { return absl::string_view(buffer_).substr(read_); }
  // Each reads one part of a request; kRequest says that the part is there.
  KvParse ReadPart(bool stranger);
  KvParse ReadWords();
  KvParse ReadCount(bool stranger);
  KvParse ReadLength(bool stranger);
  KvParse ReadString();
  // Reads the line that announces an array or a string; *text is what follows the byte that says
  // which.
  KvParse ReadHead(absl::string_view too_long, absl::string_view* text);
  KvParse Fail(absl::string_view what);

  const KvRequestLimits limits_;
  std::string buffer_;
  size_t read_ = 0;             // of the buffer
  KvArguments arguments_;       // of the request that is being read
  size_t bytes_ = 0;            // of these arguments
  size_t missing_ = 0;          // arguments that are announced and not read
  int64_t length_ = kNoLength;  // of the next argument, once announced
  std::string error_;

  static constexpr int64_t kNoLength = -1;
};

// Appends replies to `to`, which outlives it. `resp` is the version of the protocol that the client
// asked for, 2 or 3.
class KvReplyWriter final {
 public:
  explicit KvReplyWriter(std::string* to, int resp = 2) : to_(*to), resp_(resp) {}

  void Simple(absl::string_view text);  // "OK"
  void Error(absl::string_view text);   // "ERR ..."; what would break the line becomes a space
  void Integer(int64_t value);
  void Bulk(absl::string_view bytes);
  void Verbatim(absl::string_view text);  // for people to read
  void Nil();
  void NilArray();
  // The replies that follow are the elements; of a map, keys and values by turns.
  void Array(size_t count);
  void Set(size_t count);
  void Map(size_t count);
  // Appends what another writer of this version wrote.
  void Raw(absl::string_view replies) { to_.append(replies.data(), replies.size()); }

  int resp() const { return resp_; }

 private:
  void Head(char type, int64_t number);

  std::string& to_;
  const int resp_;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_PROTOCOL_H_
