// kill_loop kills primaries and standbys of a ledger with SIGKILL, again and again, under load,
// while they start, take over and hand over. It restarts them all, and damages snapshots. After
// each round it checks that every acknowledged command is in the journal once, in order, and that
// the state is the same everywhere. See kill_loop.h.
//
//   kill_loop --rounds 500
//
// The actions follow from the seed, which is printed; the outcome depends also on the machine's
// scheduling.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/replication/replica_options.h"
#include "tests/scenarios/kill_loop.h"

namespace kekbit::examples {
namespace {

struct KillLoopOptions {
  uint64_t rounds = 500;
  // Rounds until a new journal is begun, of the other stage.
  uint64_t rounds_per_journal = 25;
  uint64_t seed = std::random_device{}();
  std::string ledger;
  std::string directory;
};

void Print(KillFigures& figures, absl::Duration took) {
  for (const auto& [name, count] : figures.rounds) {
    std::printf("%6llu  %s\n", static_cast<unsigned long long>(count), name.c_str());
  }
  std::sort(figures.takeovers.begin(), figures.takeovers.end());
  const auto ms = [&](size_t percent) {
    if (figures.takeovers.empty()) return 0.0;
    return absl::ToDoubleMilliseconds(figures.takeovers[(figures.takeovers.size() - 1) * percent / 100]);
  };
  std::printf("%s\n",
              absl::StrFormat("%d kills, %d step-downs, %d commands, lost 0; of %d on the way at a kill %d were "
                              "published; %d segments, %d of them cut; %d starts of a follower from a snapshot, %d "
                              "snapshots damaged; first answer after a kill: median %.1f ms, 90 %% %.1f ms, longest "
                              "%.1f ms (%s); %.1f s",
                              figures.kills, figures.step_downs, figures.commands, figures.unanswered,
                              figures.published, figures.segments, figures.segments_cut, figures.from_snapshots,
                              figures.damaged, ms(50), ms(90), ms(100), figures.slowest_in, absl::ToDoubleSeconds(took))
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
  KillFigures figures;
  const absl::Time begin = absl::Now();
  for (uint64_t done = 0; done < options.rounds; done += options.rounds_per_journal) {
    std::string directory = options.directory + "/kekbit-kill-loop-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) {
      std::perror(directory.c_str());
      return 1;
    }
    const uint64_t rounds = std::min(options.rounds_per_journal, options.rounds - done);
    const Ack ack = done / options.rounds_per_journal % 2 == 0 ? Ack::kPublished : Ack::kSynced;
    const absl::Status status = KillLoop(options.ledger, directory, ack, &random, &figures).Run(rounds);
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
