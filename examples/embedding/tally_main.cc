// tally runs a replica of the tally as a process: `tally DIRECTORY`, and lines of `NAME AMOUNT` on
// its standard input.
//
// Start two with the same directory. The primary takes lines; kill it, and the other process goes
// on.

#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "replication/frame.h"
#include "replication/replica.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tally DIRECTORY\n";
    return 2;
  }
  absl::StatusOr<std::unique_ptr<tally::Replica>> replica = tally::OpenReplica(argv[1]);
  if (!replica.ok()) {
    std::cerr << replica.status() << "\n";
    return 1;
  }
  std::cerr << "following\n";
  if (!(*replica)->WaitForRole(kekbit::Role::kPrimary, absl::InfiniteDuration())) {
    std::cerr << (*replica)->status() << "\n";
    return 1;
  }
  std::cerr << "primary\n";
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    const std::optional<tally::Add> add = tally::Frame{line}.ToCommand();
    if (!add.has_value()) {
      std::cerr << "line " << number << ": want NAME AMOUNT, got '" << line << "'\n";
      continue;
    }
    absl::StatusOr<tally::Replica::Executed> done = (*replica)->Execute(*add);
    if (!done.ok()) {
      std::cerr << done.status() << "\n";
      return 1;
    }
    std::cout << add->name << " = " << done->result << std::endl;
  }
  return 0;
}
