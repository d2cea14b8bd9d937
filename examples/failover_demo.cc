// failover_demo kills a primary under load, twice, and proves that nothing acknowledged is lost.
//
// The demo starts two `ledger serve` processes on one journal: a primary and a standby. A client
// sends transfers; in the middle of them the primary gets SIGKILL. The standby takes over, a new
// standby is started, and so on. At the end every command in the journal is compared with what the
// client was told.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/ledger_client.h"
#include "examples/ledger_process.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/base/status_macros.h"

namespace kekbit::examples {
namespace {

constexpr int64_t kAccounts = 100;
constexpr int64_t kDeposit = 1'000'000;

struct DemoOptions {
  uint64_t commands = 600'000;
  int kills = 2;
  std::string directory;
  std::string ledger;
  std::string ack = "published";
};

class Demo {
 public:
  explicit Demo(DemoOptions options)
      : options_(std::move(options)),
        terminal_(::isatty(STDOUT_FILENO) != 0),
        client_(options_.directory, [this] { return NextCommand(); }) {}

  absl::Status Run() {
    KB_ASSIGN_OR_RETURN(primary_, StartProcess("primary"));
    KB_RETURN_IF_ERROR(OpenAccounts());
    KB_ASSIGN_OR_RETURN(standby_, StartProcess("standby"));
    for (int kill = 1; kill <= options_.kills; ++kill) {
      const uint64_t goal = options_.commands * static_cast<uint64_t>(kill) / static_cast<uint64_t>(options_.kills + 1);
      KB_RETURN_IF_ERROR(DriveTo(goal));
      KB_RETURN_IF_ERROR(KillPrimary(kill));
    }
    KB_RETURN_IF_ERROR(DriveTo(options_.commands));
    KB_RETURN_IF_ERROR(client_.Drain(*primary_));
    return Prove();
  }

 private:
  void Say(const std::string& line) const {
    std::printf("%s%s\n", terminal_ ? "\r\033[K" : "", line.c_str());
    std::fflush(stdout);
  }

  absl::StatusOr<std::unique_ptr<LedgerProcess>> StartProcess(absl::string_view role) {
    KB_ASSIGN_OR_RETURN(auto process, LedgerProcess::Start(options_.ledger, options_.directory,
                                                           JoinPath(options_.directory, "ledger.log"),
                                                           {"--spin", "--ack", options_.ack}));
    Say(absl::StrFormat("started the %s, process %d", role, process->pid()));
    return process;
  }

  // Makes the commands: first the accounts, then transfers between them.
  Ledger::Command NextCommand() {
    const auto name = [](int64_t account) { return absl::StrFormat("account-%02d", account); };
    if (opened_ < kAccounts) return OpenAccount{.name = name(opened_++), .amount = kDeposit};
    const int64_t from = account_(random_);
    const int64_t to = (from + 1 + account_(random_) % (kAccounts - 1)) % kAccounts;
    return Transfer{.from = name(from), .to = name(to), .amount = amount_(random_)};
  }

  absl::Status OpenAccounts() {
    KB_RETURN_IF_ERROR(client_.Drive(*primary_, [this] { return client_.done().size() >= kAccounts; }));
    Say(absl::StrFormat("opened %d accounts with %d each", kAccounts, kDeposit));
    return absl::OkStatus();
  }

  absl::Status DriveTo(uint64_t goal) {
    const absl::Time begin = absl::Now();
    const size_t before = client_.done().size();
    absl::Time next_progress = begin;
    KB_RETURN_IF_ERROR(client_.Drive(*primary_, [&] {
      const absl::Time now = absl::Now();
      if (terminal_ && now >= next_progress) {
        std::printf("\r\033[K%d of %d commands acknowledged", static_cast<int>(client_.done().size()),
                    static_cast<int>(options_.commands));
        std::fflush(stdout);
        next_progress = now + absl::Milliseconds(100);
      }
      return client_.done().size() >= goal;
    }));
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    const size_t done = client_.done().size();
    Say(absl::StrFormat("%d commands acknowledged (%.0f a second, through two pipes)", done,
                        static_cast<double>(done - before) / seconds));
    return absl::OkStatus();
  }

  absl::Status KillPrimary(int kill) {
    Say(absl::StrFormat("killing the primary, process %d, with SIGKILL; %d commands are on the way", primary_->pid(),
                        client_.unanswered()));
    const absl::Time killed = absl::Now();
    primary_->Kill();
    // Answers from before its death still come out of the pipe, then the pipe's end.
    if (absl::Status gone = client_.Drain(*primary_); !gone.ok() && !absl::IsUnavailable(gone)) return gone;
    const size_t unanswered = client_.unanswered();
    KB_ASSIGN_OR_RETURN(const size_t published,
                        client_.FailOver(*standby_, OpenAccount{.name = absl::StrCat("failover-", kill), .amount = 0}));
    const absl::Duration took = absl::Now() - killed;
    primary_ = std::move(standby_);
    Say(absl::StrFormat("took over: process %d acknowledged a command %.1f ms after the kill", primary_->pid(),
                        absl::ToDoubleMilliseconds(took)));
    Say(absl::StrFormat("of %d commands without an answer %d were in the journal already; the rest is sent again",
                        unanswered, published));
    KB_ASSIGN_OR_RETURN(standby_, StartProcess("standby"));
    return absl::OkStatus();
  }

  // Proves that the journal itself, the surviving primary, and the standby that takes over from it
  // agree with the client.
  absl::Status Prove() {
    KB_ASSIGN_OR_RETURN(LedgerAudit audit, LedgerAudit::Open(options_.directory));
    KB_RETURN_IF_ERROR(audit.Check(client_.done()));
    Say(
        absl::StrFormat("journal: all %d acknowledged commands are in it once, in order, at the seq that was told; "
                        "it ends at %s",
                        audit.commands(), audit.last().ToString()));
    const int64_t sum = audit.ledger().sum();
    Say(absl::StrFormat("balances: the sum is %d, put in were %d", sum, kAccounts * kDeposit));
    if (sum != kAccounts * kDeposit) return absl::DataLossError("money was lost or made");
    KB_RETURN_IF_ERROR(CompareDigest(*primary_, "primary", audit.ledger().digest()));
    primary_->CloseInput();
    primary_->Wait();
    return CompareDigest(*standby_, "standby, primary now,", audit.ledger().digest());
  }

  absl::Status CompareDigest(LedgerProcess& process, absl::string_view who, uint64_t digest) {
    KB_ASSIGN_OR_RETURN(const std::string answer, process.Ask("digest"));
    const std::string want = absl::StrFormat("%016x", digest);
    Say(absl::StrFormat("digest: the %s has %s, the journal replayed here gives %s", who,
                        answer.substr(answer.rfind(' ') + 1), want));
    return absl::EndsWith(answer, want) ? absl::OkStatus() : absl::DataLossError("the states differ");
  }

  DemoOptions options_;
  bool terminal_;
  LedgerClient client_;
  std::unique_ptr<LedgerProcess> primary_;
  std::unique_ptr<LedgerProcess> standby_;
  int64_t opened_ = 0;
  std::mt19937_64 random_{42};
  std::uniform_int_distribution<int64_t> account_{0, kAccounts - 1};
  std::uniform_int_distribution<int64_t> amount_{1, 100};
};

std::string MakeDirectory() {
  std::error_code error;
  const std::filesystem::path base =
      std::filesystem::is_directory("/dev/shm", error) ? "/dev/shm" : std::filesystem::temp_directory_path(error);
  std::string pattern = (base / "kekbit-demo-XXXXXX").string();
  return ::mkdtemp(pattern.data()) == nullptr ? "" : pattern;
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): can't fail for these arguments
  DemoOptions options;
  options.ledger = BesideThisProgram("ledger");
  CLI::App app("Kills a primary under load and proves that nothing acknowledged is lost.");
  app.add_option("-n,--commands", options.commands, "Commands to send")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{100'000'000}))
      ->capture_default_str();
  app.add_option("--kills", options.kills, "How often to kill the primary")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--ack", options.ack, "When a command is acknowledged: published or synced")
      ->check(CLI::IsMember({"published", "synced"}))
      ->capture_default_str();
  app.add_option("-d,--directory", options.directory,
                 "An empty or new one for the journal, kept; without: a temporary one, removed at the end");
  app.add_option("--ledger", options.ledger, "The ledger program")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const bool temporary = options.directory.empty();
  if (temporary) options.directory = MakeDirectory();
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error || !std::filesystem::is_empty(options.directory, error)) {
    std::fprintf(stderr, "failover_demo: '%s' is not an empty directory\n", options.directory.c_str());
    return 2;
  }
  std::printf("journal in %s\n", options.directory.c_str());
  const absl::Status status = Demo(options).Run();
  if (!status.ok()) {
    std::printf("\nFAILED: %s\nThe journal and the processes' log are kept in %s\n",
                std::string(status.message()).c_str(), options.directory.c_str());
    return 1;
  }
  std::printf("nothing acknowledged was lost\n");
  if (temporary) std::filesystem::remove_all(options.directory, error);
  return 0;
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}
