#include "examples/kv_server/kv_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/status_macros.h"

namespace kekbit::examples {
namespace {

// Bytes read from a client in one turn: few enough that a client that sends much does not keep the
// others waiting.
constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kOutputBytesKept = 64 << 10;  // of a client's buffer, between its answers
constexpr int kEventsMax = 512;
constexpr size_t kClientsTooMany = 16;

absl::Status Watch(int epoll, int operation, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, operation, fd, &event) != 0) return ErrnoError("epoll_ctl");
  return absl::OkStatus();
}

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
  service_.Serve(&replica);
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
  if (service_.TakeHandOver()) {
    const absl::Status status = replica_->StepDown();
    if (!status.ok()) Say(status.message());
  }
  return absl::OkStatus();
}

int KvServer::WaitMillis() const {
  if (epoch_ == 0) return -1;
  if (!listener_) return 1;
  // Try again a listener that is not watched; keys that are due are erased soon enough.
  return 100;
}

absl::Status KvServer::FollowRole() {
  const Role role = replica_->role();
  if (role == Role::kStopped) return replica_->status();
  const Epoch epoch = role == Role::kPrimary ? replica_->applied().epoch : 0;
  if (epoch != epoch_) {
    LeavePort();
    epoch_ = epoch;
    port_deadline_ns_ = Clock::System().MonotonicNanos() + absl::ToInt64Nanoseconds(options_.port_timeout);
    if (epoch == 0) Say(absl::StrCat("no longer the primary: a standby, at seq ", replica_->applied().seq));
  }
  if (epoch_ == 0) return absl::OkStatus();
  return listener_ ? absl::OkStatus() : TakePort();
}

absl::Status KvServer::TakePort() {
  absl::StatusOr<FileDescriptor> listener = Listen(options_.bind, options_.port);
  if (!listener.ok()) {
    const bool wait = absl::IsUnavailable(listener.status()) && Clock::System().MonotonicNanos() < port_deadline_ns_;
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
  lingering_ = 0;
  answered_.clear();
  listener_.Close();
  service_.Reset();
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
      // Watched again with the next tick: a listener that is ready and can't be served would keep
      // the loop awake.
      accepting_ = !Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), 0).ok();
    }
    if (!socket.ok()) return;
    const int fd = socket->get();
    // A few more, for the time that it takes to tell them so.
    const bool full = clients_.size() >= options_.clients_max;
    if (clients_.size() >= options_.clients_max + kClientsTooMany) continue;
    if (!Watch(epoll_.get(), EPOLL_CTL_ADD, fd, EPOLLIN).ok()) continue;
    auto client = std::make_unique<Client>(*std::move(socket), options_, &service_);
    client->session.address = PeerAddress(fd);
    if (full) {
      KvReplyWriter(&client->session.output).Error("ERR max number of clients reached");
      client->session.leaves = true;
      client->has_output = true;
      answered_.push_back(fd);
    }
    clients_[fd] = std::move(client);
  }
}

void KvServer::Read(Client& client) {
  char buffer[kReadBytes];
  const ssize_t size = ::recv(client.socket.get(), buffer, sizeof buffer, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return Drop(client);
  KvSession& session = client.session;
  if (session.leaves) return;  // what comes after its last request
  client.parser.Feed(absl::string_view(buffer, static_cast<size_t>(size)));
  KvParse parse = KvParse::kMore;
  while (!session.leaves && !service_.lost() &&
         (parse = client.parser.Next(&request_, !session.knows_password)) == KvParse::kRequest) {
    service_.Execute(session, request_);
    if (session.output.size() - client.sent > options_.output_bytes_max) return Drop(client);
  }
  if (parse == KvParse::kError) {
    KvReplyWriter(&session.output).Error(client.parser.error());
    session.leaves = true;
  }
  if (!client.has_output && (session.leaves || !session.output.empty())) {
    client.has_output = true;
    answered_.push_back(client.socket.get());
  }
}

void KvServer::Drop(Client& client) {
  // Forget the client in answered_: its descriptor may become another client's within this turn,
  // and must not be listed twice.
  if (client.has_output) answered_.erase(std::find(answered_.begin(), answered_.end(), client.socket.get()));
  if (client.lingers_until_ns != 0) --lingering_;
  clients_.erase(client.socket.get());
}

absl::Status KvServer::Answer() {
  if (const absl::Status status = service_.Acknowledge(); !status.ok()) Say(status.message());
  // One that is primary no longer may have answered from an old state.
  if (service_.lost() || replica_->role() != Role::kPrimary) {
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
  std::string& output = client.session.output;
  while (client.sent < output.size()) {
    const ssize_t size =
        ::send(client.socket.get(), output.data() + client.sent, output.size() - client.sent, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size < 0) return Drop(client);
    client.sent += static_cast<size_t>(size);
  }
  const bool all = client.sent == output.size();
  if (all) {
    output.clear();
    if (output.capacity() > kOutputBytesKept) output.shrink_to_fit();
    client.sent = 0;
    if (client.session.leaves) Linger(client);
  }
  if (client.waits_to_write == all) {
    client.waits_to_write = !all;
    const uint32_t events = EPOLLIN | (all ? 0u : uint32_t{EPOLLOUT});
    if (!Watch(epoll_.get(), EPOLL_CTL_MOD, client.socket.get(), events).ok()) Drop(client);
  }
}

void KvServer::Linger(Client& client) {
  // Closed with something unread, the connection would be reset, and the last answer might never be
  // read.
  if (client.lingers_until_ns != 0) return;
  ::shutdown(client.socket.get(), SHUT_WR);
  client.lingers_until_ns = Clock::System().MonotonicNanos() + absl::ToInt64Nanoseconds(options_.linger);
  ++lingering_;
}

void KvServer::Tick() {
  if (!accepting_ && listener_) accepting_ = Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), EPOLLIN).ok();
  service_.EraseDue();
  if (lingering_ == 0) return;
  const int64_t now_ns = Clock::System().MonotonicNanos();
  std::vector<Client*> over;
  for (const auto& [fd, client] : clients_) {
    if (client->lingers_until_ns != 0 && client->lingers_until_ns < now_ns) over.push_back(client.get());
  }
  for (Client* client : over) Drop(*client);
}

}  // namespace kekbit::examples
