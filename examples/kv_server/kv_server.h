// KvServer is the network side of the key-value service. One thread, an epoll loop over
// non-blocking sockets.
//
// Each turn of the loop reads what the clients have sent, submits all of their commands and answers
// questions from the state. Then it waits until the last submitted command is acknowledged, and
// only then sends the answers of all clients. So no answer leaves, to a command or to a question,
// that shows what is not acknowledged. Commands that came together share a sync, if they wait for
// one.
//
// As long as the replica is not the primary, nothing listens: clients that try are refused, and try
// again. When the replica becomes primary the server takes the port, as soon as the kernel has
// taken the port from its predecessor. When the replica is primary no longer, the server drops all
// clients without an answer: it does not know what became of their last commands.

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
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_service.h"
#include "examples/kv_server/kv_session.h"
#include "examples/kv_server/kv_socket.h"
#include "examples/kv_server/kv_state.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

class KvServer final {
 public:
  // Before the replica is there: its on_role_change is to call Wake().
  static absl::StatusOr<std::unique_ptr<KvServer>> Create(KvServerOptions options);

  KvServer(const KvServer&) = delete;
  KvServer& operator=(const KvServer&) = delete;
  ~KvServer() = default;

  // Makes the loop look around. Any thread.
  void Wake() { wake_.Wake(); }

  // Serves until SIGTERM or SIGINT, which are blocked since Create(). Errors: the replica has
  // stopped; the port can't be had.
  absl::Status Run(Replica<KvState>& replica);

 private:
  struct Client {
    Client(FileDescriptor s, const KvServerOptions& options, KvService* kv)
        : socket(std::move(s)), service(kv), parser(options.requests) {
      service->Open(session);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { service->Close(session); }

    FileDescriptor socket;
    KvService* service;
    KvSession session;
    KvRequestParser parser;
    size_t sent = 0;              // of the session's output
    bool waits_to_write = false;  // the socket is full
    bool has_output = false;      // stands in answered_
    // Everything is sent and the client told so: what it still sends is read until then, and
    // forgotten.
    int64_t lingers_until_ns = 0;
  };

  explicit KvServer(KvServerOptions options) : options_(std::move(options)), service_(options_) {}

  // Does a turn of the loop. Errors end the server.
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

  // Begins the end of a client that has all of its answers.
  void Linger(Client& client);
  // Does what is to be done now and then.
  void Tick();

  const KvServerOptions options_;
  KvService service_;
  FileDescriptor epoll_;
  WakeSocket wake_;
  FileDescriptor signals_;
  FileDescriptor listener_;
  int64_t port_deadline_ns_ = 0;  // of the monotonic clock

  Replica<KvState>* replica_ = nullptr;
  Epoch epoch_ = 0;  // of our reign; 0: not the primary
  bool stopping_ = false;
  bool accepting_ = false;  // not while there is no descriptor left
  absl::flat_hash_map<int, std::unique_ptr<Client>> clients_;
  std::vector<int> answered_;  // clients with output to send
  KvArguments request_;        // kept for its memory
  size_t lingering_ = 0;       // clients
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_SERVER_H_
