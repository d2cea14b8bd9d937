// KvServer: the network side of the key-value service. One thread, an epoll loop over non-blocking sockets.
//
// Each turn of the loop reads what the clients have sent, submits all of their commands, answers questions from the
// state, waits until the last command submitted is acknowledged, and only then sends the answers of all clients. So no
// answer leaves, to a command or to a question, that shows what is not acknowledged; and commands that came together
// share a sync, if they wait for one.
//
// As long as the replica is not the primary, nothing listens: clients that try are refused, and try again. When it
// becomes primary the server takes the port, as soon as the kernel has taken it from the one before. When it is primary
// no longer, it drops all clients without an answer, for it does not know what became of their last commands.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_SERVER_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/kv_server/kv_commands.h"
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_socket.h"
#include "examples/kv_server/kv_state.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

struct KvServerOptions {
  std::string bind = "127.0.0.1";
  uint16_t port = 6379;
  size_t clients_max = 10'000;
  // A client that has more to read than this, and does not, is dropped.
  size_t output_bytes_max = 256u << 20;
  KvRequestLimits requests;
  // How long the port may stay in somebody else's hands.
  absl::Duration port_timeout = absl::Seconds(10);
  Ack ack = Ack::kPublished;
  std::string directory;  // of the journal
};

class KvServer final {
 public:
  // Before the replica is there: its on_role_change is to call Wake().
  static absl::StatusOr<std::unique_ptr<KvServer>> Create(KvServerOptions options);

  KvServer(const KvServer&) = delete;
  KvServer& operator=(const KvServer&) = delete;
  ~KvServer() = default;

  // Makes the loop look around. Any thread.
  void Wake() { wake_.Wake(); }

  // Serves until SIGTERM or SIGINT, which are blocked since Create(). Errors: the replica has stopped; the port can't
  // be had.
  absl::Status Run(Replica<KvState>& replica);

 private:
  struct Client {
    Client(FileDescriptor s, const KvRequestLimits& limits) : socket(std::move(s)), parser(limits) {}

    FileDescriptor socket;
    KvRequestParser parser;
    std::string output;
    size_t sent = 0;              // of it
    bool waits_to_write = false;  // the socket is full
    bool leaves = false;          // once the output is sent
    bool has_output = false;      // stands in answered_
  };

  explicit KvServer(KvServerOptions options) : options_(std::move(options)) {}

  // What a turn does. Errors end the server.
  absl::Status Turn();
  int WaitMillis() const;
  absl::Status FollowRole();
  absl::Status TakePort();
  void LeavePort();
  void Accept();
  void Handle(int fd, uint32_t events);
  void Read(Client& client);
  // Acknowledges what was submitted, then sends.
  absl::Status Answer();
  void Send(Client& client);
  void Drop(Client& client);

  void Execute(Client& client, KvArguments& request);
  void Submit(const KvState::Command& command, KvReplyWriter& reply);
  void Ask(const KvCommandSpec& spec, const KvArguments& request, KvReplyWriter& reply);
  std::string Info(const KvArguments& request) const;
  // Of the replicas that follow: how many frames they are behind.
  void AppendLag(Seq published, std::string* info) const;
  // Erases keys that are due, at most once a turn.
  void Tick();
  int64_t NowMillis() const;

  const KvServerOptions options_;
  FileDescriptor epoll_;
  WakeSocket wake_;
  FileDescriptor signals_;
  FileDescriptor listener_;
  absl::Time port_deadline_ = absl::InfiniteFuture();

  Replica<KvState>* replica_ = nullptr;
  Epoch epoch_ = 0;              // of our reign; 0: not the primary
  Position submitted_;           // last
  bool unacknowledged_ = false;  // something is submitted that nobody has waited for
  bool lost_ = false;            // a command failed so that we can't go on as primary
  bool stopping_ = false;
  bool hands_over_ = false;  // after this turn
  bool accepting_ = false;   // not while there is no descriptor left
  absl::flat_hash_map<int, std::unique_ptr<Client>> clients_;
  std::vector<int> answered_;  // clients with output to send
  KvArguments request_;        // kept for its memory
  uint64_t commands_ = 0;
  uint64_t connections_ = 0;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_SERVER_H_
