// Session data that the server holds of one client, besides its socket.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_SESSION_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "examples/kv_server/kv_commands.h"
#include "examples/kv_server/kv_protocol.h"

namespace kekbit::examples {

// A request between MULTI and EXEC.
struct KvQueued {
  const KvCommandSpec* spec = nullptr;
  KvArguments request;
};

struct KvSession {
  uint64_t id = 0;
  std::string address;
  std::string output;   // answers that are not sent
  bool leaves = false;  // once the output is sent
  bool knows_password = false;
  int resp = 2;  // version of the protocol

  // Names that CLIENT shows.
  std::string name, library, library_version;
  absl::string_view last_command = "NULL";
  int64_t since_ns = 0, last_ns = 0;  // of the monotonic clock

  // Since MULTI.
  bool in_transaction = false;
  bool spoiled = false;  // a request was refused instead of queued
  std::vector<KvQueued> queue;
  size_t queue_bytes = 0;

  // Since WATCH: hashes of keys, and whether one of these keys has changed.
  std::vector<uint64_t> watched;
  bool outdated = false;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_SESSION_H_
