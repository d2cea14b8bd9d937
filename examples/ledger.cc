// ledger is a small bank with a hot standby.
//
//   ledger serve --directory /tmp/bank     # first: the primary, from its input to its output
//   ledger serve --directory /tmp/bank     # again, elsewhere: the standby, until the primary dies
//
// The primary hands over to the standby when it reads step-down, or gets SIGUSR1.

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
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
#include "examples/argument_checks.h"
#include "examples/ledger_protocol.h"
#include "examples/ledger_state.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/archive/open_store.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {
namespace {

struct ServeOptions {
  std::string input = "-";
  bool spin = false;
  std::string archive;
  ReplicaOptions replica;
};

int Fail(const std::string& message) {
  std::fprintf(stderr, "ledger: %s\n", message.c_str());
  return 1;
}

// Returns false if nobody reads the answers any more.
bool WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Session cuts the input into lines, and answers them. A line longer than any command needs is
// dropped; only the fact that it is bad is kept.
class Session {
 public:
  Session(Replica<Ledger>& replica, Ack ack) : replica_(replica), ack_(ack) {}

  // Submits all whole lines, and answers them together when the last of them is acknowledged. Takes
  // no more after a step-down: steps_down().
  absl::Status Take(absl::string_view input, std::string* answers) {
    pending_.append(input.data(), input.size());
    steps_down_ = false;
    absl::Status status;
    size_t begin = 0;
    for (size_t end; status.ok() && !steps_down_ && (end = pending_.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      ++number_;
      if (std::exchange(too_long_, false)) continue;
      const auto request = ParseRequest(absl::string_view(pending_).substr(begin, end - begin));
      steps_down_ = request.ok() && std::holds_alternative<StepDown>(*request);
      status = Answer(replica_, request, number_, answers);
    }
    pending_.erase(0, begin);
    if (pending_.size() > kLineBytesMax && !steps_down_) {
      if (!std::exchange(too_long_, true)) absl::StrAppend(answers, "error line ", number_ + 1, ": too long\n");
      pending_.clear();
    }
    if (!status.ok()) return status;
    return replica_.WaitFor(replica_.applied(), ack_, absl::InfiniteDuration());
  }

  // The input's end ends its last line, too.
  absl::Status TakeEnd(std::string* answers) {
    return pending_.empty() && !too_long_ ? absl::OkStatus() : Take("\n", answers);
  }

  // Returns true if what was taken last ends with a step-down: everything before is acknowledged.
  bool steps_down() const { return steps_down_; }

 private:
  static constexpr size_t kLineBytesMax = 1 << 20;

  Replica<Ledger>& replica_;
  const Ack ack_;
  std::string pending_;      // the beginning of a line whose end has not come yet
  bool too_long_ = false;    // that line is being skipped
  bool steps_down_ = false;  // whole lines may then be pending, too
  uint64_t number_ = 0;
};

// Returns a file descriptor that can be read when SIGUSR1 came. Call this before there are other
// threads.
int MakeHandOverSignal() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

class Server {
 public:
  Server(Replica<Ledger>& replica, const ReplicaOptions& options, int input, int hand_over)
      : replica_(replica),
        session_(replica, options.ack),
        directory_(options.directory),
        input_(input),
        hand_over_(hand_over) {}

  // Stands by until it is primary, serves the input until the next handover, and so on until the
  // input ends.
  absl::Status Run() {
    KB_RETURN_IF_ERROR(AwaitPrimary());
    for (bool more = true; more;) {
      KB_ASSIGN_OR_RETURN(const bool asked, AwaitInput());
      std::string answers;
      bool steps_down = asked;
      if (!asked) {
        const ssize_t n = ::read(input_, buffer_, sizeof buffer_);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return absl::InternalError(absl::StrCat("can't read the input: ", std::strerror(errno)));
        more = n > 0;
        KB_RETURN_IF_ERROR(more ? session_.Take(absl::string_view(buffer_, static_cast<size_t>(n)), &answers)
                                : session_.TakeEnd(&answers));
        steps_down = session_.steps_down();
      }
      while (steps_down) {
        KB_RETURN_IF_ERROR(HandOver(std::exchange(answers, {}), /*answered=*/!asked));
        KB_RETURN_IF_ERROR(session_.Take("", &answers));  // lines that came with the step-down
        steps_down = session_.steps_down();
      }
      KB_RETURN_IF_ERROR(Say(answers));
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Say(absl::string_view answers) {
    if (WriteAll(answers)) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("can't write the answers: ", std::strerror(errno)));
  }

  // Waits for input, or its end; returns true if there is a SIGUSR1 first.
  absl::StatusOr<bool> AwaitInput() {
    pollfd polls[] = {{.fd = input_, .events = POLLIN, .revents = 0},
                      {.fd = hand_over_, .events = POLLIN, .revents = 0}};
    while (::poll(polls, 2, -1) < 0) {
      if (errno != EINTR) return absl::InternalError(absl::StrCat("poll: ", std::strerror(errno)));
    }
    return TakeSignal();
  }

  bool TakeSignal() {
    signalfd_siginfo signal = {};
    return ::read(hand_over_, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal);
  }

  // Gives the answers, then stands by. If `answered`, the last answer says that the step-down is
  // done. Without a standby the primary goes on.
  absl::Status HandOver(std::string answers, bool answered) {
    const Seq seq = replica_.applied().seq;
    const absl::Status status = replica_.StepDown();
    const bool stays = absl::IsFailedPrecondition(status) && replica_.role() == Role::kPrimary;
    if (!stays) KB_RETURN_IF_ERROR(status);
    const std::string message(status.message());
    if (answered) absl::StrAppend(&answers, stays ? absl::StrCat("error ", message) : absl::StrCat("ok ", seq), "\n");
    KB_RETURN_IF_ERROR(Say(answers));
    std::fprintf(stderr, "ledger: %s on %s%s%s\n", stays ? "does not step down" : "steps down", directory_.c_str(),
                 stays ? ": " : "", message.c_str());
    return stays ? absl::OkStatus() : AwaitPrimary();
  }

  absl::Status AwaitPrimary() {
    // Wait a moment: a replica that finds the journal free leads soon. Else say that it stands by.
    if (!replica_.WaitForRole(Role::kPrimary, absl::Milliseconds(200)) && replica_.role() == Role::kFollower) {
      const absl::Status status = replica_.status();
      std::fprintf(stderr, "ledger: standby on %s at seq %llu, pid %d; %s\n", directory_.c_str(),
                   static_cast<unsigned long long>(replica_.applied().seq), static_cast<int>(::getpid()),
                   status.ok() ? "takes over when the primary is gone"
                               : absl::StrCat("can't become primary, trying again: ", status.message()).c_str());
    }
    if (!replica_.WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return replica_.status();
    const Position position = replica_.applied();
    std::fprintf(stderr, "ledger: primary on %s in epoch %llu, at seq %llu, pid %d\n", directory_.c_str(),
                 static_cast<unsigned long long>(position.epoch), static_cast<unsigned long long>(position.seq),
                 static_cast<int>(::getpid()));
    static_cast<void>(TakeSignal());  // it was for the standby, which has nothing to hand over
    return absl::OkStatus();
  }

  Replica<Ledger>& replica_;
  Session session_;
  const std::string directory_;
  const int input_;
  const int hand_over_;
  char buffer_[64 * 1024] = {};
};

int RunServe(ServeOptions options) {
  int input = STDIN_FILENO;
  if (options.input != "-") {
    input = ::open(options.input.c_str(), O_RDONLY | O_CLOEXEC);
    if (input < 0) return Fail(absl::StrCat(options.input, ": ", std::strerror(errno)));
  }
  const int hand_over = MakeHandOverSignal();
  options.replica.wait = options.spin ? Wait::kSpin : Wait::kSleep;
  options.replica.on_takeover = [](const TakeoverReport& report) {
    std::fprintf(stderr, "ledger: takeover: %s\n", report.ToString().c_str());
  };
  std::unique_ptr<ObjectStore> store;
  if (!options.archive.empty()) {
    auto opened = OpenStore(FileSystem::Posix(), options.archive);
    if (!opened.ok()) return Fail(std::string(opened.status().message()));
    store = *std::move(opened);
    options.replica.archive.store = store.get();
  }
  auto replica = Replica<Ledger>::Open(options.replica);
  if (!replica.ok()) return Fail(std::string(replica.status().message()));
  std::fprintf(stderr, "ledger: opened %s: %s\n", options.replica.directory.c_str(),
               (*replica)->recovery().ToString().c_str());
  const absl::Status status = Server(**replica, options.replica, input, hand_over).Run();
  if (status.ok()) return 0;
  // The replica's log says why it stopped.
  return (*replica)->role() == Role::kStopped ? 1 : Fail(std::string(status.message()));
}

void AddOptions(CLI::App& serve, ServeOptions& options) {
  ReplicaOptions& replica = options.replica;
  serve.add_option("-d,--directory", replica.directory, "Directory of the journal; made if it is not there")
      ->required();
  serve.add_option("-i,--input", options.input, "File to read commands from; - is standard input")
      ->capture_default_str();
  serve
      .add_option_function<std::string>(
          "--ack",
          [&replica](const std::string& stage) { replica.ack = stage == "synced" ? Ack::kSynced : Ack::kPublished; },
          "When a command is acknowledged: published survives the death of the process, synced a power loss")
      ->type_name("STAGE")
      ->check(CLI::IsMember({"published", "synced"}))
      ->default_str("published");
  auto* const every =
      serve
          .add_option(
              "--snapshot-every", replica.snapshots.frames,
              "As standby, take a snapshot every so many frames, and cut the journal behind the one before; 0: never")
          ->check(CheckCount)
          ->capture_default_str();
  serve
      .add_flag("--snapshot-on-primary", replica.snapshots.on_primary,
                "As primary, too, which pauses meanwhile: for one without a standby")
      ->needs(every);
  serve.add_flag("--compress-snapshots", replica.snapshots.compressed, "Compress snapshots, by zstd");
  serve.add_option("--segment-bytes", replica.segment_bytes, "Size of each file of the journal")
      ->check(CLI::Range(64u << 10, 4'000'000'000u))
      ->capture_default_str();
  serve.add_option("--archive", options.archive, kArchiveHelp)->type_name("TO");
  serve.add_flag("--spin", options.spin, "As standby, use a whole processor for the least lag");
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
      "Started again on the same directory it is the standby, and takes over when the primary dies,\n"
      "or when it hands over: by the command step-down, or on SIGUSR1.");
  AddOptions(*serve, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.get_subcommands().empty() && error.get_exit_code() != 0) {
      std::fprintf(stderr,
                   "ledger: say what it is to do: ledger serve --directory DIR; ledger serve --help says more\n");
      return 2;
    }
    return app.exit(error) == 0 ? 0 : 2;
  }
  return RunServe(std::move(options));
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}
