// ledger: a small bank with a hot standby.
//
//   ledger serve --directory /tmp/bank     # first: the primary; reads commands from its input, answers on its output
//   ledger serve --directory /tmp/bank     # again, elsewhere: the standby; takes over when the primary dies

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/ledger_protocol.h"
#include "examples/ledger_state.h"
#include "replication/replica.h"

namespace kekbit::examples {
namespace {

struct ServeOptions {
  std::string directory;
  std::string input = "-";
  uint32_t segment_bytes = 64u << 20;
  bool spin = false;
};

int Fail(const std::string& message) {
  std::fprintf(stderr, "ledger: %s\n", message.c_str());
  return 1;
}

// False if nobody reads the answers any more.
bool WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Cuts the input into lines, and answers them. Of a line longer than any command needs, only that it is bad is kept.
class Session {
 public:
  explicit Session(Replica<Ledger>& replica) : replica_(replica) {}

  // Submits all whole lines, and answers them together when the last of them is acknowledged.
  absl::Status Take(absl::string_view input, std::string* answers) {
    pending_.append(input.data(), input.size());
    absl::Status status;
    size_t begin = 0;
    for (size_t end; status.ok() && (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      ++number_;
      if (std::exchange(too_long_, false)) continue;
      status = Answer(replica_, absl::string_view(pending_).substr(begin, end - begin), number_, answers);
    }
    pending_.erase(0, begin);
    if (pending_.size() > kLineBytesMax) {
      if (!std::exchange(too_long_, true)) absl::StrAppend(answers, "error line ", number_ + 1, ": too long\n");
      pending_.clear();
    }
    if (!status.ok()) return status;
    return replica_.WaitFor(replica_.applied(), Ack::kPublished, absl::InfiniteDuration());
  }

  // The input's end ends its last line, too.
  absl::Status TakeEnd(std::string* answers) {
    return pending_.empty() && !too_long_ ? absl::OkStatus() : Take("\n", answers);
  }

 private:
  static constexpr size_t kLineBytesMax = 1 << 20;

  Replica<Ledger>& replica_;
  std::string pending_;    // the beginning of a line whose end has not come yet
  bool too_long_ = false;  // that line is being skipped
  uint64_t number_ = 0;
};

int Serve(Replica<Ledger>& replica, int input) {
  Session session(replica);
  char buffer[64 * 1024];
  for (bool more = true; more;) {
    const ssize_t n = ::read(input, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Fail(absl::StrCat("can't read the input: ", std::strerror(errno)));
    more = n > 0;
    std::string answers;
    const absl::Status status =
        more ? session.Take(absl::string_view(buffer, static_cast<size_t>(n)), &answers) : session.TakeEnd(&answers);
    if (!status.ok()) return Fail(std::string(status.message()));
    if (!WriteAll(answers)) return Fail(absl::StrCat("can't write the answers: ", std::strerror(errno)));
  }
  return 0;
}

int RunServe(const ServeOptions& options) {
  int input = STDIN_FILENO;
  if (options.input != "-") {
    input = ::open(options.input.c_str(), O_RDONLY | O_CLOEXEC);
    if (input < 0) return Fail(absl::StrCat(options.input, ": ", std::strerror(errno)));
  }
  ReplicaOptions replica_options;
  replica_options.directory = options.directory;
  replica_options.segment_bytes = options.segment_bytes;
  replica_options.wait = options.spin ? Wait::kSpin : Wait::kSleep;
  auto replica = Replica<Ledger>::Open(std::move(replica_options));
  if (!replica.ok()) return Fail(std::string(replica.status().message()));
  // A moment for a replica that finds the journal free; then it is worth a word.
  if (!(*replica)->WaitForRole(Role::kPrimary, absl::Milliseconds(200)) && (*replica)->role() == Role::kFollower) {
    const absl::Status status = (*replica)->status();
    std::fprintf(stderr, "ledger: standby on %s at seq %llu; %s\n", options.directory.c_str(),
                 static_cast<unsigned long long>((*replica)->applied().seq),
                 status.ok() ? "takes over when the primary is gone"
                             : absl::StrCat("can't become primary, trying again: ", status.message()).c_str());
  }
  if (!(*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) {
    return Fail(std::string((*replica)->status().message()));
  }
  const Position position = (*replica)->applied();
  std::fprintf(stderr, "ledger: primary on %s in epoch %llu, at seq %llu\n", options.directory.c_str(),
               static_cast<unsigned long long>(position.epoch), static_cast<unsigned long long>(position.seq));
  return Serve(**replica, input);
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): can't fail for these arguments
  CLI::App app("A small bank with a hot standby, on kekbit.");
  app.require_subcommand(1);
  ServeOptions options;
  CLI::App* serve = app.add_subcommand(
      "serve",
      "Answers commands, one a line: open NAME AMOUNT, transfer FROM TO AMOUNT, balance NAME, digest.\n"
      "Each is answered in order by one line, once it is acknowledged: ok SEQ [VALUE], or error REASON.\n"
      "Started again on the same directory it is the standby, and takes over when the primary dies.");
  serve->add_option("-d,--directory", options.directory, "Of the journal; made if it is not there")->required();
  serve->add_option("-i,--input", options.input, "File to read commands from; - is standard input")
      ->capture_default_str();
  serve->add_option("--segment-bytes", options.segment_bytes, "Size of each file of the journal")
      ->check(CLI::Range(64u << 10, 4'000'000'000u))
      ->capture_default_str();
  serve->add_flag("--spin", options.spin, "As standby, use a whole processor for the least lag");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return RunServe(options);
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) { return kekbit::examples::Main(argc, argv); }
