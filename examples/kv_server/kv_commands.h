// The commands of the Redis protocol that the key-value service knows: their names, how many arguments they take, and
// what a request becomes: a command for the state, a question to it, or something that is the server's own business.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_state.h"

namespace kekbit::examples {

enum class KvServerCommand : uint8_t { kNone, kInfo, kQuit, kFailover };

// Makes the state's command of a request. False if that makes no sense: *error is then what to answer.
using KvParseWrite = bool (*)(KvArguments& request, KvState::Command* command, std::string* error);

// Answers from the state. `now_ms` is no earlier than the state's own time; what has expired by then does not show.
using KvQuery = void (*)(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply);

// One of the three is there.
struct KvCommandSpec {
  absl::string_view name;
  int arity = 0;  // arguments, the name included; negative: at least so many
  KvParseWrite write = nullptr;
  KvQuery query = nullptr;
  KvServerCommand server = KvServerCommand::kNone;
  int first_key = 0, last_key = 0, key_step = 0;  // as COMMAND shows them
};

// All of them; kv_writes.cc and kv_queries.cc have the halves.
absl::Span<const KvCommandSpec> KvWriteSpecs();
absl::Span<const KvCommandSpec> KvQuerySpecs();

// The command that a request asks for. Null if there is none, or the number of its arguments is wrong: *error is then
// what to answer. REQUIRES: the request is not empty.
const KvCommandSpec* FindKvCommand(const KvArguments& request, std::string* error);

// The command of this name, in letters of any size; null if there is none.
const KvCommandSpec* KvCommandNamed(absl::string_view name);

// The names of all commands, in small letters, in order.
std::vector<absl::string_view> KvCommandNames();

// Redis' words for a wrong number of arguments.
std::string KvWrongArguments(absl::string_view name);

void WriteKvResult(const KvState::Result& result, KvReplyWriter& reply);

// Whether a text matches a pattern of Redis': * ? [a-z] [^a-z] and \ before a character that means itself.
bool MatchesKvPattern(absl::string_view pattern, absl::string_view text);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_
