// kill_loop: kills primaries and standbys of a ledger with SIGKILL, again and again, under load, while they start and
// while they take over, and checks after each round that every acknowledged command is in the journal once, in order.
//
//   kill_loop --rounds 300
//
// What it does follows from the seed, which it prints; what comes of it also from the machine's scheduling.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/ledger_client.h"
#include "examples/ledger_process.h"
#include "kekbit/file_system.h"
#include "kekbit/status_macros.h"
#include "replication/journal_layout.h"

namespace kekbit::examples {
namespace {

struct KillLoopOptions {
  uint64_t rounds = 300;
  // Then a new journal is begun: each process that starts reads all of it.
  uint64_t rounds_per_journal = 25;
  uint64_t seed = std::random_device{}();
  std::string ledger;
  std::string directory;
};

struct Figures {
  std::map<std::string, uint64_t> rounds;
  uint64_t kills = 0;
  uint64_t commands = 0;
  uint64_t unanswered = 0;  // on the way when their primary died
  uint64_t published = 0;   // of these
  uint64_t segments = 0;
  std::vector<absl::Duration> takeovers;
};

class KillLoop {
 public:
  KillLoop(const KillLoopOptions& options, std::string directory, std::mt19937_64* random, Figures* figures)
      : options_(options),
        directory_(std::move(directory)),
        client_(directory_, [this] { return NextCommand(); }),
        random_(*random),
        figures_(*figures) {}

  absl::Status Run(uint64_t rounds) {
    KB_ASSIGN_OR_RETURN(primary_, StartProcess());
    KB_ASSIGN_OR_RETURN(audit_, LedgerAudit::Open(directory_));
    KB_RETURN_IF_ERROR(Load());
    KB_ASSIGN_OR_RETURN(standby_, StartProcess());
    for (uint64_t round = 0; round < rounds; ++round) {
      const std::string name = kRounds[Random(0, std::size(kRounds) - 1)];
      ++figures_.rounds[name];
      const absl::Status status = RunRound(name);
      if (!status.ok()) {
        return absl::Status(status.code(),
                            absl::StrCat("round ", round, " of this journal, ", name, ": ", status.message()));
      }
    }
    return Finish();
  }

 private:
  static constexpr const char* kRounds[] = {
      "primary killed",          "standby killed",          "both killed at once",          "killed during takeover",
      "standby killed at start", "primary killed at start", "primary killed again at once",
  };

  uint64_t Random(uint64_t from, uint64_t to) { return std::uniform_int_distribution<uint64_t>(from, to)(random_); }

  absl::StatusOr<std::unique_ptr<LedgerProcess>> StartProcess() {
    static constexpr uint32_t kSegmentBytes[] = {64 << 10, 96 << 10, 128 << 10, 1 << 20};
    std::vector<std::string> more = {"--segment-bytes", absl::StrCat(kSegmentBytes[Random(0, 3)])};
    if (Random(0, 3) == 0) more.push_back("--spin");
    return LedgerProcess::Start(options_.ledger, directory_, directory_ + ".log", more);
  }

  Ledger::Command NextCommand() {
    constexpr int64_t kAccounts = 20;
    const auto name = [](int64_t account) { return absl::StrCat("account-", account); };
    if (opened_ < kAccounts) return OpenAccount{.name = name(opened_++), .amount = 1'000'000'000};
    const auto from = static_cast<int64_t>(Random(0, kAccounts - 1));
    const auto to = static_cast<int64_t>(Random(0, kAccounts - 1));
    return Transfer{.from = name(from), .to = name(to), .amount = static_cast<int64_t>(Random(1, 100))};
  }
  // Not mixed up with any other.
  Ledger::Command Probe() { return OpenAccount{.name = absl::StrCat("probe-", ++probes_), .amount = 0}; }

  // Commands for a while; some are on the way when it returns.
  absl::Status Load() {
    const size_t goal = client_.done().size() + Random(50, 2500);
    KB_RETURN_IF_ERROR(client_.Drive(*primary_, [&] { return client_.done().size() >= goal; }));
    ::usleep(static_cast<useconds_t>(Random(0, 2000)));
    return absl::OkStatus();
  }

  void Kill(LedgerProcess& process) {
    process.Kill();
    ++figures_.kills;
  }

  // Takes what the dead primary had answered.
  absl::Status Bury() {
    absl::Status gone = client_.Drain(*primary_);
    primary_->Wait();
    figures_.unanswered += client_.unanswered();
    return absl::IsUnavailable(gone) ? absl::OkStatus() : gone;
  }

  // Goes on with `next`, which is to become the primary; Unavailable if it dies before it has answered.
  absl::Status FailOver(LedgerProcess& next) {
    const absl::Time begin = absl::Now();
    KB_ASSIGN_OR_RETURN(const size_t published, client_.FailOver(next, Probe()));
    figures_.takeovers.push_back(absl::Now() - begin);
    figures_.published += published;
    return absl::OkStatus();
  }

  absl::Status Promote(std::unique_ptr<LedgerProcess> next) {
    KB_RETURN_IF_ERROR(FailOver(*next));
    primary_ = std::move(next);
    return absl::OkStatus();
  }

  absl::Status RunRound(const std::string& name) {
    KB_RETURN_IF_ERROR(Load());
    if (name == "standby killed") {
      Kill(*standby_);
    } else if (name == "standby killed at start") {
      KB_ASSIGN_OR_RETURN(auto third, StartProcess());
      ::usleep(static_cast<useconds_t>(Random(0, 15'000)));
      Kill(*third);
    } else {
      KB_RETURN_IF_ERROR(KillPrimary(name));
    }
    if (standby_ == nullptr || name == "standby killed") {
      KB_ASSIGN_OR_RETURN(standby_, StartProcess());
    }
    KB_RETURN_IF_ERROR(client_.Drain(*primary_));
    return audit_->Check(client_.done());
  }

  absl::Status KillPrimary(const std::string& name) {
    Kill(*primary_);
    if (name == "primary killed") {
      KB_RETURN_IF_ERROR(Bury());
      return Promote(std::move(standby_));
    }
    if (name == "primary killed again at once") {
      KB_RETURN_IF_ERROR(Bury());
      KB_RETURN_IF_ERROR(Promote(std::move(standby_)));
      KB_ASSIGN_OR_RETURN(standby_, StartProcess());
      Kill(*primary_);
      KB_RETURN_IF_ERROR(Bury());
      return Promote(std::move(standby_));
    }
    if (name == "killed during takeover") {
      KB_RETURN_IF_ERROR(Bury());
      KB_RETURN_IF_ERROR(KillDuringFailOver(*standby_, Random(0, 8000)));
    } else {
      Kill(*standby_);
      KB_RETURN_IF_ERROR(Bury());
    }
    standby_.reset();
    if (name == "primary killed at start") {
      for (uint64_t tries = Random(1, 3); tries > 0; --tries) {
        KB_ASSIGN_OR_RETURN(const auto next, StartProcess());
        KB_RETURN_IF_ERROR(KillDuringFailOver(*next, Random(0, 30'000)));
      }
    }
    // From the files alone.
    KB_ASSIGN_OR_RETURN(auto next, StartProcess());
    return Promote(std::move(next));
  }

  absl::Status KillDuringFailOver(LedgerProcess& next, uint64_t after_us) {
    std::thread killer([&] {
      ::usleep(static_cast<useconds_t>(after_us));
      next.Kill();
    });
    const absl::Status status = FailOver(next);
    killer.join();
    ++figures_.kills;
    next.Wait();
    return absl::IsUnavailable(status) ? absl::OkStatus() : status;
  }

  // The states of the primary, and of the standby that follows it, are those that the journal gives.
  absl::Status Finish() {
    KB_RETURN_IF_ERROR(CheckDigest(*primary_));
    primary_->CloseInput();
    if (const int status = primary_->Wait(); status != 0) {
      return absl::InternalError(absl::StrCat("the primary ended with status ", status));
    }
    KB_RETURN_IF_ERROR(CheckDigest(*standby_));
    figures_.commands += client_.done().size();
    KB_ASSIGN_OR_RETURN(const auto segments, JournalLayout(directory_).ListSegments(FileSystem::Posix()));
    figures_.segments += segments.size();
    return absl::OkStatus();
  }

  absl::Status CheckDigest(LedgerProcess& process) {
    KB_ASSIGN_OR_RETURN(const std::string answer, process.Ask("digest"));
    const std::string want = absl::StrFormat("%016x", audit_->ledger().digest());
    if (absl::EndsWith(answer, want)) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("a state has digest '", answer, "', the journal gives ", want));
  }

  const KillLoopOptions& options_;
  const std::string directory_;
  LedgerClient client_;
  std::optional<LedgerAudit> audit_;
  std::unique_ptr<LedgerProcess> primary_;
  std::unique_ptr<LedgerProcess> standby_;
  std::mt19937_64& random_;
  Figures& figures_;
  int64_t opened_ = 0;
  uint64_t probes_ = 0;
};

void Print(Figures& figures, absl::Duration took) {
  for (const auto& [name, count] : figures.rounds) {
    std::printf("%6llu  %s\n", static_cast<unsigned long long>(count), name.c_str());
  }
  std::sort(figures.takeovers.begin(), figures.takeovers.end());
  const auto ms = [&](size_t percent) {
    return absl::ToDoubleMilliseconds(figures.takeovers[(figures.takeovers.size() - 1) * percent / 100]);
  };
  std::printf("%s\n",
              absl::StrFormat("%d kills, %d commands in %d segments, lost 0; of %d on the way at a kill %d were "
                              "published; first answer after a kill: median %.1f ms, 90 %% %.1f ms, longest %.1f "
                              "ms; %.1f s",
                              figures.kills, figures.commands, figures.segments, figures.unanswered, figures.published,
                              ms(50), ms(90), ms(100), absl::ToDoubleSeconds(took))
                  .c_str());
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): can't fail for these arguments
  KillLoopOptions options;
  const char* const temporary = std::getenv("TEST_TMPDIR");
  options.directory = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : temporary != nullptr ? temporary : "/tmp";
  CLI::App app("Kills ledger processes and proves that nothing acknowledged is lost.");
  app.add_option("-n,--rounds", options.rounds, "Rounds of kills")->capture_default_str();
  app.add_option("--rounds-per-journal", options.rounds_per_journal, "Rounds until a new journal is begun")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of all random choices");
  app.add_option("-d,--directory", options.directory, "Where the journals are to be")->capture_default_str();
  app.add_option("--ledger", options.ledger, "The ledger program")->required();
  CLI11_PARSE(app, argc, argv);

  std::printf("--rounds %llu --seed %llu\n", static_cast<unsigned long long>(options.rounds),
              static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
  std::mt19937_64 random(options.seed);
  Figures figures;
  const absl::Time begin = absl::Now();
  for (uint64_t done = 0; done < options.rounds; done += options.rounds_per_journal) {
    const std::string directory = absl::StrCat(options.directory, "/kekbit-kill-loop-", ::getpid(), "-", done);
    std::filesystem::create_directories(directory);
    const uint64_t rounds = std::min(options.rounds_per_journal, options.rounds - done);
    const absl::Status status = KillLoop(options, directory, &random, &figures).Run(rounds);
    if (!status.ok()) {
      std::printf("FAILED: %s\nThe journal is kept in %s\n", std::string(status.message()).c_str(), directory.c_str());
      return 1;
    }
    std::filesystem::remove_all(directory);
    std::filesystem::remove(directory + ".log");
  }
  if (options.rounds > 0) Print(figures, absl::Now() - begin);
  return 0;
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) { return kekbit::examples::Main(argc, argv); }
