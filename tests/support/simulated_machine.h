// SimulatedMachine: a disk, a clock, and processes with one replica each, which are polled one by one.
//
//   SimulatedMachine machine;
//   auto primary = machine.Open(machine.Options());
//   machine.Poll(*primary);
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_TESTS_SUPPORT_SIMULATED_MACHINE_H_
#define KEKBIT_TESTS_SUPPORT_SIMULATED_MACHINE_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kekbit/base/logger.h"
#include "kekbit/channel_format.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_process.h"
#include "tests/support/tape.h"
#include "tests/support/test_journal.h"

namespace kekbit {

class SimulatedMachine final {
 public:
  using TapeReplica = Replica<Tape, TextCodec>;

  explicit SimulatedMachine(SimulatedDiskOptions options = {}) : disk(std::move(options)) {}

  // Of a replica of the journal /j with small segments.
  ReplicaOptions Options() {
    ReplicaOptions options;
    options.directory = "/j";
    options.threads = false;
    options.segment_bytes = kCapacityMin;
    options.free_bytes_min = 0;
    options.logger = SilentLogger();
    options.clock = &clock;
    return options;
  }

  // The process of the replica that was opened last.
  SimulatedProcess& process() { return *processes_.back(); }

  // Opens a replica as a process of its own, whose calls `hook` sees.
  std::unique_ptr<TapeReplica> Open(ReplicaOptions options, SimulatedProcess::Hook hook = Healthy) {
    processes_.push_back(std::make_unique<SimulatedProcess>(disk, processes_.size() + 1, std::move(hook)));
    options.file_system = processes_.back().get();
    return ValueOrDie(TapeReplica::Open(std::move(options)));
  }

  // Lets time go by, so much that nothing that is done now and then is put off.
  void Poll(TapeReplica& replica) {
    clock.Advance(2'000'000'000);
    replica.Poll().IgnoreError();
  }

  SimulatedDisk disk;
  SimulatedClock clock;

 private:
  static absl::Status Healthy(const SimulatedProcess::Call& /*call*/) { return absl::OkStatus(); }

  std::vector<std::unique_ptr<SimulatedProcess>> processes_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_SIMULATED_MACHINE_H_
