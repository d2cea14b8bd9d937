// The service, for every version of its state, takes one command a line and gives one answer a
// line.
//
//   add NAME COUNT    ok COUNT, or error REASON
//   step-down         ok; then a standby takes over, and what follows waits until this process leads
//                     again
//
// A standby reads nothing.

#ifndef KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_SERVICE_H_
#define KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_SERVICE_H_

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "examples/argument_checks.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

template <typename Inventory>
std::string AnswerLine(Replica<Inventory>& replica, const std::string& line) {
  const auto command = Inventory::Parse(absl::StrSplit(line, ' ', absl::SkipEmpty()));
  if (!command) return absl::StrCat("error ", Inventory::kBuild, " does not know '", line, "'");
  const auto executed = replica.Execute(*command);
  if (!executed.ok()) return absl::StrCat("error ", executed.status().message());
  if (!executed->result.ok()) return absl::StrCat("error ", executed->result.status().message());
  return absl::StrCat("ok ", *executed->result);
}

// Answers lines as the primary until the input ends (true), or after a step-down (false).
template <typename Inventory>
bool Serve(Replica<Inventory>& replica) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const bool steps_down = absl::StripAsciiWhitespace(line) == "step-down";
    if (!steps_down) {
      std::cout << AnswerLine(replica, line) << std::endl;
      continue;
    }
    const absl::Status status = replica.StepDown();
    std::cout << (status.ok() ? "ok" : absl::StrCat("error ", status.message())) << std::endl;
    if (status.ok()) return false;
  }
  return true;
}

template <typename Inventory>
int RunInventory(int argc, char** argv) {
  ReplicaOptions options;
  CLI::App app("An inventory with a hot standby.");
  CLI::App* serve = app.add_subcommand("serve", "Answers commands, one a line");
  app.require_subcommand(1);
  serve->add_option("-d,--directory", options.directory, "Directory of the journal; made if it is not there")
      ->required();
  serve->add_option("--snapshot-every", options.snapshots.frames, "As standby, take a snapshot every so many frames")
      ->check(CheckCount);
  CLI11_PARSE(app, argc, argv);

  const auto fail = [](const absl::Status& status) {
    std::cerr << Inventory::kBuild << " fails: " << status << std::endl;
    return 1;
  };
  auto replica = Replica<Inventory>::Open(options);
  if (!replica.ok()) return fail(replica.status());
  std::cerr << Inventory::kBuild << " follows: " << (*replica)->recovery().ToString() << std::endl;
  do {
    if (!(*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return fail((*replica)->status());
    std::cerr << Inventory::kBuild << " leads" << std::endl;
  } while (!Serve(**replica));
  return 0;
}

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_ROLLING_UPGRADE_INVENTORY_SERVICE_H_
