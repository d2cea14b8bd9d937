// A counter with a hot standby, as small as a service can be.
//
// Run it twice with the same directory. The first process is the primary: type numbers, and it adds them up. Kill the
// first with kill -9, and the second goes on with the same sum.

#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "kekbit/replication/replica.h"

namespace {

// The state. All replicas apply the same commands in the same order, so all hold the same sum.
struct Counter {
  using Command = int64_t;
  using Result = int64_t;

  Result Apply(Command add, const kekbit::ApplyContext& /*context*/) { return sum += add; }

  // Saves the state for snapshots, and loads it.
  template <class Archive>
  void serialize(Archive& archive) {
    archive(sum);
  }

  int64_t sum = 0;
};

int Serve(kekbit::Replica<Counter>& replica) {
  std::printf("standby: waiting for the primary to end\n");
  if (!replica.WaitForRole(kekbit::Role::kPrimary, absl::InfiniteDuration())) {
    std::fprintf(stderr, "counter: %s\n", replica.status().ToString().c_str());
    return 1;
  }
  std::printf("primary: the sum is %lld\n",
              static_cast<long long>(replica.Read([](const Counter& counter) { return counter.sum; })));
  for (std::string line; std::getline(std::cin, line);) {
    int64_t add = 0;
    if (!absl::SimpleAtoi(line, &add)) {
      std::fprintf(stderr, "counter: \"%s\" is no number\n", line.c_str());
      continue;
    }
    // Returns once the command is in the journal: from now on it survives the death of this process.
    const auto executed = replica.Execute(add);
    if (!executed.ok()) {
      std::fprintf(stderr, "counter: %s\n", executed.status().ToString().c_str());
      continue;
    }
    std::printf("%lld\n", static_cast<long long>(executed->result));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    std::fprintf(stderr, "usage: counter DIRECTORY\nRun it twice, type numbers, kill the primary.\n");
    return argc == 2 && std::string(argv[1]) == "--help" ? 0 : 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const absl::StatusOr<std::unique_ptr<kekbit::Replica<Counter>>> replica =
      kekbit::Replica<Counter>::Open({.directory = argv[1]});
  if (!replica.ok()) {
    std::fprintf(stderr, "counter: %s\n", replica.status().ToString().c_str());
    return 1;
  }
  return Serve(**replica);
}
