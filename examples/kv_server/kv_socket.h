// Parts of the operating system that the key-value server needs: descriptors that close themselves,
// sockets, a way to wake a loop, signals as something to read, a place to say something.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_SOCKET_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_SOCKET_H_

#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekbit::examples {

// A line on standard error, with the time: what the server has to say.
void Say(absl::string_view text);

// Owns a file descriptor.
class FileDescriptor final {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { Close(); }

  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The words for errno.
absl::Status ErrnoError(const std::string& what);

// A socket that listens, without blocking, on an address in numbers. Unavailable: the port is in
// use.
absl::StatusOr<FileDescriptor> Listen(const std::string& address, uint16_t port);

// The next connection, without blocking. NotFound: there is none. ResourceExhausted: there is no
// room for one.
absl::StatusOr<FileDescriptor> AcceptConnection(int listener);

// The other end of a connection, as Redis shows it: "127.0.0.1:50000"; empty if that can't be had.
std::string PeerAddress(int socket);

// Lets this process have `count` descriptors, if possible; returns how many it has.
uint64_t RaiseDescriptorLimit(uint64_t count);

// Makes SIGTERM and SIGINT something to read, in this thread and those that it starts from now on.
absl::StatusOr<FileDescriptor> SignalsAsFile();

// Something that a loop can wait for and any thread can set.
class WakeSocket final {
 public:
  WakeSocket();

  void Wake();
  void Clear();
  int get() const { return event_.get(); }

 private:
  FileDescriptor event_;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_SOCKET_H_
