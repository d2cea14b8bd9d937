// Many schedules of a simulated machine with several replicas of one journal: see simulation.h.
//
// KEKBIT_SIMULATION_SCHEDULES: how many; KEKBIT_SIMULATION_SECONDS: for how long at most; KEKBIT_SIMULATION_SEED: the
// first one's seed, each other has the next; KEKBIT_SIMULATION_TRACE=1: prints what happened in each, and
// KEKBIT_SIMULATION_PROGRESS=N a line after each N schedules. It ends after three with violations;
// KEKBIT_SIMULATION_STOP=1: after the first.

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/scenarios/simulation.h"

namespace kekbit {
namespace {

uint64_t Wanted(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  uint64_t number = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) ADD_FAILURE() << variable << " is " << text;
  return number;
}

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

void PrintViolation(uint64_t seed, const Simulation::Report& report) {
  for (const std::string& violation : report.violations) Print(absl::StrCat("  violation: ", violation, "\n"));
  Simulation again({.seed = seed, .trace = true});
  for (const std::string& line : again.Run().trace) Print(absl::StrCat("  ", line, "\n"));
  Print(absl::StrCat("to repeat it: KEKBIT_SIMULATION_SEED=", seed, " KEKBIT_SIMULATION_SCHEDULES=1 ",
                     "KEKBIT_SIMULATION_TRACE=1 ./bazelw test --test_output=all ",
                     "//tests/scenarios:replica_simulation_test\n"));
  ADD_FAILURE() << "seed " << seed << ": " << report.violations.front();
}

TEST(ReplicaSimulationTest, ManySchedules) {
  const uint64_t first = Wanted("KEKBIT_SIMULATION_SEED", 1);
  const uint64_t schedules = Wanted("KEKBIT_SIMULATION_SCHEDULES", 400);
  const uint64_t progress = Wanted("KEKBIT_SIMULATION_PROGRESS", 0);
  const bool trace = Wanted("KEKBIT_SIMULATION_TRACE", 0) != 0;
  const uint64_t failed_max = Wanted("KEKBIT_SIMULATION_STOP", 0) != 0 ? 1 : 3;
  const absl::Time until = absl::Now() + absl::Seconds(Wanted("KEKBIT_SIMULATION_SECONDS", 1'000'000));
  const absl::Time begin = absl::Now();
  Simulation::Report all;
  uint64_t done = 0;
  uint64_t failed = 0;
  for (; done < schedules && failed < failed_max && absl::Now() < until; ++done) {
    Simulation simulation({.seed = first + done, .trace = trace});
    const Simulation::Report& report = simulation.Run();
    all.Add(report);
    if (trace) {
      for (const std::string& line : report.trace) Print(absl::StrCat(line, "\n"));
    }
    if (!report.violations.empty()) {
      ++failed;
      PrintViolation(first + done, report);
    }
    if (progress != 0 && (done + 1) % progress == 0) {
      Print(absl::StrCat(done + 1, " schedules, ", failed, " with violations, ",
                         absl::FormatDuration(absl::Trunc(absl::Now() - begin, absl::Seconds(1))), "\n"));
      std::fflush(stdout);
    }
  }
  Print(absl::StrCat("seeds ", first, " to ", first + done - 1, ": ", done, " schedules, ", all.steps, " steps, ",
                     all.calls, " calls, ", all.commands, " commands, ", all.images, " images, ", all.recoveries,
                     " recoveries, ", all.violations.size(), " violations, digest ", absl::Hex(all.digest), "\n"));
  for (const auto& [kind, count] : all.kinds) Print(absl::StrCat("  ", kind, ": ", count, "\n"));
}

// One seed is one schedule.
TEST(ReplicaSimulationTest, ASeedRepeatsItself) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Simulation one({.seed = seed});
    Simulation other({.seed = seed, .trace = true});
    EXPECT_EQ(one.Run().digest, other.Run().digest) << seed;
  }
}

// It can fail: nothing holds on a disk that says yes and keeps nothing.
TEST(ReplicaSimulationTest, ADiskThatLiesIsFoundOut) {
  uint64_t violations = 0;
  for (uint64_t seed = 1; seed <= 200 && violations == 0; ++seed) {
    Simulation simulation({.seed = seed, .lying = true});
    violations += simulation.Run().violations.size();
  }
  EXPECT_NE(violations, 0u);
}

}  // namespace
}  // namespace kekbit
