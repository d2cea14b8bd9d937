// P2: an acknowledged `published` command survives kill -9 of the primary at any instruction.
//
// Writers are killed at random times, again and again, on one journal. KEKBIT_SEED sets the times;
// it is printed.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

class PromiseP2Test : public testing::Test {
 protected:
  PromiseP2Test() {
    uint64_t seed = std::random_device{}();
    if (const char* text = std::getenv("KEKBIT_SEED")) static_cast<void>(absl::SimpleAtoi(text, &seed));
    std::printf("KEKBIT_SEED=%llu\n", static_cast<unsigned long long>(seed));
    random_.seed(seed);
  }

  uint32_t Random(uint32_t from, uint32_t to) { return std::uniform_int_distribution<uint32_t>(from, to)(random_); }

  std::mt19937_64 random_;
};

TEST_F(PromiseP2Test, AWriterKilledAtARandomTimeLosesNothing) {
  WriterJournal journal(4 << 20);
  for (int round = 0; round < 10; ++round) {
    WriterProcess writer = journal.Start();
    ASSERT_TRUE(writer.AwaitAcks(Random(1, 500)));
    ::usleep(Random(0, 3000));
    writer.Kill();
    ASSERT_NO_FATAL_FAILURE(journal.Check({&writer})) << "round " << round;
  }
  EXPECT_GT(journal.commands(), 10u);
}

TEST_F(PromiseP2Test, AWriterKilledWhileItRollsLosesNothing) {
  // A segment takes some hundred commands, so a kill that waits for a few acknowledgements is often
  // next to a roll.
  WriterJournal journal(16 << 10);
  for (int round = 0; round < 20; ++round) {
    WriterProcess writer = journal.Start();
    ASSERT_TRUE(writer.AwaitAcks(Random(100, 800)));
    if (round % 2 == 0) ::usleep(Random(0, 200));
    writer.Kill();
    ASSERT_NO_FATAL_FAILURE(journal.Check({&writer})) << "round " << round;
  }
}

TEST_F(PromiseP2Test, AStandbyTakesOverWhatAKilledWriterLeft) {
  WriterJournal journal(64 << 10);
  auto primary = std::make_unique<WriterProcess>(journal.Start());
  for (Epoch epoch = 1; epoch <= 8; ++epoch) {
    ASSERT_EQ(primary->AwaitPrimary(), epoch);
    auto standby = std::make_unique<WriterProcess>(journal.Start());
    ASSERT_TRUE(primary->AwaitAcks(Random(100, 1500)));
    ::usleep(Random(0, 1000));
    primary->Kill();
    ASSERT_TRUE(standby->AwaitAcks(1));
    ASSERT_NO_FATAL_FAILURE(journal.Check({primary.get()})) << "epoch " << epoch;
    primary = std::move(standby);
  }
}

TEST_F(PromiseP2Test, AWriterKilledWhileItStartsOrTakesOverLosesNothing) {
  WriterJournal journal(16 << 10);
  {
    WriterProcess writer = journal.Start();
    ASSERT_TRUE(writer.AwaitAcks(300));
    writer.Kill();
    ASSERT_NO_FATAL_FAILURE(journal.Check({&writer}));
  }
  uint32_t killed_before = 0;
  for (int round = 0; round < 40; ++round) {
    WriterProcess writer = journal.Start();
    ::usleep(Random(0, 15'000));
    writer.Kill();
    if (writer.acks().empty()) ++killed_before;
    ASSERT_NO_FATAL_FAILURE(journal.Check({&writer})) << "round " << round;
  }
  std::printf("%u of 40 were killed before they acknowledged anything\n", killed_before);
  WriterProcess writer = journal.Start();
  ASSERT_TRUE(writer.AwaitAcks(10));
  writer.Kill();
  journal.Check({&writer});
}

// P1: any death of the holder releases the lease. A child that was not made by fork(2), which
// kekbit would know of, keeps all descriptors of the dead primary, and so its locks.
TEST(PromiseP1Test, ADeadPrimaryIsSucceededThoughItsLocksAreKept) {
  WriterJournal journal;
  SharedWords words(1);
  ChildProcess primary([&journal, &words] {
    auto replica = Replica<Tape, TextCodec>::Open(journal.options()).value();
    if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return;
    for (uint64_t number = 0; number < 100; ++number) {
      const std::vector<uint8_t> bytes = CheckedPayload(number, kCommandBytesMax);
      if (!replica->Execute(std::string(AsText(bytes))).ok()) return;
    }
    const long keeper = ::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0);
    if (keeper != 0) words.Set(0, static_cast<uint64_t>(keeper));
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  WriterProcess standby = journal.Start();
  primary.Kill();
  EXPECT_EQ(standby.AwaitPrimary(), 2u);
  ASSERT_TRUE(standby.AwaitAcks(100));
  standby.Kill();
  ASSERT_NO_FATAL_FAILURE(journal.Check({&standby}));
  EXPECT_GE(journal.commands(), 200u);
  ::kill(static_cast<pid_t>(words.Get(0)), SIGKILL);
}

}  // namespace
}  // namespace kekbit
