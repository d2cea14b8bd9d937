// Replicas that take snapshots, start from them, and cut the journal behind them: P7, P9.

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/replica.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ReplicaSnapshotTest : public ReplicaTest {
 protected:
  // Executes so many commands of 100 bytes: a segment holds some 400.
  void ExecuteMany(TapeReplica& primary, int count) {
    for (int i = 0; i < count; ++i) {
      commands_.push_back(absl::StrCat(commands_.size(), std::string(100, 'x')));
      ASSERT_THAT(primary.Execute(commands_.back()), IsOk());
    }
  }
  std::vector<Seq> Snapshots() {
    return SnapshotStore(FileSystem::Posix(), JournalLayout(dir_.path()).snapshots()).List().value();
  }
  std::vector<SegmentNumber> Segments() { return JournalLayout(dir_.path()).ListSegments(FileSystem::Posix()).value(); }

  std::vector<std::string> commands_;
};

TEST_F(ReplicaSnapshotTest, AFollowerTakesItAndARestartBeginsWithIt) {
  {
    const auto primary = Open(Polled());
    const auto follower = Open(Polled());
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    ExecuteMany(*primary, 10);
    ASSERT_THAT(follower->Poll(), IsOk());
    EXPECT_THAT(primary->TakeSnapshot(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("on_primary")));
    EXPECT_THAT(follower->TakeSnapshot(), IsOkAndHolds(primary->applied()));
    ExecuteMany(*primary, 5);
  }
  const auto next = Open(Polled());
  EXPECT_EQ(next->recovery().snapshot_seq, 11u);
  EXPECT_EQ(next->recovery().frames, 5u);
  EXPECT_THAT(next->recovery().skipped, IsEmpty());
  EXPECT_EQ(CommandsOf(*next), commands_);
  ASSERT_THAT(PollUntil(Role::kPrimary, *next), IsOk());
  ExecuteMany(*next, 1);
  EXPECT_EQ(CommandsOf(*next), commands_);
}

// The kernel has told the follower of the error, and may tell nobody else.
TEST_F(ReplicaSnapshotTest, AFollowerWhoseSyncFailsPoisonsTheJournal) {
  const auto primary = Open(Polled());
  FaultyFileSystem faulty;
  ReplicaOptions options = Polled();
  options.file_system = &faulty;
  const auto follower = Open(std::move(options));
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ExecuteMany(*primary, 10);
  ASSERT_THAT(follower->Poll(), IsOk());
  faulty.FailCalls("MappedFile::Sync", absl::AbortedError("planted"));
  EXPECT_THAT(follower->TakeSnapshot(), StatusIs(absl::StatusCode::kAborted, HasSubstr("planted")));
  EXPECT_THAT(Snapshots(), IsEmpty());
  EXPECT_EQ(SyncMark::Open(FileSystem::Posix(), JournalLayout(dir_.path()).synced()).value().poisoned(), 1u);
}

TEST_F(ReplicaSnapshotTest, APrimaryAloneTakesThemByPolicyAndCutsTheJournal) {
  ReplicaOptions options = Polled();
  options.snapshots.frames = 1'000;
  options.snapshots.on_primary = true;
  options.snapshots.compressed = true;
  {
    const auto primary = Open(options);
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    for (int i = 0; i < 30; ++i) {
      ExecuteMany(*primary, 100);
      ASSERT_THAT(primary->Poll(), IsOk());
    }
    EXPECT_THAT(Snapshots(), ElementsAre(2'001, 3'001));
    EXPECT_GT(Segments().front(), 3u);
    ExecuteMany(*primary, 10);
  }
  const auto next = Open(options);
  EXPECT_EQ(next->recovery().snapshot_seq, 3'001u);
  EXPECT_EQ(CommandsOf(*next), commands_);
}

// Registers a reader that nobody has, and writes until the journal is cut as far as that lets it.
class DeadReaderTest : public ReplicaSnapshotTest {
 protected:
  void RunWithADeadReader(ReplicaOptions options) {
    options.snapshots.frames = 500;
    options.snapshots.on_primary = true;
    options.logger = [this](LogSeverity severity, absl::string_view text) {
      if (severity >= LogSeverity::kWarning) warnings_.emplace_back(text);
    };
    const auto primary = Open(options);
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    ExecuteMany(*primary, 10);
    ASSERT_THAT(ReaderCursor::Register(fs_, JournalLayout(dir_.path()), "audit"), IsOk());
    for (int i = 0; i < 40; ++i) {
      ExecuteMany(*primary, 100);
      ASSERT_THAT(primary->Poll(), IsOk());
    }
  }

  std::vector<std::string> warnings_;
};

TEST_F(DeadReaderTest, IsWarnedOfEachTimeThatWhatItHoldsHasDoubled) {
  RunWithADeadReader(Polled());
  EXPECT_EQ(Segments().front(), 1u);
  EXPECT_GE(warnings_.size(), 2u);
  EXPECT_LE(warnings_.size(), 4u);
  EXPECT_THAT(warnings_,
              Each(AllOf(HasSubstr("the reader audit, which nobody has, holds "), HasSubstr("--remove audit"))));
}

TEST_F(DeadReaderTest, HoldsAQuarterOfTheDiskUnlessToldOtherwise) {
  fs_.SetTotalBytes(4 * (5 * (64 << 10)));
  RunWithADeadReader(Polled());
  EXPECT_GT(Segments().front(), 1u);
  EXPECT_LE(Segments().size(), 6u);
  EXPECT_THAT(warnings_, Contains(HasSubstr("the reader audit was too far behind, and lost its place")));
}

TEST_F(DeadReaderTest, HoldsTheJournalForEverIfToldSo) {
  fs_.SetTotalBytes(4 * (5 * (64 << 10)));
  ReplicaOptions options = Polled();
  options.retain_bytes_max = 0;
  RunWithADeadReader(options);
  EXPECT_EQ(Segments().front(), 1u);
}

// Its state must not change while it is saved.
TEST_F(ReplicaSnapshotTest, APrimaryTakesNoCommandsWhileItSaves) {
  TapeReplica* replica = nullptr;
  std::thread client;
  uint64_t changes = 0;
  ReplicaOptions options = Options();
  options.snapshots.on_primary = true;
  options.snapshots.on_progress = [&](uint64_t) {
    if (client.joinable()) return;
    const Position before = replica->applied();
    client = std::thread([&] { EXPECT_THAT(replica->Execute("late"), IsOk()); });
    // It has time enough.
    for (int looks = 0; looks < 200 && changes == 0; ++looks) {
      absl::SleepFor(absl::Milliseconds(1));
      if (replica->applied() != before) ++changes;
    }
  };
  {
    const auto primary = Open(options);
    replica = primary.get();
    ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
    ExecuteMany(*primary, 20'000);  // more than a mebibyte
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    ASSERT_TRUE(client.joinable());
    client.join();
    commands_.push_back("late");
  }
  EXPECT_EQ(changes, 0u);
  const auto next = Open(Polled());
  EXPECT_EQ(next->recovery().snapshot_seq, 20'001u);
  EXPECT_EQ(CommandsOf(*next), commands_);
}

TEST_F(ReplicaSnapshotTest, WithThreadsItHappensByItself) {
  ReplicaOptions options = Options();
  options.snapshots.frames = 1'000;
  const auto primary = OpenPrimary();
  const auto follower = Open(options);
  while (Snapshots().size() < 2 || Segments().front() == 1) {
    ExecuteMany(*primary, 100);
    absl::SleepFor(absl::Milliseconds(1));
  }
  const auto third = Open(options);
  EXPECT_GT(third->recovery().snapshot_seq, 0u);
  EXPECT_THAT(third->ReadAt(primary->applied(), kLong, [](const Tape& tape) { return tape.commands; }),
              IsOkAndHolds(commands_));
}

// P9. The journal is cut behind the older of two: without the newer one nothing is lost.
TEST_F(ReplicaSnapshotTest, ADamagedNewestOneIsPassedOver) {
  ReplicaOptions options = Polled();
  options.snapshots.on_primary = true;
  {
    const auto primary = Open(options);
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    for (int i = 0; i < 4; ++i) {
      ExecuteMany(*primary, 1'000);
      ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    }
  }
  ASSERT_THAT(Snapshots(), SizeIs(2));
  const std::string newest =
      SnapshotStore(FileSystem::Posix(), JournalLayout(dir_.path()).snapshots()).PathOf(Snapshots().back());
  std::string bytes = ReadFileBytes(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  WriteFileBytes(newest, bytes);
  const auto next = Open(options);
  EXPECT_EQ(next->recovery().snapshot_seq, Snapshots().front());
  EXPECT_THAT(next->recovery().skipped, ElementsAre(HasSubstr(newest)));
  EXPECT_EQ(CommandsOf(*next), commands_);
}

// P7. Its place is gone: it is told, and there is a snapshot to start from.
TEST_F(ReplicaSnapshotTest, AFollowerThatIsTooSlowStartsOver) {
  ReplicaOptions options = Polled();
  options.snapshots.on_primary = true;
  const auto primary = Open(options);
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ExecuteMany(*primary, 10);
  std::vector<std::string> logged;
  ReplicaOptions slow = Polled();
  slow.logger = [&](LogSeverity, absl::string_view text) { logged.emplace_back(text); };
  const auto follower = Open(slow);
  for (int i = 0; i < 4; ++i) {
    ExecuteMany(*primary, 1'000);
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
  }
  ExecuteMany(*primary, 10);
  ASSERT_GT(Segments().front(), 2u);
  ASSERT_THAT(follower->Poll(), IsOk());
  ASSERT_THAT(follower->Poll(), IsOk());
  EXPECT_EQ(CommandsOf(*follower), commands_);
  EXPECT_THAT(logged, testing::Contains(HasSubstr("started over from a snapshot")));
}

// P7. It is told, and does not wait for what never comes.
TEST_F(ReplicaSnapshotTest, AFollowerWhosePlaceIsGoneWithoutASnapshotStops) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ExecuteMany(*primary, 10);
  const auto follower = Open(Polled());
  ExecuteMany(*primary, 3'000);
  for (const SegmentNumber number : Segments()) {
    if (number == 1 || number == Segments().back()) continue;
    ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).segment(number)), IsOk());
  }
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).segment(1)), IsOk());
  for (int i = 0; i < 3; ++i) follower->Poll().IgnoreError();
  EXPECT_THAT(follower->status(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("no longer kept")));
  EXPECT_EQ(follower->role(), Role::kStopped);
}

// Takes as long to save as somebody lets it.
struct SlowTape : Tape {
  static inline std::atomic<bool> saving = false;

  absl::Status Save(SnapshotOutput& output) const {
    saving = true;
    const std::vector<uint8_t> bytes(1 << 16);
    for (;;) {
      if (absl::Status status = output.Write(bytes); !status.ok()) return status;
    }
  }
  absl::Status Load(SnapshotInput&) { return absl::OkStatus(); }
};

TEST_F(ReplicaSnapshotTest, ATakeoverDoesNotWaitForASnapshot) {
  using SlowReplica = Replica<SlowTape, TextCodec>;
  auto primary = OpenPrimary();
  ReplicaOptions options = Options();
  options.snapshots.frames = 1;
  const auto follower = Open<SlowReplica>(options);
  ExecuteMany(*primary, 1);
  while (!SlowTape::saving) absl::SleepFor(absl::Milliseconds(1));
  ExecuteMany(*primary, 10);
  // It is saving, and can be read.
  EXPECT_LE(follower->Read([](const SlowTape& tape) { return tape.commands.size(); }), 1u);
  primary.reset();
  ASSERT_TRUE(follower->WaitForRole(Role::kPrimary, kLong));
  EXPECT_EQ(follower->Read([](const SlowTape& tape) { return tape.commands; }), commands_);
  EXPECT_THAT(Snapshots(), IsEmpty());
}

TEST_F(ReplicaSnapshotTest, ATimeLessThanNothingIsRefused) {
  ReplicaOptions options = Polled();
  options.snapshots.time = absl::Nanoseconds(-1);
  EXPECT_THAT(TapeReplica::Open(options), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ReplicaSnapshotTest, AStateWithoutAWayToSaveItHasNone) {
  struct Plain {
    using Command = std::string;
    using Result = int;
    Result Apply(const Command&, const ApplyContext&) { return 0; }
    std::unique_ptr<int> what;
  };
  // Whatever is asked for would never happen.
  const std::vector<SnapshotOptions> asked = {{.frames = 1},
                                              {.bytes = 1},
                                              {.time = kLong},
                                              {.time = absl::InfiniteDuration()},
                                              {.on_primary = true},
                                              {.compressed = true},
                                              {.on_progress = [](uint64_t) {}}};
  ReplicaOptions options = Polled();
  for (const SnapshotOptions& snapshots : asked) {
    options.snapshots = snapshots;
    EXPECT_THAT((Replica<Plain, TextCodec>::Open(options)),
                StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("ReplicaOptions::snapshots")))
        << &snapshots - asked.data();
  }
  options.snapshots = {};
  const auto plain = Replica<Plain, TextCodec>::Open(options);
  ASSERT_THAT(plain, IsOk());
  EXPECT_THAT((*plain)->TakeSnapshot(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace kekbit
