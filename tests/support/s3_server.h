// S3Server is a real server of S3's protocol for a test: see s3_server.js. KEKBIT_S3RVER names the
// directory of npm's s3rver; without it there is no server, and tests that want one are skipped.
//
//   if (!S3Server::IsThere()) GTEST_SKIP() << S3Server::kMissing;
//   S3Server server;
//   auto store = S3Store::Open(server.location("prefix"));
//   server.Fault(3, "500");   // of the third request from now on

#ifndef KEKBIT_TESTS_SUPPORT_S3_SERVER_H_
#define KEKBIT_TESTS_SUPPORT_S3_SERVER_H_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/archive/s3_location.h"
#include "tests/support/temp_dir.h"

namespace kekbit {

class S3Server final {
 public:
  static constexpr char kMissing[] = "no s3rver: KEKBIT_S3RVER names no directory of it";

  static bool IsThere() { return std::getenv("KEKBIT_S3RVER") != nullptr; }

  S3Server() {
    int input[2];
    int output[2];
    if (::pipe(input) != 0 || ::pipe(output) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(input[0], STDIN_FILENO);
      ::dup2(output[1], STDOUT_FILENO);
      for (const int fd : {input[0], input[1], output[0], output[1]}) ::close(fd);
      // Its tokens of long lists are encrypted by what OpenSSL 3 calls legacy.
      ::execlp("node", "node", "--openssl-legacy-provider", "tests/support/s3_server.js", std::getenv("KEKBIT_S3RVER"),
               dir_.path().c_str(), nullptr);
      std::perror("node");
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    input_ = input[1];
    output_ = ::fdopen(output[0], "r");
    port_ = Line();
  }
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;
  ~S3Server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(input_);
    std::fclose(output_);
  }

  std::string endpoint() const { return absl::StrCat("http://127.0.0.1:", port_); }

  S3Location location(absl::string_view prefix) const {
    S3Location location;
    location.text = absl::StrCat("s3://bucket/", prefix);
    location.bucket = "bucket";
    location.prefix = absl::StrCat(prefix, "/");
    location.endpoint = endpoint();
    location.region = "us-east-1";
    location.path_style = true;
    location.access_key = "S3RVER";
    location.secret_key = "S3RVER";
    return location;
  }

  void Fault(int request, absl::string_view kind) {
    const std::string line = absl::StrCat("fault ", request, " ", kind, "\n");
    if (::write(input_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
    Line();
  }

 private:
  // A line that the server says.
  std::string Line() {
    char line[64];
    if (std::fgets(line, sizeof line, output_) == nullptr) {
      std::fprintf(stderr, "the S3 server has ended\n");
      std::abort();
    }
    std::string text(line);
    text.pop_back();
    return text;
  }

  TempDir dir_;
  pid_t pid_ = -1;
  int input_ = -1;
  std::FILE* output_ = nullptr;
  std::string port_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_S3_SERVER_H_
