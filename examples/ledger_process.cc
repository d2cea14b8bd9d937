#include "examples/ledger_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

namespace kekbit::examples {

absl::StatusOr<std::unique_ptr<LedgerProcess>> LedgerProcess::Start(const std::string& binary,
                                                                    const std::string& directory,
                                                                    const std::string& log,
                                                                    const std::vector<std::string>& more) {
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0) return absl::UnavailableError(std::strerror(errno));
  if (::pipe2(from, O_CLOEXEC) != 0) {
    ::close(to[0]);
    ::close(to[1]);
    return absl::UnavailableError(std::strerror(errno));
  }
  std::vector<std::string> arguments = {binary, "serve", "--directory", directory};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, binary.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(to[0]);
  ::close(from[1]);
  if (error != 0) {
    ::close(to[1]);
    ::close(from[0]);
    return absl::UnavailableError(absl::StrCat(binary, ": ", std::strerror(error)));
  }
  ::fcntl(to[1], F_SETFL, O_NONBLOCK);
  ::fcntl(from[0], F_SETFL, O_NONBLOCK);
  return absl::WrapUnique(new LedgerProcess(pid, to[1], from[0]));
}

LedgerProcess::~LedgerProcess() {
  if (!ended_) {
    Kill();
    Wait();
  }
  CloseInput();
  ::close(output_);
}

absl::StatusOr<std::string> LedgerProcess::Ask(const std::string& line) {
  const std::string text = absl::StrCat(line, "\n");
  if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return absl::UnavailableError("the process takes no input");
  }
  std::string answer;
  while (answer.empty() || answer.back() != '\n') {
    pollfd poll = {.fd = output_, .events = POLLIN, .revents = 0};
    ::poll(&poll, 1, -1);
    char buffer[256];
    const ssize_t n = ::read(output_, buffer, sizeof buffer);
    if (n == 0) return absl::UnavailableError("the process ended without an answer");
    if (n > 0) answer.append(buffer, static_cast<size_t>(n));
  }
  answer.pop_back();
  return answer;
}

void LedgerProcess::Kill() {
  if (!ended_) ::kill(pid_, SIGKILL);
}

void LedgerProcess::CloseInput() {
  if (input_ >= 0) ::close(std::exchange(input_, -1));
}

int LedgerProcess::Wait() {
  while (!ended_) ended_ = ::waitpid(pid_, &status_, 0) == pid_ || errno != EINTR;
  return status_;
}

std::string BesideThisProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / name).string();
}

}  // namespace kekbit::examples
