// PowerLossRun lives the lives of processes that use a journal, on disks whose power fails at any
// moment.
//
//   PowerLossRun run({.seed = 1, .images = 100'000},
//                    [](SimulatedDisk& disk) { return MyUser::Start(disk); });
//   EXPECT_EQ(run.Run().violations, 0) << run.report().ToString();
//
// A life starts on a disk, recovers what is there, then appends, syncs and does other things at
// random. At each of its crash points, those inside of recovery included, the disks that a power
// failure would leave are made (see CrashImages), and the disk that the death of the process would
// leave. Each is recovered and checked. Some of these go on living, and crash again: up to
// `depth_max` lives in a row.
//
// Checked of each recovery:
//   (1) Recovery succeeds.
//   (2) It finds a prefix of what was submitted: nothing is missing in between, and nothing of an
//       older history is back.
//   (3) All that was acknowledged as synced is in the prefix; after a mere death, all that was
//       published.
//   (4) What was once found after a power failure is found ever after.
//   (5) A recovery that a power failure cut short finds the same when done again.
//
// Everything follows from the seed. Thread safety: one thread.

#ifndef KEKBIT_TESTS_SCENARIOS_POWER_LOSS_RUN_H_
#define KEKBIT_TESTS_SCENARIOS_POWER_LOSS_RUN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/support/crash_images.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_inode.h"

namespace kekbit {

// A process that uses a journal, from its start to its end. Its destructor stops it in good order.
class JournalUser {
 public:
  virtual ~JournalUser() = default;

  // Returns what recovery found, as soon as it started.
  virtual const std::vector<std::string>& commands() const = 0;
  // Publishes the texts, in order. ResourceExhausted: none of them; another error: who knows.
  virtual absl::Status Append(const std::vector<std::string>& texts) = 0;
  // Returns once all that was published is acknowledged as synced.
  virtual absl::Status Sync() = 0;
  // Something else that such a process does now and then.
  virtual absl::Status Other(SeededRandom& random) = 0;
};

class PowerLossRun final {
 public:
  using Start = std::function<absl::StatusOr<std::unique_ptr<JournalUser>>(SimulatedDisk&)>;

  struct Options {
    uint64_t seed = 1;
    // Ends with the life in which so many different images were checked.
    uint64_t images = 5'000;
    int depth_max = 3;
    uint64_t unit_bytes = 4096;
    // Whether a sync fails now and then, and the disk fills up.
    bool failing_syncs = true;
    bool full_disks = true;
    bool lying = false;
    std::string scratch = {};  // see SimulatedDiskOptions
    // Ends with the first violation.
    bool stop_at_violation = false;
  };

  struct Report {
    uint64_t seed = 0;
    uint64_t lives = 0;
    uint64_t crashes = 0;     // moments at which the power failed
    uint64_t images = 0;      // disks that this left
    uint64_t distinct = 0;    // of these, different from each other in what can be read
    uint64_t deaths = 0;      // disks that a mere death left
    uint64_t recoveries = 0;  // of all of these
    uint64_t inside = 0;      // images of crashes inside of a recovery
    int deepest = 0;          // lives in a row
    uint64_t violations = 0;
    std::vector<std::string> examples = {};             // of violations, some
    std::map<std::string, uint64_t> crash_points = {};  // how often the power failed at each

    std::string ToString() const;
  };

  PowerLossRun(const Options& options, Start start);

  const Report& Run();
  const Report& report() const { return report_; }

 private:
  // History is what was done, and what of that must be found.
  struct History {
    std::vector<std::string> submitted;
    size_t published = 0;
    size_t synced = 0;
    // A sync failed, and memory may show what the device does not have.
    bool doubtful = false;
  };
  struct Life {
    SimulatedDisk& disk;
    History history;
    int depth;
    bool after_power_loss;
    bool recovering = true;
    uint64_t look_every = 1;  // crash points looked at
    uint64_t crash_points = 0;
    std::string tag = {};
    std::vector<size_t> found_inside = {};  // by recoveries after a crash inside of this one's
  };

  bool Done() const;
  void Live(SimulatedDisk& disk, const History& history, int depth, bool after_power_loss);
  void Work(Life& life, JournalUser& user);
  // Returns true if the life goes on.
  bool Append(Life& life, JournalUser& user);
  bool Sync(Life& life, JournalUser& user);
  void Crash(Life& life, absl::string_view tag);
  void CheckImage(Life& life, SimulatedDisk& after, bool power_loss);
  // Checks that what was found is what must be found.
  void CheckFound(const Life& life, const std::vector<std::string>& found, bool power_loss);
  void CheckFoundInside(const Life& life, size_t found);
  void Violate(const Life& life, absl::string_view what);
  std::string NewText();

  const Options options_;
  const Start start_;
  SeededRandom random_;
  Report report_;
  uint64_t next_text_ = 0;
  absl::flat_hash_set<uint64_t> seen_;     // contents
  absl::flat_hash_set<uint64_t> checked_;  // contents, and what must be found there
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SCENARIOS_POWER_LOSS_RUN_H_
