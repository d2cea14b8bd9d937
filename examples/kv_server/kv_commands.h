// The commands of the Redis protocol that the key-value service knows: their names, how many
// arguments they take, and what a request becomes. A request becomes a command for the state, a
// question to the state, or a matter of the server's own.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_queries.h"
#include "examples/kv_server/kv_state.h"

namespace kekbit::examples {

enum class KvServerCommand : uint8_t {
  kNone,
  kAuth,
  kClient,
  kCommand,
  kConfig,
  kDiscard,
  kExec,
  kFailover,
  kHello,
  kInfo,
  kMulti,
  kQuit,
  kReset,
  kSelect,
  kUnwatch,
  kWait,
  kWatch,
};

// Makes the state's command of a request. False if that makes no sense: *error is then what to
// answer.
using KvParseWrite = bool (*)(KvArguments& request, KvState::Command* command, std::string* error);

// KvAnswer says how the result of a command is answered where commands differ in nothing else.
enum class KvAnswer : uint8_t {
  kAsItIs,
  kOk,      // HMSET, for HSET's number
  kNumber,  // SETNX, for SET's OK or nil
};

// One of `write`, `query` and `server` is there.
struct KvCommandSpec {
  absl::string_view name;
  int arity = 0;  // arguments, the name included; negative: at least so many
  KvParseWrite write = nullptr;
  KvQuery query = nullptr;
  KvServerCommand server = KvServerCommand::kNone;
  int first_key = 0, last_key = 0, key_step = 0;  // as COMMAND shows them
  KvAnswer answer = KvAnswer::kAsItIs;
  bool queues = true;          // between MULTI and EXEC
  bool for_strangers = false;  // needs no password
};

// Returns the commands that write; kv_writes.cc has them.
absl::Span<const KvCommandSpec> KvWriteSpecs();

// The command that a request asks for. Null if there is none, or the number of its arguments is
// wrong: *error is then what to answer. REQUIRES: the request is not empty.
const KvCommandSpec* FindKvCommand(const KvArguments& request, std::string* error);

// The command of this name, in letters of any size; null if there is none.
const KvCommandSpec* KvCommandNamed(absl::string_view name);

// The names of all commands, in small letters, in order.
std::vector<absl::string_view> KvCommandNames();

// Answers COMMAND and its subcommands.
void DescribeKvCommands(const KvArguments& request, KvReplyWriter& reply);

void WriteKvResult(const KvResult& result, KvAnswer answer, KvReplyWriter& reply);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_COMMANDS_H_
