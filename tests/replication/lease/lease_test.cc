#include "kekbit/replication/lease/lease.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_lock.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

class LeaseTest : public testing::Test {
 protected:
  // Returns true if somebody who asks now gets the lease.
  bool IsFree() {
    auto lease = Lease::TryAcquire(fs_, path_);
    EXPECT_THAT(lease, IsOk());
    return lease.ok() && lease->has_value();
  }

  // Takes the lease in a process of its own, which then does nothing until it is killed.
  ChildProcess HolderProcess() {
    ChildProcess child([this] {
      auto lease = Lease::TryAcquire(fs_, path_);
      if (!lease.ok() || !lease->has_value()) return 1;
      words_.Set(0, 1);
      for (;;) ::pause();
    });
    words_.AwaitAtLeast(0, 1);
    return child;
  }

  SharedWords words_{1};
  TempDir dir_;
  std::string path_ = dir_.File("lease");
  FaultyFileSystem fs_;
};

TEST_F(LeaseTest, OneAtATimeInOneProcess) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> first, Lease::TryAcquire(fs_, path_));
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(IsFree());
  first.reset();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, MovesWithItsObject) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> first, Lease::TryAcquire(fs_, path_));
  ASSERT_TRUE(first.has_value());
  std::optional<Lease> second = std::move(first);
  first.reset();
  EXPECT_FALSE(IsFree());
  second.reset();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, KeptWhileItsProcessLivesAndFreeOnceItIsKilled) {
  ChildProcess child = HolderProcess();
  EXPECT_FALSE(IsFree());
  child.Kill();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, AStoppedProcessKeepsIt) {
  ChildProcess child = HolderProcess();
  child.Signal(SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid(), &status, WUNTRACED), child.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_FALSE(IsFree());
  child.Signal(SIGCONT);
  EXPECT_FALSE(IsFree());
}

TEST_F(LeaseTest, SaysWhoHoldsIt) {
  EXPECT_FALSE(Lease::Holder(fs_, path_).has_value());
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  EXPECT_EQ(Lease::Holder(fs_, path_), ProcessId::Self(fs_));
  lease.reset();
  ChildProcess child = HolderProcess();
  const std::optional<ProcessId> holder = Lease::Holder(fs_, path_);
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->pid, static_cast<uint64_t>(child.pid()));
  EXPECT_TRUE(ProcessWatch::Open(fs_, *holder).has_value());
  child.Kill();
  EXPECT_FALSE(ProcessWatch::Open(fs_, *holder).has_value());
}

TEST_F(LeaseTest, AHolderThatCanNotBeReadIsNone) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  lease.reset();
  const std::string bytes = ReadFileBytes(path_);
  ASSERT_GE(bytes.size(), 32u);
  for (size_t i = 0; i < 28; ++i) {  // the last four are zeros that nobody reads
    std::string broken = bytes;
    broken[i] = static_cast<char>(broken[i] ^ 0x10);
    WriteFileBytes(path_, broken);
    EXPECT_FALSE(Lease::Holder(fs_, path_).has_value()) << "byte " << i;
  }
  WriteFileBytes(path_, bytes.substr(0, 31));
  EXPECT_FALSE(Lease::Holder(fs_, path_).has_value());
}

TEST_F(LeaseTest, IsGivenEvenIfTheHolderCanNotBeWritten) {
  fs_.FailCalls("WriteAt", absl::ResourceExhaustedError("planted"));
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  EXPECT_TRUE(lease.has_value());
  EXPECT_FALSE(IsFree());
}

TEST_F(LeaseTest, IsNotGivenWithTheNameOfAnotherHolderInIt) {
  HolderProcess().Kill();
  ASSERT_TRUE(Lease::Holder(fs_, path_).has_value());
  fs_.FailCalls("WriteAt", absl::ResourceExhaustedError("planted"));
  EXPECT_THAT(Lease::TryAcquire(fs_, path_), StatusIs(absl::StatusCode::kResourceExhausted));
  fs_.Heal();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, IsThatOfADeadHolderBeforeItsLockIsReleased) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> dead, Lease::TryAcquire(fs_, path_));
  ASSERT_TRUE(dead.has_value());
  EXPECT_EQ(dead->succeeded(), std::nullopt);
  dead->SetReign(7);
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> next, Lease::Succeed(fs_, path_, ProcessId::Self(fs_)));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->succeeded(), 7u);
  EXPECT_THAT(dead->IsNamed(fs_), IsOkAndHolds(false));
  EXPECT_THAT(next->IsNamed(fs_), IsOkAndHolds(true));
  EXPECT_FALSE(IsFree());
  dead.reset();
  EXPECT_FALSE(IsFree());
  next.reset();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, AReignIsOfOneHolder) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  lease->SetReign(7);
  lease.reset();
  KB_ASSERT_OK_AND_ASSIGN(lease, Lease::TryAcquire(fs_, path_));
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> next, Lease::Succeed(fs_, path_, ProcessId::Self(fs_)));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->succeeded(), 0u);
}

TEST_F(LeaseTest, SaysHowLongItsHolderHasBeenSilent) {
  FakeClock clock;
  const auto silence = [&] { return Lease::Silence(fs_, path_, clock); };
  EXPECT_EQ(silence(), std::nullopt);
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  EXPECT_EQ(silence(), std::nullopt);
  lease->Beat(clock.MonotonicNanos());
  EXPECT_EQ(silence(), absl::ZeroDuration());
  clock.Advance(12'300'000'000);
  clock.SetRealtime(5);  // the machine's clock is set: no matter
  EXPECT_EQ(silence(), absl::Seconds(12.3));
  lease->SetReign(7);  // no sign of life
  EXPECT_EQ(silence(), absl::Seconds(12.3));
  const std::optional<uint64_t> before = Lease::LastBeat(fs_, path_);
  lease->Beat(clock.MonotonicNanos());
  EXPECT_NE(Lease::LastBeat(fs_, path_), before);
  EXPECT_EQ(silence(), absl::ZeroDuration());
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> next, Lease::Succeed(fs_, path_, ProcessId::Self(fs_)));
  EXPECT_EQ(next->succeeded(), 7u);
  EXPECT_EQ(silence(), std::nullopt);
}

TEST_F(LeaseTest, ASignOfAnotherClockTellsNothing) {
  FakeClock clock;
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  lease->Beat(clock.MonotonicNanos() + 1);  // to come: of another boot
  EXPECT_EQ(Lease::Silence(fs_, path_, clock), std::nullopt);
  clock.Advance(1);
  EXPECT_EQ(Lease::Silence(fs_, path_, clock), absl::ZeroDuration());
  std::string bytes = ReadFileBytes(path_);
  ASSERT_EQ(bytes.size(), 96u);
  bytes[88] = static_cast<char>(bytes[88] + 1);  // of another time namespace
  WriteFileBytes(path_, bytes);
  EXPECT_EQ(Lease::Silence(fs_, path_, clock), std::nullopt);
  // An earlier build left the file so.
  WriteFileBytes(path_, bytes.substr(0, 80));
  EXPECT_EQ(Lease::Silence(fs_, path_, clock), std::nullopt);
  EXPECT_EQ(Lease::LastBeat(fs_, path_), 1u);
  // Any later holder begins anew.
  WriteFileBytes(path_, bytes);
  lease.reset();
  KB_ASSERT_OK_AND_ASSIGN(lease, Lease::TryAcquire(fs_, path_));
  EXPECT_EQ(Lease::LastBeat(fs_, path_), 0u);
  EXPECT_EQ(Lease::Silence(fs_, path_, clock), std::nullopt);
}

TEST_F(LeaseTest, IsNotThatOfADeadOneIfSomebodyElseHasIt) {
  ChildProcess child = HolderProcess();
  const std::optional<ProcessId> dead = Lease::Holder(fs_, path_);
  ASSERT_TRUE(dead.has_value());
  child.Kill();
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> other, Lease::TryAcquire(fs_, path_));
  ASSERT_TRUE(other.has_value());
  EXPECT_THAT(Lease::Succeed(fs_, path_, *dead), IsOkAndHolds(testing::Eq(std::nullopt)));
  EXPECT_THAT(other->IsNamed(fs_), IsOkAndHolds(true));
  EXPECT_FALSE(IsFree());
}

TEST_F(LeaseTest, IsTakenByOneAtATime) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> dead, Lease::TryAcquire(fs_, path_));
  KB_ASSERT_OK_AND_ASSIGN(std::unique_ptr<File> turn, fs_.OpenOrCreate(path_ + ".next"));
  ASSERT_THAT(turn->TryLock(), IsOkAndHolds(true));
  EXPECT_THAT(Lease::Succeed(fs_, path_, ProcessId::Self(fs_)), IsOkAndHolds(testing::Eq(std::nullopt)));
  dead.reset();
  EXPECT_FALSE(IsFree());
  turn.reset();
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, SaysWhoIsTakingIt) {
  EXPECT_EQ(Lease::Taker(fs_, path_), std::nullopt);
  HolderProcess().Kill();
  EXPECT_EQ(Lease::Taker(fs_, path_), std::nullopt);
  // Stops in the middle.
  ChildProcess child([this] {
    fs_.BeforeCall("Unlink", [this] {
      words_.Set(0, 2);
      for (;;) ::pause();
    });
    return Lease::TryAcquire(fs_, path_).ok() ? 0 : 1;
  });
  words_.AwaitAtLeast(0, 2);
  const std::optional<ProcessId> taker = Lease::Taker(fs_, path_);
  ASSERT_TRUE(taker.has_value());
  EXPECT_EQ(taker->pid, static_cast<uint64_t>(child.pid()));
  EXPECT_FALSE(IsFree());
  child.Kill();
  EXPECT_EQ(Lease::Taker(fs_, path_), std::nullopt);
  EXPECT_TRUE(IsFree());
}

TEST_F(LeaseTest, EachFailingCallOfASuccessionIsAnErrorOrMakesNoDifference) {
  for (uint64_t n = 1;; ++n) {
    KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> dead, Lease::TryAcquire(fs_, path_));
    ASSERT_TRUE(dead.has_value());
    fs_.FailCall(n, absl::PermissionDeniedError("planted"));
    auto next = Lease::Succeed(fs_, path_, ProcessId::Self(fs_));
    const bool failed = fs_.failed();
    const std::string call = fs_.failed_call();
    fs_.Heal();
    const bool got = next.ok() && next->has_value();
    EXPECT_THAT(dead->IsNamed(fs_), IsOkAndHolds(!got)) << n << ": " << call;
    EXPECT_FALSE(IsFree()) << n << ": " << call;
    if (!failed) break;
  }
}

TEST_F(LeaseTest, ALockOnAFileThatLostItsNameIsNoLease) {
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> old, Lease::TryAcquire(fs_, path_));
  // Opened before, locked after the name went to another file: what a slow TryAcquire() does.
  KB_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<File> late, fs_.Open(path_, Access::kReadWrite));
  WriteFileBytes(dir_.File("other"), "");
  ASSERT_THAT(fs_.Rename(dir_.File("other"), path_), IsOk());
  old.reset();
  EXPECT_THAT(LockNamedFile(fs_, *late, path_), StatusIs(absl::StatusCode::kUnavailable));
  // The holder has locked the old file; the lease is that of the new file.
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease, Lease::TryAcquire(fs_, path_));
  ASSERT_TRUE(lease.has_value());
  EXPECT_FALSE(IsFree());
}

TEST_F(LeaseTest, EachFailingCallIsAnErrorAndKeepsNothingLocked) {
  for (uint64_t n = 1;; ++n) {
    fs_.FailCall(n, absl::PermissionDeniedError("planted"));
    const bool got = [this] {
      auto lease = Lease::TryAcquire(fs_, path_);
      return lease.ok() && lease->has_value();
    }();
    if (!fs_.failed()) break;
    const std::string call = fs_.failed_call();
    // Others say who has it, a hint.
    if (call == "OpenOrCreate" || call == "CheckSupported" || call == "LockedByOther" || call == "TryLock") {
      EXPECT_FALSE(got) << n << ": " << call;
    }
    fs_.Heal();
    EXPECT_TRUE(IsFree()) << call;
  }
}

}  // namespace
}  // namespace kekbit
