#include "examples/kv_server/kv_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"

namespace kekbit::examples {

absl::Status ErrnoError(const std::string& what) {
  const int error = errno;
  const std::string text = absl::StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case EADDRINUSE:
      return absl::UnavailableError(text);
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
      return absl::NotFoundError(text);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<FileDescriptor> Listen(const std::string& address, uint16_t port) {
  const std::string name = absl::StrCat(address, " port ", port);
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), absl::StrCat(port).c_str(), &hints, &list); error != 0) {
    return absl::InvalidArgumentError(error == EAI_NONAME
                                          ? absl::StrCat(address, ": is no address in numbers, as 127.0.0.1 or ::1")
                                          : absl::StrCat(name, ": ", ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, ::freeaddrinfo);
  FileDescriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return ErrnoError(name);
  // The rest of the last server's connections must not keep this server from the port.
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket.get(), SOMAXCONN) != 0) {
    return ErrnoError(name);
  }
  return socket;
}

absl::StatusOr<FileDescriptor> AcceptConnection(int listener) {
  FileDescriptor socket(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return ErrnoError("accept");
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

std::string PeerAddress(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  const auto* peer = reinterpret_cast<const sockaddr*>(&address);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(peer, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  return absl::StrCat(host, ":", port);
}

uint64_t RaiseDescriptorLimit(uint64_t count) {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < count) {
    rlimit wanted = limit;
    wanted.rlim_cur = limit.rlim_max < count ? limit.rlim_max : count;
    if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return wanted.rlim_cur;
  }
  return limit.rlim_cur;
}

absl::StatusOr<FileDescriptor> SignalsAsFile() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    errno = error;
    return ErrnoError("pthread_sigmask");
  }
  FileDescriptor signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return ErrnoError("signalfd");
  return signals;
}

void Say(absl::string_view text) {
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  const std::string line = absl::StrCat(time, " kv_server: ", text, "\n");
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
}

WakeSocket::WakeSocket() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void WakeSocket::Wake() {
  const uint64_t one = 1;
  // Full: it is set anyway.
  static_cast<void>(!::write(event_.get(), &one, sizeof one));
}

void WakeSocket::Clear() {
  uint64_t count = 0;
  static_cast<void>(!::read(event_.get(), &count, sizeof count));
}

}  // namespace kekbit::examples
