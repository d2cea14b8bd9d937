// KvService: from a client's request to the answer, on the primary. Writes go through the replica;
// questions are answered from its state; the rest is about the connection or the server.
//
// An answer is not to leave before Acknowledge() has returned OK: until then it may show what a
// failure undoes.
//
// Transactions: MULTI queues requests, and EXEC submits all of them as one KvTransaction, so that
// every replica does all or nothing of them. One that only asks is answered from one state, and
// journals nothing. WATCH notes hashes of keys; each command that is applied says which keys it
// touched.
//
// Time is the journal's wherever keys are concerned: Replica::Now(). The machine's clock may be set
// at any time.
//
// Thread safety: one thread.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_SERVICE_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/kv_server/kv_commands.h"
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_session.h"
#include "examples/kv_server/kv_state.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

// The Redis whose answers these are.
inline constexpr char kKvRedisVersion[] = "7.0.0";

struct KvServerOptions {
  std::string bind = "127.0.0.1";
  uint16_t port = 6379;
  size_t clients_max = 10'000;
  // A client that has more to read than this, and does not, is dropped.
  size_t output_bytes_max = 256u << 20;
  KvRequestLimits requests;
  // How long the port may stay in somebody else's hands.
  absl::Duration port_timeout = absl::Seconds(10);
  // For how long what a client still sends is read once its last answer is sent.
  absl::Duration linger = absl::Seconds(1);
  std::string password;  // empty: none
  Ack ack = Ack::kPublished;
  std::string directory;       // of the journal
  uint64_t segment_bytes = 0;  // of the journal's files
};

class KvService final {
 public:
  explicit KvService(const KvServerOptions& options) : options_(options) {}  // which outlive it
  KvService(const KvService&) = delete;
  KvService& operator=(const KvService&) = delete;

  // Before anything else is called.
  void Serve(Replica<KvState>* replica) { replica_ = replica; }

  // A client comes, and goes. In between the session stays where it is.
  void Open(KvSession& session);
  void Close(KvSession& session);

  // Does what the request asks, or notes it for EXEC, and appends the answer to the session's
  // output.
  void Execute(KvSession& session, KvArguments& request);

  // Erases keys that are due.
  void EraseDue();
  // Waits until everything that was submitted is acknowledged.
  absl::Status Acknowledge();
  // Returns true if a command failed so that this replica can't go on as primary; until Reset().
  bool lost() const { return lost_; }
  void Reset();
  // Returns true if FAILOVER was asked for since the last call.
  bool TakeHandOver() { return std::exchange(hands_over_, false); }

 private:
  void Refuse(KvSession& session, const KvArguments& request, const std::string& error);
  void Run(KvSession& session, const KvCommandSpec& spec, KvArguments& request);
  void RunServerCommand(KvSession& session, KvServerCommand command, const KvArguments& request);
  void Write(const KvCommandSpec& spec, KvArguments& request, KvReplyWriter& reply);
  void Ask(const KvCommandSpec& spec, const KvArguments& request, KvReplyWriter& reply);

  // kv_transactions.cc
  void Multi(KvSession& session, KvReplyWriter& reply);
  void Queue(KvSession& session, const KvCommandSpec& spec, KvArguments& request);
  void Exec(KvSession& session);
  void Discard(KvSession& session);
  void Watch(KvSession& session, const KvArguments& request, KvReplyWriter& reply);
  void Unwatch(KvSession& session);
  // Returns the answers to the requests of a queue that only asks.
  std::vector<std::string> AskAll(const std::vector<KvQueued>& queue, int resp);
  // Does all of a queue; *answers are then those to its writes and questions.
  absl::Status WriteAll(std::vector<KvQueued>& queue, int resp, std::vector<std::string>* answers);
  absl::StatusOr<KvResult> SubmitParts(std::vector<KvTransaction> parts);
  // Finds whose watch is over: what was submitted has touched keys.
  void NoteTouched();

  // kv_connection.cc
  void Auth(KvSession& session, const KvArguments& request, KvReplyWriter& reply);
  bool LogIn(KvSession& session, absl::string_view user, absl::string_view password) const;
  void Hello(KvSession& session, const KvArguments& request);
  void Client(KvSession& session, const KvArguments& request, KvReplyWriter& reply);
  void ResetSession(KvSession& session);
  std::string Describe(const KvSession& session) const;

  // kv_info.cc
  std::string Info(const KvArguments& request) const;
  void AppendLag(Seq published, std::string* info) const;
  void Config(const KvArguments& request, KvReplyWriter& reply);
  size_t CountStandbys() const;

  absl::StatusOr<KvResult> Submit(const KvState::Command& command);
  void NoteSubmitted(Position position);
  void NoteFailed(const absl::Status& status);

  const KvServerOptions& options_;
  Replica<KvState>* replica_ = nullptr;
  Position submitted_;           // last
  bool unacknowledged_ = false;  // something is submitted that nobody has waited for
  bool lost_ = false;
  bool hands_over_ = false;
  std::map<uint64_t, KvSession*> sessions_;                          // by id
  absl::flat_hash_map<uint64_t, std::vector<KvSession*>> watchers_;  // by the hash of a key
  uint64_t last_id_ = 0;
  uint64_t connected_ = 0;  // clients, since CONFIG RESETSTAT
  uint64_t commands_ = 0;   // as well
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_SERVICE_H_
