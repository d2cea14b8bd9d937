// Common parts of the examples on channels: where their channels lie, Ctrl-C, lines of standard
// input, errors.
//
// Thread safety: any thread, but a LineReader belongs to one thread.

#ifndef KEKBIT_EXAMPLES_CHANNEL_EXAMPLE_H_
#define KEKBIT_EXAMPLES_CHANNEL_EXAMPLE_H_

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"

namespace kekbit::examples {

// How long a loop may take to notice that it shall end.
inline constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

inline std::string DefaultDirectory() {
  const char* const temporary = std::getenv("TMPDIR");
  return JoinPath(temporary != nullptr && *temporary != '\0' ? temporary : "/tmp", "kekbit_examples");
}

// Interrupt: Ctrl-C asks the program to end, so that destructors close its channels.
class Interrupt final {
 public:
  static void Catch() {
    struct sigaction action = {};
    action.sa_handler = [](int) { Request(); };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
  }
  static void Request() { requested_ = 1; }
  static bool requested() { return requested_ != 0; }

 private:
  // A handler and several threads use this; nothing else is ordered by it.
  static inline std::atomic<int> requested_ = 0;
};

// LineReader gives lines of standard input, with their line ends, until its end or Ctrl-C.
class LineReader final {
 public:
  std::optional<std::string> Next() {
    for (;;) {
      if (const size_t end = text_.find('\n'); end != std::string::npos) {
        std::string line = text_.substr(0, end + 1);
        text_.erase(0, end + 1);
        return line;
      }
      if (Interrupt::requested()) return std::nullopt;
      pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      if (::poll(&input, 1, static_cast<int>(absl::ToInt64Milliseconds(kLookEvery))) <= 0) continue;
      std::array<char, 4096> chunk;
      const ssize_t size = ::read(STDIN_FILENO, chunk.data(), chunk.size());
      if (size > 0) {
        text_.append(chunk.data(), static_cast<size_t>(size));
      } else if (size == 0 && !text_.empty()) {
        text_.push_back('\n');  // the last line had no end
      } else if (size == 0 || errno != EINTR) {
        return std::nullopt;
      }
    }
  }

 private:
  std::string text_;
};

// Makes a new channel at `path`, in the place of one from an earlier run. FailedPrecondition if
// that channel is in use.
inline absl::StatusOr<ShmWriter> CreateAnew(const std::string& path, const Header& header) {
  absl::StatusOr<ShmWriter> writer = ShmWriter::CreateAt(path, header);
  if (!absl::IsAlreadyExists(writer.status())) return writer;
  absl::StatusOr<ShmReader> old = ShmReader::OpenAt(path);
  if (!old.ok()) return old.status();
  const absl::StatusOr<bool> alive = old->WriterAlive();
  if (!alive.ok()) return alive.status();
  if (*alive) return absl::FailedPreconditionError(absl::StrCat(path, ": another process is writing this channel"));
  if (absl::Status status = FileSystem::Posix().Unlink(path); !status.ok()) return status;
  return ShmWriter::CreateAt(path, header);
}

// Returns the channel at `path`, as soon as it exists with a writer that lives. Cancelled after
// Ctrl-C.
inline absl::StatusOr<ShmReader> AwaitLive(const std::string& path) {
  while (!Interrupt::requested()) {
    absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path);
    if (!reader.ok() && !absl::IsNotFound(reader.status())) return reader;
    if (reader.ok()) {
      const absl::StatusOr<bool> alive = reader->WriterAlive();
      if (!alive.ok()) return alive.status();
      if (*alive) return reader;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  return absl::CancelledError("interrupted");
}

// Makes `status` the program's exit code, with a word on standard error if the code is not 0. To be
// stopped is no failure.
inline int ExitCode(const absl::Status& status) {
  if (status.ok() || absl::IsCancelled(status)) return 0;
  std::cerr << "error: " << status.message() << '\n';
  return 1;
}

// Parses the arguments. Returns nullopt if the program shall go on, else its exit code: 0 after
// --help, 2 after a mistake.
inline std::optional<int> ParseArguments(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_CHANNEL_EXAMPLE_H_
