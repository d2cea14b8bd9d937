// The promises of README.md that are about who may write, each by real processes. P7 is in
// journal_test.cc.
//
// P1: one writer, by a kernel-held lock that any death of its holder releases. P6: a primary that
// lost its lease can't acknowledge anything: Aborted, with the newer epoch.

#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

// Deletes a "stale" lock file, as somebody might: the name goes to another file, which nobody has
// locked.
void ReplaceLease(const WriterJournal& journal) {
  const std::string path = journal.layout().lease();
  WriteFileBytes(path + ".new", "");
  ASSERT_THAT(FileSystem::Posix().Rename(path + ".new", path), IsOk());
}

Epoch CurrentEpoch(const WriterJournal& journal) {
  return LoadUnaligned<uint64_t>(AsBytes(ReadFileBytes(journal.layout().epoch())).data() + 8);
}

TEST(PromiseP1Test, OfTwoProcessesOneIsPrimary) {
  WriterJournal journal;
  WriterProcess first = journal.Start();
  ASSERT_TRUE(first.AwaitAcks(1));
  WriterProcess second = journal.Start();
  ASSERT_TRUE(first.AwaitAcks(20'000));
  // Long after it could have begun the other one is silent.
  EXPECT_FALSE(second.SaysAnything(0));
  first.Kill();
  EXPECT_EQ(second.AwaitPrimary(), 2u);
  ASSERT_TRUE(second.AwaitAcks(1000));
  second.Kill();
  journal.Check({&first, &second});
}

TEST(PromiseP1Test, OfProcessesThatStartAtOnceOneIsPrimary) {
  WriterJournal journal;
  std::vector<WriterProcess> processes;
  for (int i = 0; i < 4; ++i) processes.push_back(journal.Start());
  // Each in its turn: the others are silent until the one before is dead.
  for (Epoch epoch = 1; epoch <= 4; ++epoch) {
    WriterProcess* primary = nullptr;
    while (primary == nullptr) {
      for (WriterProcess& process : processes) {
        if (process.epoch() == 0 && process.SaysAnything(1)) primary = &process;
      }
    }
    EXPECT_EQ(primary->AwaitPrimary(), epoch);
    ASSERT_TRUE(primary->AwaitAcks(2000));
    for (const WriterProcess& other : processes) {
      EXPECT_TRUE(other.epoch() != 0 || !other.SaysAnything(0));
    }
    primary->Kill();
  }
  journal.Check({&processes[0], &processes[1], &processes[2], &processes[3]});
}

TEST(PromiseP1Test, AStoppedPrimaryKeepsItsLeaseAKilledOneLosesIt) {
  WriterJournal journal;
  WriterProcess primary = journal.Start();
  ASSERT_TRUE(primary.AwaitAcks(1000));
  WriterProcess standby = journal.Start();
  primary.Stop();
  primary.TakeAll();
  const size_t before = primary.acks().size();
  // However long it is stopped: there is no timeout. 300 ms are some hundred times what a takeover
  // takes.
  EXPECT_FALSE(standby.SaysAnything(300));
  EXPECT_EQ(CurrentEpoch(journal), 1u);
  primary.Continue();
  ASSERT_TRUE(primary.AwaitAcks(before + 1000));
  EXPECT_FALSE(standby.SaysAnything(0));
  primary.Stop();
  primary.Kill();
  EXPECT_EQ(standby.AwaitPrimary(), 2u);
  ASSERT_TRUE(standby.AwaitAcks(1000));
  standby.Kill();
  journal.Check({&primary, &standby});
}

TEST(PromiseP6Test, ABusyPrimaryWhoseLeaseWasReplacedAcknowledgesNothingMore) {
  // Small segments: the takeover comes also while the old primary goes on to the next one.
  WriterJournal journal(16 << 10);
  std::vector<WriterProcess> processes;
  processes.push_back(journal.Start());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(processes.back().AwaitAcks(500));
    const Epoch old = processes.back().epoch();
    processes.push_back(journal.Start());
    WriterProcess& primary = processes[processes.size() - 2];
    WriterProcess& successor = processes.back();
    ASSERT_NO_FATAL_FAILURE(ReplaceLease(journal));
    // The successor looks for the lease once a second, and the primary whether it still has the
    // lease.
    ASSERT_THAT(primary.AwaitError(primary.acks().size() + 2'000'000),
                AnyOf(AllOf(HasSubstr("ABORTED"), HasSubstr(absl::StrCat("epoch ", old, " is over")),
                            HasSubstr("the journal is in epoch ")),
                      AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("a follower"))));
    ASSERT_EQ(primary.Wait(), 1);
    EXPECT_GT(successor.AwaitPrimary(), old);
    // Nothing that the old one acknowledged is missing, and nothing was by both.
    ASSERT_TRUE(successor.AwaitAcks(500));
  }
  processes.back().Kill();
  std::vector<const WriterProcess*> all;
  for (const WriterProcess& process : processes) all.push_back(&process);
  journal.Check(all);
}

TEST(PromiseP6Test, AnIdlePrimaryWhoseLeaseWasReplacedMakesWay) {
  WriterJournal journal;
  SharedWords allowed(1);
  allowed.Set(0, 100);
  WriterProcess primary = journal.Start(&allowed);
  ASSERT_TRUE(primary.AwaitAcks(100));
  ASSERT_NO_FATAL_FAILURE(ReplaceLease(journal));
  WriterProcess successor = journal.Start();
  // The successor waits until the old primary has seen that its lease is worth nothing, and let go
  // of its segment.
  EXPECT_GE(successor.AwaitPrimary(), 2u);
  allowed.Set(0, 101);
  ASSERT_THAT(primary.AwaitError(100), AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("a follower")));
  EXPECT_EQ(primary.acks().size(), 100u);
  ASSERT_TRUE(successor.AwaitAcks(100));
  successor.Kill();
  journal.Check({&primary, &successor});
}

TEST(PromiseP6Test, APrimaryThatWasStoppedWhileItsLeaseWasReplacedIsRefusedWhenItGoesOn) {
  WriterJournal journal(16 << 10);
  WriterProcess primary = journal.Start();
  ASSERT_TRUE(primary.AwaitAcks(1000));
  primary.Stop();
  ASSERT_NO_FATAL_FAILURE(ReplaceLease(journal));
  WriterProcess successor = journal.Start();
  while (CurrentEpoch(journal) < 2) ::usleep(1000);
  primary.TakeAll();
  const size_t before = primary.acks().size();
  primary.Continue();
  // The primary may have been stopped between an acknowledgement and its report: one at most.
  ASSERT_THAT(primary.AwaitError(before + 1), HasSubstr("epoch 1 is over"));
  EXPECT_GE(successor.AwaitPrimary(), 2u);
  ASSERT_TRUE(successor.AwaitAcks(100));
  successor.Kill();
  journal.Check({&primary, &successor});
}

}  // namespace
}  // namespace kekbit
