// Simulation: replicas and readers of one journal, each a process of its own, on one simulated machine whose processes
// die and stand still, whose disk fills up and fails, whose clock is set, and whose power goes.
//
//   Simulation simulation({.seed = 17});
//   EXPECT_TRUE(simulation.Run().violations.empty());
//
// A schedule is a row of steps. In each somebody does something: a replica polls, takes commands, syncs, takes a
// snapshot, steps down, starts or ends; a reader reads. What goes wrong does so at one of the calls to the disk that
// the process makes meanwhile, or between two steps. After each step all states, and the files, are looked at: see
// History, and replication/testing/invariants.h. In the end faults stop, and within a bound some replica leads, takes
// commands, and all apply everything.
//
// Everything follows from the seed. It drives the public Replica, RegisteredReader, FileSystem and Clock, and knows
// nothing of what is behind them. Thread safety: one thread.

#ifndef KEKBIT_TESTS_SCENARIOS_SIMULATION_H_
#define KEKBIT_TESTS_SCENARIOS_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/registered_reader.h"
#include "kekbit/replication/replica.h"
#include "kekbit/replication/testing/invariants.h"
#include "tests/scenarios/command_log.h"
#include "tests/scenarios/history.h"
#include "tests/support/crash_images.h"
#include "tests/support/fiber.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_inode.h"
#include "tests/support/simulated_process.h"

namespace kekbit {

class Simulation final {
 public:
  struct Options {
    uint64_t seed = 1;
    // Keeps what happened, line by line.
    bool trace = false;
    // Syncs succeed and do nothing: something must be found.
    bool lying = false;
  };

  struct Report {
    uint64_t steps = 0;
    uint64_t calls = 0;       // to the disk
    uint64_t images = 0;      // disks that power failures left
    uint64_t recoveries = 0;  // replicas that opened a journal
    uint64_t commands = 0;    // acknowledged
    uint64_t digest = 0;      // of all that happened
    // How often each kind of thing happened; those that begin with "fault: " went wrong.
    std::map<std::string, uint64_t, std::less<>> kinds = {};
    std::vector<std::string> violations = {};
    std::vector<std::string> trace = {};

    void Add(const Report& other);
  };

  explicit Simulation(const Options& options);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  ~Simulation();

  const Report& Run();

 private:
  using SimulatedReplica = Replica<CommandLog, TextCodec>;

  // What happens to a process at one of its next calls.
  struct Plan {
    enum class Kind { kNone, kKill, kPause, kPower, kFailSync, kFailSyncAndKill, kFailCall } kind = Kind::kNone;
    uint64_t calls = 0;  // so many pass before; of syncs, for a kind that fails one
  };
  // A place for a process: of a replica, or of a reader.
  struct Slot {
    std::string name;
    bool is_reader = false;
    uint64_t number = 0;  // of the process
    std::unique_ptr<SimulatedProcess> process;
    std::unique_ptr<SimulatedReplica> replica;
    std::unique_ptr<RegisteredReader> reader;
    std::unique_ptr<Fiber> fiber;
    Plan plan;
    uint64_t wakes_at = 0;         // step; it does nothing before
    bool leads = false;            // as was seen last
    bool failed_call = false;      // a call of the current action failed by plan
    uint64_t doubts = 0;           // sync_failures_ when it opened
    std::optional<Position> last;  // that it submitted
    std::optional<ReplicaSample> sample;
    std::optional<int64_t> stepped_down_ns;  // until another one leads
    Epoch stepped_down_from = 0;
    // Of a reader.
    bool registered = false;
    bool displaced = false;  // its place is gone, and it has not started over
    bool resets = false;     // it died while it started over: the cursor says either
    Position done;           // what it said last that it is done with
    Seq next = 0;            // the frame that comes next; 0: not known
    uint64_t losses = 0;     // losses_ when it said so
    bool free() const { return process != nullptr && !fiber->busy() && !process->dead(); }
  };
  enum Kind : uint32_t {  // of faults; a schedule has some of them
    kKills,
    kKillsIdle,
    kPauses,
    kPower,
    kSyncs,
    kSyncsDie,
    kCalls,
    kFull,
    kClock,
    kSnapshots,
    kReaders,
    kStepDowns,
    kLeaseGone,
    kBitRot,
    kRestarts,
    kKinds
  };

  // simulation.cc: processes and what befalls them.
  absl::Status OnCall(Slot& slot, const SimulatedProcess::Call& call);
  absl::Status Befall(Slot& slot, const SimulatedProcess::Call& call);
  bool LeavesNoTrace(const SimulatedProcess::Call& call) const;
  // Runs `body` as the process of the slot, until it returns, stands still or dies.
  void RunIn(Slot& slot, std::function<void()> body);
  void Returned(Slot& slot);
  void Kill(Slot& slot);
  void FailPower();
  std::unique_ptr<SimulatedDisk> DrawImage(CrashImages& images, std::string& kind);
  // Whether a replica that starts on `disk` finds what it must.
  void CheckImage(SimulatedDisk& disk);
  void CheckNoHole(SimulatedDisk& disk);
  void Look();
  void LookAt(Slot& slot);
  void LookAtFiles();
  JournalSample SampleJournal();
  void LookAtPlaces(const JournalSample& now);
  void CheckStamp(Slot& slot, int64_t before_ns);
  void CheckStepDown(Slot& slot, Epoch epoch);
  void Check(const absl::Status& status, absl::string_view what);
  void Violate(absl::string_view invariant, absl::string_view what);
  void Settle();
  bool Settled();

  // simulation_actions.cc: what they do.
  void Step();
  void ActReplica(Slot& slot);
  void ActReader(Slot& slot);
  void Trouble();
  void PlanFor(Slot& slot);
  ReplicaOptions OptionsOf(FileSystem& fs);
  void Open(Slot& slot);
  void Close(Slot& slot);
  void Poll(Slot& slot);
  void Submit(Slot& slot);
  void Sync(Slot& slot);
  void TakeSnapshot(Slot& slot);
  void StepDown(Slot& slot);
  void ReadAtLast(Slot& slot);
  void OpenReader(Slot& slot);
  void ReadSome(Slot& slot);
  void StartReaderOver(Slot& slot);
  void RotNewestSnapshot();
  int64_t SomeTime();

  bool Has(Kind kind) const { return (kinds_ >> kind & 1) != 0; }
  void Count(absl::string_view what);
  template <typename... Args>
  void Trace(const Args&... args) {
    if (options_.trace) report_.trace.push_back(absl::StrCat(report_.steps, ": ", args...));
  }
  void Digest(uint64_t value) { report_.digest = MixHash(report_.digest, value); }
  bool over() const { return !history_.violations().empty(); }

  const Options options_;
  SeededRandom random_;
  Report report_;
  SimulatedClock clock_;
  std::unique_ptr<SimulatedDisk> disk_;
  const JournalLayout layout_{"/d/j"};
  History history_;
  std::vector<Slot> slots_;
  Slot* current_ = nullptr;  // whose fiber runs
  uint64_t kinds_ = 0;
  bool calm_ = false;   // no more faults
  bool power_ = false;  // it just failed
  uint64_t processes_ = 0;
  uint64_t sync_failures_ = 0;  // and drops of pages after one: what was read before may be lost
  uint64_t losses_ = 0;         // power failures, and truncations
  uint64_t generation_ = 1;     // of the history, as was seen last
  bool trimmed_ = false;        // a segment was unlinked
  bool trimmed_lately_ = false;
  std::set<Seq> rotten_;  // snapshots that were damaged
  std::optional<JournalSample> journal_;
  Epoch stamp_epoch_ = 0;
  std::optional<StampSample> stamp_;  // of the last command, in this run of the machine
  // The same for all replicas of a schedule.
  Ack ack_ = Ack::kPublished;
  bool snapshots_on_primary_ = false;
  uint64_t snapshot_frames_ = 0;
  uint64_t retain_bytes_max_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SCENARIOS_SIMULATION_H_
