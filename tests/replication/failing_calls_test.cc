// P10: whatever call to the system can't be made once, no replica stops, nothing is poisoned, somebody leads, and
// nothing that was acknowledged is missing. For every call that a primary, a follower, the taker of a lease, a taker of
// snapshots and a recovery make, and every error that it can give; and for every sync of theirs that is made and fails.

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/replica.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/torn_journal.h"

namespace kekbit {
namespace {

// More than one of them fills a segment.
constexpr int kCommands = 230;

class FailingCallsTest : public ReplicaTest {
 protected:
  // A replica on the file system whose calls fail, or on the machine's own.
  ReplicaOptions On(FileSystem& fs, Ack ack = Ack::kSynced) {
    ReplicaOptions options = Polled();
    options.segment_bytes = 16 << 10;
    options.directory = journal_->path();
    options.file_system = &fs;
    options.ack = ack;
    options.free_bytes_min = 0;
    options.logger = [](LogSeverity /*severity*/, absl::string_view /*text*/) {};
    return options;
  }
  std::unique_ptr<TapeReplica> OpenWell(FileSystem& fs, Ack ack = Ack::kSynced) { return Open(On(fs, ack)); }
  void NewJournal() {
    journal_.emplace(TempDir::InMemory());
    acked_.clear();
  }
  JournalLayout layout() const { return JournalLayout(journal_->path()); }
  SegmentNumber poisoned() const {
    return ValueOrDie(SyncMark::Open(FileSystem::Posix(), layout().synced())).poisoned();
  }

  static size_t CountOf(const TapeReplica& replica) {
    return replica.Read([](const Tape& tape) { return tape.commands.size(); });
  }

  // Executes one more command until it is acknowledged. Whatever is said meanwhile must be true.
  void ExecuteOne(TapeReplica& primary) {
    const std::string command = absl::StrCat(acked_.size(), ":", std::string(40, 'x'));
    absl::Status status;
    for (int tries = 0; tries < 10; ++tries) {
      const size_t before = CountOf(primary);
      status = primary.Execute(command).status();
      if (status.ok()) {
        acked_.push_back(command);
        return;
      }
      // Aborted: not acknowledged, and there may be a primary no more.
      if (absl::IsAborted(status)) return;
      ASSERT_TRUE(absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) << status;
      ASSERT_EQ(CountOf(primary), before + absl::IsUnavailable(status)) << status;
      if (absl::IsResourceExhausted(status)) continue;
      ASSERT_THAT(primary.Poll(), IsOk());
      acked_.push_back(command);  // it is published, and the next sync covers it
      return;
    }
    FAIL() << "never acknowledged: " << status;
  }
  void ExecuteMany(TapeReplica& primary, int count = kCommands) {
    for (int i = 0; i < count && primary.role() == Role::kPrimary; ++i) ASSERT_NO_FATAL_FAILURE(ExecuteOne(primary));
  }

  // Nobody has stopped: `primary` leads, or comes to.
  void ExpectLeads(TapeReplica& primary, const std::string& which) {
    ASSERT_THAT(PollUntil(Role::kPrimary, primary), IsOk()) << which;
    ASSERT_NO_FATAL_FAILURE(ExecuteOne(primary)) << which;
    ASSERT_EQ(primary.role(), Role::kPrimary) << which;
    ASSERT_EQ(CommandsOf(primary), acked_) << which;
  }
  void ExpectFollows(TapeReplica& follower, const std::string& which) {
    for (int i = 0; i < 10; ++i) {
      clock_.Advance(kSecondNs);
      follower.Poll().IgnoreError();
    }
    ASSERT_THAT(follower.Poll(), IsOk()) << which;
    ASSERT_EQ(follower.role(), Role::kFollower) << which;
    ASSERT_EQ(CommandsOf(follower), acked_) << which;
  }
  // After a sync that failed: the journal is poisoned, its replicas stop. Who opens it anew leads, and has what was
  // acknowledged.
  void ExpectLeadsAnew(bool poisons, const std::string& which) {
    ASSERT_EQ(poisoned() != 0, poisons) << which;
    const auto next = OpenWell(FileSystem::Posix());
    ASSERT_NE(next, nullptr) << which;
    ASSERT_THAT(PollUntil(Role::kPrimary, *next), IsOk()) << which;
    ASSERT_EQ(poisoned(), 0u) << which;
    std::vector<std::string> commands = CommandsOf(*next);
    ASSERT_GE(commands.size(), acked_.size()) << which;
    commands.resize(acked_.size());
    ASSERT_EQ(commands, acked_) << which;
    ASSERT_THAT(next->Execute("next"), IsOk()) << which;
  }

  // What is on the disk when a primary is killed: so many synced commands, then others that are published.
  Image Killed(int synced, int published) {
    NewJournal();
    const auto primary = OpenWell(FileSystem::Posix(), Ack::kPublished);
    EXPECT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    for (int i = 0; i < synced + published; ++i) {
      ExecuteOne(*primary);
      if (i + 1 != synced) continue;
      EXPECT_THAT(primary->WaitFor(primary->applied(), Ack::kSynced, kLong), IsOk());
    }
    return ReadImage(journal_->path());
  }
  void Put(const Image& image) {
    journal_.emplace(TempDir::InMemory());
    WriteImage(journal_->path(), image);
  }

  FaultyFileSystem faulty_;
  std::optional<TempDir> journal_;
  std::vector<std::string> acked_;
};

TEST_F(FailingCallsTest, OfAPrimaryThatTakesCommandsAndRolls) {
  for (const Ack ack : {Ack::kPublished, Ack::kSynced}) {
    EachFailure failure(faulty_, EachFailure::kNotMade);
    while (failure.Next()) {
      NewJournal();
      auto primary = OpenWell(faulty_, ack);
      const auto standby = OpenWell(FileSystem::Posix(), ack);
      ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
      failure.Arm();
      ASSERT_NO_FATAL_FAILURE(ExecuteMany(*primary)) << faulty_.failed_call();
      clock_.Advance(2 * kSecondNs);
      primary->Poll().IgnoreError();
      const std::string which = failure.Disarm();
      ASSERT_EQ(poisoned(), 0u) << which;
      ASSERT_NO_FATAL_FAILURE(ExpectLeads(*primary, which));
      ASSERT_NO_FATAL_FAILURE(ExpectFollows(*standby, which));
      primary.reset();
      ASSERT_NO_FATAL_FAILURE(ExpectLeads(*standby, which));
    }
    EXPECT_GT(failure.count(), 20u);
  }
}

TEST_F(FailingCallsTest, OfAPrimaryWhoseSyncFails) {
  EachFailure failure(faulty_, EachFailure::kFailedSyncs);
  while (failure.Next()) {
    NewJournal();
    auto primary = OpenWell(faulty_);
    auto standby = OpenWell(FileSystem::Posix());
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    failure.Arm();
    ASSERT_NO_FATAL_FAILURE(ExecuteMany(*primary, 25)) << faulty_.failed_call();
    const std::string which = failure.Disarm();
    if (!failure.failed()) continue;
    ASSERT_EQ(primary->role(), Role::kStopped) << which;
    ASSERT_THAT(primary->status(), StatusIs(absl::StatusCode::kAborted));
    EXPECT_THAT(standby->Poll(), StatusIs(absl::StatusCode::kDataLoss)) << which;
    primary.reset();
    standby.reset();
    ASSERT_NO_FATAL_FAILURE(ExpectLeadsAnew(true, which));
  }
  EXPECT_GT(failure.count(), 25u);
}

TEST_F(FailingCallsTest, OfAFollowerThatTakesSnapshotsAndTrims) {
  EachFailure failure(faulty_, EachFailure::kNotMade);
  while (failure.Next()) {
    NewJournal();
    auto primary = OpenWell(FileSystem::Posix(), Ack::kPublished);
    const auto follower = OpenWell(faulty_, Ack::kPublished);
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    failure.Arm();
    for (int round = 0; round < 3; ++round) {
      ASSERT_NO_FATAL_FAILURE(ExecuteMany(*primary));
      follower->Poll().IgnoreError();
      follower->TakeSnapshot().status().IgnoreError();
    }
    const std::string which = failure.Disarm();
    ASSERT_EQ(poisoned(), 0u) << which;
    ASSERT_NO_FATAL_FAILURE(ExpectFollows(*follower, which));
    ASSERT_THAT(follower->TakeSnapshot(), IsOk()) << which;
    primary.reset();
    ASSERT_NO_FATAL_FAILURE(ExpectLeads(*follower, which));
  }
  EXPECT_GT(failure.count(), 100u);
}

TEST_F(FailingCallsTest, OfAFollowerThatStartsOver) {
  EachFailure failure(faulty_, EachFailure::kNotMade);
  while (failure.Next()) {
    NewJournal();
    ReplicaOptions takes = On(FileSystem::Posix(), Ack::kPublished);
    takes.snapshots.on_primary = true;
    auto primary = Open(takes);
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    ASSERT_NO_FATAL_FAILURE(ExecuteMany(*primary, 10));
    const auto follower = OpenWell(faulty_, Ack::kPublished);
    for (int round = 0; round < 3; ++round) {
      ASSERT_NO_FATAL_FAILURE(ExecuteMany(*primary));
      ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    }
    failure.Arm();
    follower->Poll().IgnoreError();
    follower->Poll().IgnoreError();
    const std::string which = failure.Disarm();
    ASSERT_NO_FATAL_FAILURE(ExpectFollows(*follower, which));
    primary.reset();
    ASSERT_NO_FATAL_FAILURE(ExpectLeads(*follower, which));
  }
  EXPECT_GT(failure.count(), 30u);
}

TEST_F(FailingCallsTest, OfTheTakerOfTheLease) {
  const Image killed = Killed(20, 3 * kCommands);
  const std::vector<std::string> acked = acked_;
  for (const Ack ack : {Ack::kPublished, Ack::kSynced}) {
    EachFailure failure(faulty_, EachFailure::kNotMade);
    while (failure.Next()) {
      Put(killed);
      acked_ = acked;
      auto taker = OpenWell(faulty_, ack);
      const auto standby = OpenWell(FileSystem::Posix(), ack);
      failure.Arm();
      PollUntil(Role::kPrimary, *taker, 3).IgnoreError();
      for (int i = 0; i < 3; ++i) taker->Poll().IgnoreError();  // syncs what was left
      const std::string which = failure.Disarm();
      ASSERT_EQ(poisoned(), 0u) << which;
      ASSERT_NO_FATAL_FAILURE(ExpectLeads(*taker, which));
      ASSERT_NO_FATAL_FAILURE(ExpectFollows(*standby, which));
      taker.reset();
      ASSERT_NO_FATAL_FAILURE(ExpectLeads(*standby, which));
    }
    EXPECT_GT(failure.count(), 60u);
  }
}

TEST_F(FailingCallsTest, OfATakerOfTheLeaseWhoseSyncFails) {
  const Image killed = Killed(20, 2 * kCommands);
  const std::vector<std::string> acked = acked_;
  EachFailure failure(faulty_, EachFailure::kFailedSyncs);
  while (failure.Next()) {
    Put(killed);
    acked_ = acked;
    auto taker = OpenWell(faulty_);
    auto standby = OpenWell(FileSystem::Posix());
    failure.Arm();
    PollUntil(Role::kPrimary, *taker, 10).IgnoreError();
    const std::string which = failure.Disarm();
    if (!failure.failed()) continue;
    ASSERT_EQ(taker->role(), Role::kStopped) << which;
    ASSERT_THAT(taker->status(), StatusIs(absl::StatusCode::kAborted)) << which;
    taker.reset();
    standby.reset();
    ASSERT_NO_FATAL_FAILURE(ExpectLeadsAnew(poisoned() != 0, which));
  }
  EXPECT_GT(failure.count(), 5u);
}

// A machine that had lost its power: the frames behind the synced ones are torn, and there is a segment after them.
TEST_F(FailingCallsTest, OfARecoveryOfATornTail) {
  Image torn = Killed(kCommands, 2 * kCommands);
  acked_.resize(kCommands);
  const std::vector<std::string> acked = acked_;
  uint64_t other_boot = 1;
  std::memcpy(torn["synced"].data() + 3 * sizeof other_boot, &other_boot, sizeof other_boot);
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(FileSystem::Posix(), layout()));
  for (int i = 0; i < kCommands + 1; ++i) ASSERT_TRUE(reader.Next().has_value());
  const SegmentNumber segment = reader.segment();
  const uint64_t offset = kDataOffset + reader.offset();
  std::string& bytes = torn[layout().segment(segment).substr(journal_->path().size() + 1)];
  ASSERT_GT(bytes.size(), offset + 100);
  for (int i = 0; i < 20; ++i) bytes[offset + 60 + static_cast<size_t>(i)] ^= 0x55;
  EachFailure failure(faulty_, EachFailure::kNotMade);
  while (failure.Next()) {
    Put(torn);
    acked_ = acked;
    failure.Arm();
    absl::StatusOr<std::unique_ptr<TapeReplica>> replica = TapeReplica::Open(On(faulty_));
    for (int tries = 0; !replica.ok() && tries < 3; ++tries) {
      ASSERT_TRUE(IsTransient(replica.status()) || absl::IsDataLoss(replica.status())) << replica.status();
      replica = TapeReplica::Open(On(faulty_));
    }
    ASSERT_THAT(replica, IsOk()) << faulty_.failed_call();
    PollUntil(Role::kPrimary, **replica, 5).IgnoreError();
    const std::string which = failure.Disarm();
    ASSERT_EQ(poisoned(), 0u) << which;
    ASSERT_NO_FATAL_FAILURE(ExpectLeads(**replica, which));
    replica->reset();
    ASSERT_NO_FATAL_FAILURE(ExpectLeadsAnew(false, which));
  }
  EXPECT_GT(failure.count(), 100u);
}

// The threads of a replica, and the watch of the lease.
TEST_F(FailingCallsTest, OfThreadsThatTakeOverAndLead) {
  for (uint64_t n = 1; n < 120; n += 7) {
    NewJournal();
    ReplicaOptions options = On(faulty_);
    options.threads = true;
    options.clock = &Clock::System();
    auto primary = Open(options);
    ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
    auto standby = Open(options);
    ExecuteMany(*primary, 20);
    faulty_.FailCall(n, absl::ResourceExhaustedError("planted"));
    primary.reset();
    ASSERT_TRUE(standby->WaitForRole(Role::kPrimary, kLong)) << n << faulty_.failed_call() << standby->status();
    faulty_.FailCall(n / 7, absl::ResourceExhaustedError("planted"));
    ExecuteMany(*standby);
    EXPECT_EQ(standby->role(), Role::kPrimary) << n << faulty_.failed_call() << standby->status();
    faulty_.Heal();
    EXPECT_EQ(CommandsOf(*standby), acked_);
  }
}

}  // namespace
}  // namespace kekbit
