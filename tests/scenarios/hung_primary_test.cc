// A primary that hangs keeps its lease, so by option a follower kills it:
// ReplicaOptions::kill_hung_primary_after. By real processes. P1 in promises_test.cc shows that
// without the option the primary stays.

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ReplicaOptions Watching(const WriterJournal& journal, absl::Duration kill_after) {
  ReplicaOptions options = journal.options();
  options.kill_hung_primary_after = kill_after;
  return options;
}

class HungPrimaryTest : public testing::TestWithParam<Ack> {};

TEST_P(HungPrimaryTest, IsKilledAndItsStandbyLosesNothing) {
  WriterJournal journal;
  ReplicaOptions options = Watching(journal, absl::Milliseconds(200));
  options.ack = GetParam();
  for (int round = 0; round < 3; ++round) {
    WriterProcess primary(options, nullptr);
    ASSERT_TRUE(primary.AwaitAcks(1000));
    WriterProcess standby(options, nullptr);
    ASSERT_TRUE(primary.AwaitAcks(3000));
    primary.Stop();  // under load
    ASSERT_TRUE(standby.AwaitAcks(1000));
    EXPECT_GT(standby.epoch(), primary.epoch());
    // This test does not kill the primary: it is dead already.
    EXPECT_EQ(primary.Wait(), -SIGKILL);
    primary.AwaitError();  // takes what it had reported
    ASSERT_NO_FATAL_FAILURE(journal.Check({&primary, &standby}));
    standby.Kill();
    ASSERT_NO_FATAL_FAILURE(journal.Check({&primary, &standby}));
  }
}

// Everybody else waits for its turn then, and the lease still has the name of the dead primary.
TEST(HungTakerTest, WhoStopsWhileItTakesTheLeaseIsKilledToo) {
  WriterJournal journal;
  const ReplicaOptions options = Watching(journal, absl::Milliseconds(200));
  SharedWords words(1);
  ChildProcess primary([&options, &words] {
    auto replica = Replica<Tape, TextCodec>::Open(options).value();
    if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return;
    // Keeps the lock of the lease, so that each successor takes the other way: it renames a new
    // file.
    const long keeper = ::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0);
    if (keeper != 0) words.Set(0, static_cast<uint64_t>(keeper));
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  FaultyFileSystem fs;
  fs.BeforeCall("Rename", [] { ::raise(SIGSTOP); });
  ReplicaOptions stopping = options;
  stopping.file_system = &fs;
  WriterProcess stopped(stopping, nullptr);
  primary.Kill();
  stopped.AwaitStopped();
  WriterProcess standby(options, nullptr);
  ASSERT_TRUE(standby.AwaitAcks(100));
  EXPECT_EQ(stopped.Wait(), -SIGKILL);
  standby.Kill();
  ASSERT_NO_FATAL_FAILURE(journal.Check({&standby}));
  ::kill(static_cast<pid_t>(words.Get(0)), SIGKILL);
}

// The lease has its name still, since its standby can't take the lease just now.
TEST(FormerPrimaryTest, WhoSteppedDownIsNotKilled) {
  WriterJournal journal;
  SharedWords words(2);  // how far the one is, and the other
  ChildProcess former([&] {
    ReplicaOptions options = journal.options();
    options.step_down_for = absl::Hours(1);
    auto replica = Replica<Tape, TextCodec>::Open(options).value();
    if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return 1;
    words.Set(0, 1);
    words.AwaitAtLeast(1, 1);
    if (!replica->StepDown(Successor::kAnybody).ok()) return 2;
    words.Set(0, 2);
    for (;;) ::pause();
  });
  ChildProcess standby([&] {
    FaultyFileSystem fs;
    ReplicaOptions options = Watching(journal, absl::Milliseconds(200));
    options.file_system = &fs;
    words.AwaitAtLeast(0, 1);
    auto replica = Replica<Tape, TextCodec>::Open(options).value();
    fs.FailCalls("OpenOrCreate", absl::ResourceExhaustedError("planted"));
    words.Set(1, 1);
    words.AwaitAtLeast(0, 2);
    absl::SleepFor(absl::Seconds(1));
    fs.Heal();
    return replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration()) ? 0 : 1;
  });
  EXPECT_EQ(standby.Wait(), 0);
  former.Signal(SIGTERM);
  EXPECT_EQ(former.Wait(), -SIGTERM);
}

// P6, at either stage: it was stopped, and a newer epoch has begun meanwhile. That takes somebody
// who replaces the lease's file, since the lease itself it keeps.
TEST_P(HungPrimaryTest, AcknowledgesNothingWhenItGoesOnAfterItsReign) {
  WriterJournal journal;
  ReplicaOptions options = journal.options();
  options.ack = GetParam();
  WriterProcess primary(options, nullptr);
  ASSERT_TRUE(primary.AwaitAcks(1000));
  primary.Stop();
  primary.TakeAll();
  const size_t before = primary.acks().size();
  // Grant the next epoch as a successor does: from now on the old primary is fenced.
  auto epochs = EpochStore::Open(FileSystem::Posix(), journal.layout().epoch());
  ASSERT_THAT(epochs, IsOk());
  ASSERT_THAT(epochs->Grant(1), IsOkAndHolds(2u));
  primary.Continue();
  EXPECT_THAT(primary.AwaitError(before + 1), AllOf(HasSubstr("ABORTED"), HasSubstr("epoch 1 is over")));
  // The primary had acknowledged at most one command without a report, when it was stopped.
  EXPECT_LE(primary.acks().size(), before + 1);
  journal.Check({&primary});
}

INSTANTIATE_TEST_SUITE_P(Stages, HungPrimaryTest, testing::Values(Ack::kPublished, Ack::kSynced),
                         [](const auto& stage) { return std::string(AckName(stage.param)); });

// Each command takes long, and the next one comes at once.
struct SlowTape : Tape {
  static constexpr absl::Duration kApply = absl::Milliseconds(500);

  Result Apply(const Command& command, const ApplyContext& context) {
    absl::SleepFor(kApply);
    return Tape::Apply(command, context);
  }
};

TEST(SlowPrimaryTest, IsNotKilled) {
  WriterJournal journal;
  SharedWords words(2);  // whether the one leads, and the other watches
  const ReplicaOptions options = Watching(journal, 2 * SlowTape::kApply);
  ChildProcess primary([&] {
    auto replica = Replica<SlowTape, TextCodec>::Open(options);
    if (!replica.ok() || !(*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return 1;
    words.Set(0, 1);
    words.AwaitAtLeast(1, 1);
    for (int i = 0; i < 8; ++i) {
      if (!(*replica)->Execute(absl::StrCat(i)).ok()) return 2;
    }
    return 0;
  });
  ChildProcess watcher([&] {
    words.AwaitAtLeast(0, 1);
    auto replica = Replica<SlowTape, TextCodec>::Open(options);
    if (!replica.ok()) return 1;
    words.Set(1, 1);
    if (!(*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return 2;
    return (*replica)->Read([](const SlowTape& tape) { return tape.commands.size(); }) == 8 ? 0 : 3;
  });
  EXPECT_EQ(primary.Wait(), 0);
  EXPECT_EQ(watcher.Wait(), 0);
}

// The whole machine may have been suspended: the time that the watcher missed says nothing of the
// primary.
TEST(StoppedWatcherTest, DoesNotKillWhenItGoesOn) {
  constexpr absl::Duration kKillAfter = absl::Seconds(2);
  WriterJournal journal;
  WriterProcess primary(journal.options(), nullptr);
  ASSERT_TRUE(primary.AwaitAcks(1000));
  WriterProcess watcher(Watching(journal, kKillAfter), nullptr);
  // The watcher follows. Then half of its time goes by. Were its time one look, that would begin
  // when the primary is stopped already, and end while the watcher is.
  ASSERT_FALSE(watcher.SaysAnything(static_cast<int>(absl::ToInt64Milliseconds(kKillAfter / 2))));
  primary.Stop();
  absl::SleepFor(kKillAfter * 0.6);  // the watcher has begun to count
  watcher.Stop();
  primary.TakeAll();
  const size_t before = primary.acks().size();
  absl::SleepFor(kKillAfter * 1.5);
  watcher.Continue();
  absl::SleepFor(kKillAfter / 10);  // the watcher is the first to run
  primary.Continue();
  ASSERT_TRUE(primary.AwaitAcks(before + 1000));
  EXPECT_FALSE(watcher.SaysAnything(0));
  // The watcher still watches.
  primary.Stop();
  ASSERT_TRUE(watcher.AwaitAcks(1));
  EXPECT_EQ(primary.Wait(), -SIGKILL);
  primary.AwaitError();
  watcher.Kill();
  journal.Check({&primary, &watcher});
}

}  // namespace
}  // namespace kekbit
