// The commands that only ask: what they answer from the keys.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_QUERIES_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_QUERIES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "examples/kv_server/kv_keyspace.h"
#include "examples/kv_server/kv_protocol.h"

namespace kekbit::examples {

inline constexpr char kKvWrongType[] = "WRONGTYPE Operation against a key holding the wrong kind of value";
inline constexpr char kKvNotInteger[] = "ERR value is not an integer or out of range";

// Answers from the keys. What has expired by `now_ms` does not show.
using KvQuery = void (*)(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply);

struct KvQuerySpec {
  absl::string_view name;
  int arity = 0;  // arguments, the name included; negative: at least so many
  KvQuery query = nullptr;
  int last_key = 0;  // the last argument that is a key, the first one being 1; -1: all of them; 0: none
};

absl::Span<const KvQuerySpec> KvQuerySpecs();

// Null if none has this name, in letters of any size.
const KvQuerySpec* KvQueryNamed(absl::string_view name);

// Returns true if a command of this arity takes so many arguments, its name included.
bool TakesKvArguments(int arity, size_t count);

// Redis' words for a wrong number of arguments.
std::string KvWrongArguments(absl::string_view name);

// Returns true if a text matches a pattern of Redis': * ? [a-z] [^a-z] and \ before a character
// that means itself.
bool MatchesKvPattern(absl::string_view pattern, absl::string_view text);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_QUERIES_H_
