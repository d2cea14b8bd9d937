#include "examples/kv_server/kv_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/stats/replica_facts.h"

namespace kekbit::examples {
namespace {

// What is read of a client in one turn: no more, so that one that sends much does not keep the others waiting.
constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kOutputBytesKept = 64 << 10;  // of a client's buffer, between its answers
constexpr int kEventsMax = 512;

absl::Status Watch(int epoll, int operation, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, operation, fd, &event) != 0) return ErrnoError("epoll_ctl");
  return absl::OkStatus();
}

std::string ErrorText(const absl::Status& status) { return absl::StrCat("ERR ", status.message()); }

}  // namespace

absl::StatusOr<std::unique_ptr<KvServer>> KvServer::Create(KvServerOptions options) {
  // Descriptors for the journal, and a few more.
  constexpr uint64_t kReserved = 64;
  const uint64_t descriptors = RaiseDescriptorLimit(options.clients_max + kReserved);
  options.clients_max = std::min(options.clients_max, descriptors > kReserved ? descriptors - kReserved : 1);
  auto server = std::unique_ptr<KvServer>(new KvServer(std::move(options)));
  KB_ASSIGN_OR_RETURN(server->signals_, SignalsAsFile());
  server->epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_) return ErrnoError("epoll_create1");
  for (const int fd : {server->signals_.get(), server->wake_.get()}) {
    KB_RETURN_IF_ERROR(Watch(server->epoll_.get(), EPOLL_CTL_ADD, fd, EPOLLIN));
  }
  return server;
}

absl::Status KvServer::Run(Replica<KvState>& replica) {
  replica_ = &replica;
  absl::Status status;
  while (status.ok() && !stopping_) status = Turn();
  LeavePort();
  return status;
}

absl::Status KvServer::Turn() {
  KB_RETURN_IF_ERROR(FollowRole());
  epoll_event events[kEventsMax];
  const int count = ::epoll_wait(epoll_.get(), events, kEventsMax, WaitMillis());
  if (count < 0 && errno != EINTR) return ErrnoError("epoll_wait");
  for (int i = 0; i < count; ++i) Handle(events[i].data.fd, events[i].events);
  if (epoch_ == 0) return absl::OkStatus();
  Tick();
  KB_RETURN_IF_ERROR(Answer());
  if (std::exchange(hands_over_, false)) {
    const absl::Status status = replica_->StepDown();
    if (!status.ok()) Say(status.message());
  }
  return absl::OkStatus();
}

int KvServer::WaitMillis() const {
  if (epoch_ == 0) return -1;
  if (!listener_) return 1;
  // A listener that is not watched is tried again; keys that are due are erased soon enough.
  return 100;
}

absl::Status KvServer::FollowRole() {
  const Role role = replica_->role();
  if (role == Role::kStopped) return replica_->status();
  const Epoch epoch = role == Role::kPrimary ? replica_->applied().epoch : 0;
  if (epoch != epoch_) {
    LeavePort();
    epoch_ = epoch;
    port_deadline_ = absl::Now() + options_.port_timeout;
    if (epoch == 0) Say(absl::StrCat("no longer the primary: a standby, at seq ", replica_->applied().seq));
  }
  if (epoch_ == 0) return absl::OkStatus();
  return listener_ ? absl::OkStatus() : TakePort();
}

absl::Status KvServer::TakePort() {
  absl::StatusOr<FileDescriptor> listener = Listen(options_.bind, options_.port);
  if (!listener.ok()) {
    const bool wait = absl::IsUnavailable(listener.status()) && absl::Now() < port_deadline_;
    return wait ? absl::OkStatus() : listener.status();
  }
  listener_ = *std::move(listener);
  accepting_ = true;
  KB_RETURN_IF_ERROR(Watch(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), EPOLLIN));
  const Position position = replica_->applied();
  Say(absl::StrCat("primary in epoch ", position.epoch, ", at seq ", position.seq, ", pid ", ::getpid(),
                   "; listening on ", options_.bind, " port ", options_.port));
  return absl::OkStatus();
}

void KvServer::LeavePort() {
  clients_.clear();
  answered_.clear();
  listener_.Close();
  unacknowledged_ = false;
  lost_ = false;
}

void KvServer::Handle(int fd, uint32_t events) {
  if (fd == signals_.get()) {
    stopping_ = true;
  } else if (fd == wake_.get()) {
    wake_.Clear();
  } else if (fd == listener_.get()) {
    Accept();
  } else if (const auto found = clients_.find(fd); found != clients_.end()) {
    Client& client = *found->second;
    if ((events & EPOLLOUT) != 0 && !client.has_output) {
      client.has_output = true;
      answered_.push_back(fd);
    }
    if ((events & ~uint32_t{EPOLLOUT}) != 0) Read(client);
  }
}

void KvServer::Accept() {
  for (;;) {
    absl::StatusOr<FileDescriptor> socket = AcceptConnection(listener_.get());
    if (absl::IsResourceExhausted(socket.status())) {
      // Watched again with the next tick: a listener that is ready and can't be served would keep the loop awake.
      accepting_ = !Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), 0).ok();
    }
    if (!socket.ok()) return;
    if (clients_.size() >= options_.clients_max) {
      constexpr char kFull[] = "-ERR max number of clients reached\r\n";
      static_cast<void>(::send(socket->get(), kFull, sizeof kFull - 1, MSG_NOSIGNAL));
      continue;
    }
    const int fd = socket->get();
    if (!Watch(epoll_.get(), EPOLL_CTL_ADD, fd, EPOLLIN).ok()) continue;
    clients_[fd] = std::make_unique<Client>(*std::move(socket), options_.requests);
    ++connections_;
  }
}

void KvServer::Read(Client& client) {
  char buffer[kReadBytes];
  const ssize_t size = ::recv(client.socket.get(), buffer, sizeof buffer, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return Drop(client);
  if (client.leaves) return;  // what comes behind its last request
  client.parser.Feed(absl::string_view(buffer, static_cast<size_t>(size)));
  KvParse parse = KvParse::kMore;
  while (!client.leaves && !lost_ && (parse = client.parser.Next(&request_)) == KvParse::kRequest) {
    Execute(client, request_);
    if (client.output.size() - client.sent > options_.output_bytes_max) return Drop(client);
  }
  if (parse == KvParse::kError) {
    KvReplyWriter(&client.output).Error(client.parser.error());
    client.leaves = true;
  }
  if (!client.has_output && !client.output.empty()) {
    client.has_output = true;
    answered_.push_back(client.socket.get());
  }
}

void KvServer::Drop(Client& client) {
  // Its descriptor may be another client's within this turn, but is not in it twice as long as answered_ forgets it.
  if (client.has_output) answered_.erase(std::find(answered_.begin(), answered_.end(), client.socket.get()));
  clients_.erase(client.socket.get());
}

absl::Status KvServer::Answer() {
  if (unacknowledged_) {
    const absl::Status status = replica_->WaitFor(submitted_, options_.ack, absl::InfiniteDuration());
    unacknowledged_ = false;
    if (!status.ok()) {
      Say(status.message());
      lost_ = true;
    }
  }
  // Who is primary no longer may have answered from an old state.
  if (lost_ || replica_->role() != Role::kPrimary) {
    LeavePort();
    return replica_->role() == Role::kStopped ? replica_->status() : absl::OkStatus();
  }
  std::vector<int> answered;
  answered.swap(answered_);
  for (const int fd : answered) {
    Client& client = *clients_.find(fd)->second;
    client.has_output = false;
    Send(client);
  }
  return absl::OkStatus();
}

void KvServer::Send(Client& client) {
  while (client.sent < client.output.size()) {
    const ssize_t size = ::send(client.socket.get(), client.output.data() + client.sent,
                                client.output.size() - client.sent, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size < 0) return Drop(client);
    client.sent += static_cast<size_t>(size);
  }
  const bool all = client.sent == client.output.size();
  if (all && client.leaves) return Drop(client);
  if (all) {
    client.output.clear();
    if (client.output.capacity() > kOutputBytesKept) client.output.shrink_to_fit();
    client.sent = 0;
  }
  if (client.waits_to_write == all) {
    client.waits_to_write = !all;
    const uint32_t events = EPOLLIN | (all ? 0u : uint32_t{EPOLLOUT});
    if (!Watch(epoll_.get(), EPOLL_CTL_MOD, client.socket.get(), events).ok()) Drop(client);
  }
}

void KvServer::Execute(Client& client, KvArguments& request) {
  ++commands_;
  KvReplyWriter reply(&client.output);
  std::string error;
  const KvCommandSpec* spec = FindKvCommand(request, &error);
  if (spec == nullptr) return reply.Error(error);
  if (spec->write != nullptr) {
    KvState::Command command;
    spec->write(request, &command, &error) ? Submit(command, reply) : reply.Error(error);
  } else if (spec->query != nullptr) {
    Ask(*spec, request, reply);
  } else if (spec->server == KvServerCommand::kInfo) {
    reply.Bulk(Info(request));
  } else if (spec->server == KvServerCommand::kFailover) {
    const std::vector<ReplicaFacts> living = ReadLivingReplicas(FileSystem::Posix(), JournalLayout(options_.directory));
    hands_over_ = std::any_of(living.begin(), living.end(), [](const ReplicaFacts& one) { return one.stands_by(); });
    hands_over_ ? reply.Simple("OK") : reply.Error("ERR FAILOVER requires connected replicas.");
  } else {
    reply.Simple("OK");
    client.leaves = true;
  }
}

void KvServer::Submit(const KvState::Command& command, KvReplyWriter& reply) {
  const absl::StatusOr<Replica<KvState>::Executed> done = replica_->Submit(command);
  if (done.ok()) {
    submitted_ = done->position;
    unacknowledged_ = true;
    return WriteKvResult(done->result, reply);
  }
  // Not primary any more, or not able to be.
  if (absl::IsAborted(done.status()) || absl::IsFailedPrecondition(done.status())) lost_ = true;
  reply.Error(ErrorText(done.status()));
}

void KvServer::Ask(const KvCommandSpec& spec, const KvArguments& request, KvReplyWriter& reply) {
  const int64_t now_ms = NowMillis();
  const auto ask = [&](const KvState& state, bool even_if_due) {
    if (!even_if_due && state.keys().next_expiry_ms() < now_ms) return false;
    spec.query(state, std::max(now_ms, state.time_ms()), request, reply);
    return true;
  };
  if (replica_->Read([&](const KvState& state) { return ask(state, false); })) return;
  // That a key has expired is for the journal to say; if that can't be, the answer leaves it out.
  Tick();
  replica_->Read([&](const KvState& state) { return ask(state, true); });
}

void KvServer::Tick() {
  if (!accepting_ && listener_) accepting_ = Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), EPOLLIN).ok();
  const int64_t now_ms = NowMillis();
  if (!replica_->Read([&](const KvState& state) { return state.keys().next_expiry_ms() < now_ms; })) return;
  std::string ignored;
  KvReplyWriter reply(&ignored);
  Submit(KvTick{}, reply);
}

int64_t KvServer::NowMillis() const { return Clock::System().RealtimeNanos() / 1'000'000; }

std::string KvServer::Info(const KvArguments& request) const {
  std::string info;
  // Whether that section is asked for; then its head is there.
  const auto begins = [&](absl::string_view section) {
    const bool wanted = request.size() == 1 || std::any_of(request.begin() + 1, request.end(), [&](const auto& word) {
                          return absl::EqualsIgnoreCase(word, section) || absl::EqualsIgnoreCase(word, "default") ||
                                 absl::EqualsIgnoreCase(word, "all") || absl::EqualsIgnoreCase(word, "everything");
                        });
    if (wanted) absl::StrAppend(&info, info.empty() ? "# " : "\r\n# ", section, "\r\n");
    return wanted;
  };
  if (begins("Server")) {
    absl::StrAppend(&info, "redis_version:7.0.0\r\nkekbit_server:kv_server\r\ntcp_port:", options_.port,
                    "\r\nprocess_id:", ::getpid(), "\r\n");
  }
  if (begins("Clients")) {
    absl::StrAppend(&info, "connected_clients:", clients_.size(), "\r\nmaxclients:", options_.clients_max, "\r\n");
  }
  if (begins("Stats")) {
    absl::StrAppend(&info, "total_connections_received:", connections_, "\r\ntotal_commands_processed:", commands_,
                    "\r\n");
  }
  if (begins("Replication")) {
    const Position position = replica_->applied();
    // What clients of Redis look for, and what the journal calls it.
    absl::StrAppend(&info, "role:master\r\nkekbit_role:", RoleName(replica_->role()), "\r\nepoch:", position.epoch,
                    "\r\nseq:", position.seq, "\r\nack:", AckName(options_.ack), "\r\n");
    AppendLag(position.seq, &info);
  }
  if (begins("Keyspace")) {
    const auto [keys, expires] =
        replica_->Read([](const KvState& state) { return std::pair(state.keys().size(), state.keys().expiring()); });
    if (keys > 0) absl::StrAppend(&info, "db0:keys=", keys, ",expires=", expires, ",avg_ttl=0\r\n");
  }
  return info;
}

void KvServer::AppendLag(Seq published, std::string* info) const {
  std::string replicas;
  size_t count = 0;
  Seq longest = 0;
  for (const ReplicaFacts& facts : ReadLivingReplicas(FileSystem::Posix(), JournalLayout(options_.directory))) {
    if (facts.role != Role::kFollower) continue;
    // A command that it has applied by now may be newer than `published`.
    const Seq lag = published - std::min(published, facts.applied.seq);
    longest = std::max(longest, lag);
    absl::StrAppend(&replicas, "slave", count++, ":pid=", facts.process.pid, ",seq=", facts.applied.seq, ",lag=", lag,
                    "\r\n");
  }
  absl::StrAppend(info, "connected_slaves:", count, "\r\nlag:", longest, "\r\n", replicas);
}

}  // namespace kekbit::examples
