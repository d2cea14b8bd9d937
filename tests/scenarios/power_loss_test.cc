// P3 on a million disks: whatever a power failure leaves of a journal, what was acknowledged as
// synced is found, and what is found is a prefix of what was submitted. P2 for the death of the
// process at the same moments. See PowerLossRun.
//
// KEKBIT_POWER_LOSS_IMAGES: how many different disks each case checks; KEKBIT_POWER_LOSS_SEED: with
// which seed; KEKBIT_POWER_LOSS_STOP=1: end with the first violation.

#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/logger.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/apply_context.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/replica.h"
#include "kekbit/shm_reader.h"
#include "tests/scenarios/power_loss_run.h"
#include "tests/support/fake_clock.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

// The pieces of a primary, without a Replica around them.
class Primary final : public JournalUser {
 public:
  static absl::StatusOr<std::unique_ptr<JournalUser>> Start(SimulatedDisk& disk) {
    auto primary = std::make_unique<Primary>(disk);
    KB_RETURN_IF_ERROR(primary->Recover());
    return primary;
  }

  explicit Primary(SimulatedDisk& disk) : disk_(disk), layout_("/j") {}

  const std::vector<std::string>& commands() const override { return commands_; }

  absl::Status Append(const std::vector<std::string>& texts) override {
    if (texts.size() == 1) return kekbit::Append(*writer_, texts.front()).status();
    const auto encode = [&texts](size_t i, MutableBytes to) -> absl::StatusOr<size_t> {
      if (texts[i].size() > to.size()) return absl::ResourceExhaustedError("too long");
      std::memcpy(to.data(), texts[i].data(), texts[i].size());
      return texts[i].size();
    };
    return writer_->AppendBatch(texts.size(), encode, 1).status();
  }
  absl::Status Sync() override { return commit_->Sync(); }
  absl::Status Other(SeededRandom& /*random*/) override { return absl::OkStatus(); }

 private:
  absl::Status Recover() {
    KB_RETURN_IF_ERROR(disk_.CreateDirectories("/j"));
    KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(disk_, layout_.epoch()));
    epochs_ = std::make_unique<EpochStore>(std::move(epochs));
    KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(disk_, layout_.synced()));
    mark_ = std::make_unique<SyncMark>(std::move(mark));
    KB_RETURN_IF_ERROR(SettlePoison(disk_, layout_, *mark_, WriterIs::kAsLocked));
    KB_RETURN_IF_ERROR(CheckSegments(disk_, layout_, *mark_, 0));
    KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(disk_, layout_, kTestDataFormat));
    commands_ = ReadTexts(reader);
    KB_ASSIGN_OR_RETURN(const Epoch epoch, epochs_->Grant(reader.last().position.epoch));
    RecoveryOutcome outcome;
    int looks = 0;
    do {
      if (++looks > 100) return absl::InternalError("/j: recovery finds more to read again and again");
      KB_ASSIGN_OR_RETURN(outcome, RecoverTail(disk_, layout_, reader, *mark_, {.clock = &clock_}));
      for (const std::string& text : ReadTexts(reader)) commands_.push_back(text);
    } while (outcome.read_on);
    commit_ = std::make_unique<GroupCommit>(GroupCommit::Options{.file_system = &disk_,
                                                                 .layout = layout_,
                                                                 .mark = mark_.get(),
                                                                 .epoch = epoch,
                                                                 .synced = reader.last().position.seq});
    KB_ASSIGN_OR_RETURN(JournalWriter writer,
                        JournalWriter::Begin({.file_system = &disk_,
                                              .layout = layout_,
                                              .data_format = kTestDataFormat,
                                              .segment_bytes = kCapacityMin,
                                              .commit = commit_.get()},
                                             *epochs_, epoch, reader.last(), outcome.next_segment, 1));
    writer_ = std::make_unique<JournalWriter>(std::move(writer));
    return absl::OkStatus();
  }

  SimulatedDisk& disk_;
  const FakeClock clock_;
  const JournalLayout layout_;
  std::vector<std::string> commands_;
  std::unique_ptr<EpochStore> epochs_;
  std::unique_ptr<SyncMark> mark_;
  std::unique_ptr<GroupCommit> commit_;
  std::unique_ptr<JournalWriter> writer_;
};

// Texts is what a service sees of a journal: all commands, in their order. It can have snapshots.
struct Texts {
  using Command = std::string;
  using Result = uint64_t;
  Result Apply(const Command& command, const ApplyContext& /*context*/) {
    commands.push_back(command);
    return commands.size();
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(commands);
  }
  std::vector<std::string> commands;
};

// A whole replica, driven by Poll(), with snapshots and what they let it cut.
class Service final : public JournalUser {
 public:
  static absl::StatusOr<std::unique_ptr<JournalUser>> Start(SimulatedDisk& disk) {
    auto service = std::make_unique<Service>();
    KB_RETURN_IF_ERROR(service->Open(disk));
    return service;
  }

  const std::vector<std::string>& commands() const override { return commands_; }

  absl::Status Append(const std::vector<std::string>& texts) override {
    if (texts.size() == 1) {
      KB_ASSIGN_OR_RETURN(const auto executed, replica_->Submit(texts.front()));
      last_ = executed.position;
    } else {
      KB_ASSIGN_OR_RETURN(const auto executed, replica_->SubmitBatch(texts));
      last_ = executed.back().position;
    }
    return absl::OkStatus();
  }
  absl::Status Sync() override { return replica_->WaitFor(last_, Ack::kSynced, absl::InfiniteDuration()); }
  absl::Status Other(SeededRandom& /*random*/) override { return replica_->TakeSnapshot().status(); }

 private:
  absl::Status Open(SimulatedDisk& disk) {
    ReplicaOptions options;
    options.directory = "/j";
    options.ack = Ack::kSynced;
    options.threads = false;
    options.segment_bytes = kCapacityMin;
    options.snapshots.on_primary = true;
    options.free_bytes_min = 0;
    options.logger = SilentLogger();
    options.file_system = &disk;
    options.clock = &clock_;
    KB_ASSIGN_OR_RETURN(replica_, Replica<Texts>::Open(std::move(options)));
    for (int tries = 0; tries < 10 && replica_->role() == Role::kFollower; ++tries) {
      replica_->Poll().IgnoreError();
      clock_.Advance(1'000'000'000);
    }
    if (replica_->role() != Role::kPrimary) {
      return absl::FailedPreconditionError(absl::StrCat("not primary: ", replica_->status().ToString()));
    }
    last_ = replica_->applied();
    commands_ = replica_->Read([](const Texts& texts) { return texts.commands; });
    return absl::OkStatus();
  }

  FakeClock clock_;
  std::unique_ptr<Replica<Texts>> replica_;
  Position last_;
  std::vector<std::string> commands_;
};

uint64_t Wanted(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  uint64_t number = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) ADD_FAILURE() << variable << " is " << text;
  return number;
}

void RunAndReport(PowerLossRun::Options options, PowerLossRun::Start start) {
  options.seed = Wanted("KEKBIT_POWER_LOSS_SEED", options.seed);
  options.images = Wanted("KEKBIT_POWER_LOSS_IMAGES", options.images);
  options.stop_at_violation = Wanted("KEKBIT_POWER_LOSS_STOP", 0) != 0;
  PowerLossRun run(options, std::move(start));
  run.Run();
  std::printf("%s", run.report().ToString().c_str());
  EXPECT_EQ(run.report().violations, 0u);
}

TEST(PowerLossTest, P3_JournalByPages) { RunAndReport({.seed = 1}, Primary::Start); }
TEST(PowerLossTest, P3_JournalBySectors) { RunAndReport({.seed = 2, .unit_bytes = 512}, Primary::Start); }

TEST(PowerLossTest, P3_ReplicaByPages) { RunAndReport({.seed = 3, .scratch = "replicas"}, Service::Start); }
TEST(PowerLossTest, P3_ReplicaBySectors) {
  RunAndReport({.seed = 4, .unit_bytes = 512, .scratch = "replicas"}, Service::Start);
}

// The checker can fail: nothing holds on a disk that says yes and keeps nothing.
TEST(PowerLossTest, ADiskThatLiesIsFoundOut) {
  PowerLossRun run({.seed = 5, .images = 2'000, .lying = true, .stop_at_violation = true}, Primary::Start);
  EXPECT_EQ(run.Run().violations, 1u) << run.report().ToString();
}

// Returns where the last record of the segment begins in its file, and where the next would begin.
std::pair<uint64_t, uint64_t> LastRecord(SimulatedDisk& disk, const std::string& path) {
  ShmReader reader = ValueOrDie(ShmReader::OpenAt(path, {.file_system = &disk, .heartbeats = false}));
  uint64_t last = 0;
  for (uint64_t at = 0; reader.TryRead(); at = reader.position()) last = at;
  return {kDataOffset + last, kDataOffset + reader.position()};
}

void Overwrite(SimulatedDisk& disk, const std::string& path, uint64_t offset, uint64_t word) {
  const auto file = ValueOrDie(disk.Open(path, Access::kReadWrite));
  uint8_t bytes[sizeof word];
  StoreUnaligned(bytes, word);
  EXPECT_TRUE(file->WriteAt(offset, Bytes(bytes)).ok());
}

// Seed 3 found it, life 3120: the frames seemed to end well where a segment was not closed, and the
// torn one in the next segment, met during the takeover, stopped the replica for good.
TEST(PowerLossTest, ATornFrameBehindASegmentThatIsNotClosedIsCutByATakeover) {
  SimulatedDisk disk;
  std::vector<std::string> texts;
  {
    const auto service = ValueOrDie(Service::Start(disk));
    for (int i = 0; i < 160; ++i) {
      texts.push_back(absl::StrCat(i, std::string(60, '.')));
      ASSERT_TRUE(service->Append({texts.back()}).ok());
    }
  }
  const JournalLayout layout("/j");
  Overwrite(disk, layout.segment(1), LastRecord(disk, layout.segment(1)).second, kWatermark);
  Overwrite(disk, layout.segment(2), LastRecord(disk, layout.segment(2)).first + kLengthBytes, 0);
  ASSERT_TRUE(disk.Unlink(layout.synced()).ok());  // which says that this machine did not stop
  texts.pop_back();
  const auto service = Service::Start(disk);
  ASSERT_TRUE(service.ok()) << service.status();
  EXPECT_EQ((*service)->commands(), texts);
}

}  // namespace
}  // namespace kekbit
