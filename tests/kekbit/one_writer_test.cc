// P1: a channel has one writer. The lock is the kernel's, released by any death of its holder, and
// by nothing else.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

class OneWriterTest : public testing::Test {
 protected:
  // A process that writes one record, says so, and lives on.
  std::unique_ptr<ChildProcess> StartWriter() {
    words_.Set(0, 0);
    auto child = std::make_unique<ChildProcess>([&] {
      ShmWriter writer = MakeWriter(path_);
      if (!writer.Write(AsBytes("written")).ok()) return 1;
      words_.Set(0, 1);
      for (;;) ::pause();
    });
    words_.AwaitAtLeast(0, 1);
    return child;
  }

  TempDir dir_;
  std::string path_ = dir_.File("channel.kekbit");
  SharedWords words_{3};
};

TEST_F(OneWriterTest, OfTwoProcessesOneMakesTheChannel) {
  constexpr int kProcesses = 4;
  for (int round = 0; round < 20; ++round) {
    const std::string path = dir_.File(absl::StrCat(round, ".kekbit"));
    SharedWords start(1);
    std::vector<std::unique_ptr<ChildProcess>> children;
    for (int i = 0; i < kProcesses; ++i) {
      children.push_back(std::make_unique<ChildProcess>([&] {
        start.AwaitAtLeast(0, 1);
        const absl::StatusOr<ShmWriter> writer = ShmWriter::CreateAt(path, MakeHeader(), QuietWriter());
        if (absl::IsAlreadyExists(writer.status())) return 2;
        if (!writer.ok()) return 3;
        return 1;
      }));
    }
    start.Set(0, 1);
    int winners = 0;
    for (auto& child : children) {
      const int status = child->Wait();
      EXPECT_THAT(status, testing::AnyOf(1, 2));
      if (status == 1) ++winners;
    }
    EXPECT_EQ(winners, 1);
  }
}

TEST_F(OneWriterTest, AKilledWriterIsKnownToBeGoneAtOnce) {
  for (int round = 0; round < 20; ++round) {
    path_ = dir_.File(absl::StrCat(round, ".kekbit"));
    const auto child = StartWriter();
    ShmReader reader = MakeReader(path_);
    EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
    child->Kill();
    EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(false));
    EXPECT_EQ(AsText(*reader.TryRead()), "written");
  }
}

TEST_F(OneWriterTest, AStoppedWriterStaysTheWriter) {
  const auto child = StartWriter();
  ShmReader reader = MakeReader(path_);
  child->Signal(SIGSTOP);
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
  EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(), QuietWriter()), StatusIs(StatusCode::kAlreadyExists));
  child->Signal(SIGCONT);
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
}

// A channel that was abandoned is never written again.
TEST_F(OneWriterTest, TheChannelOfADeadWriterHasNoNext) {
  StartWriter()->Kill();
  EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(), QuietWriter()), StatusIs(StatusCode::kAlreadyExists));
  ShmReader reader = MakeReader(path_);
  EXPECT_THAT(ReadAll(reader), testing::ElementsAre("written"));
}

// A program that the writer's process starts may outlive it, and must not keep the lock.
TEST_F(OneWriterTest, AnExecutedProgramDoesNotInheritTheLock) {
  words_.Set(1, 0);
  ChildProcess child([&] {
    ShmWriter writer = MakeWriter(path_);
    const pid_t program = ::fork();
    if (program == 0) {
      ::execl("/bin/sleep", "sleep", "600", nullptr);
      ::_exit(127);
    }
    words_.Set(1, static_cast<uint64_t>(program));
    for (;;) ::pause();
  });
  words_.AwaitAtLeast(1, 1);
  const auto program = static_cast<pid_t>(words_.Get(1));
  // Wait until the child is the other program.
  const std::string comm = absl::StrCat("/proc/", program, "/comm");
  while (ReadFileBytes(comm) != "sleep\n") std::this_thread::yield();
  ShmReader reader = MakeReader(path_);
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
  child.Kill();
  EXPECT_EQ(::kill(program, 0), 0);
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(false));
  ::kill(program, SIGKILL);
}

TEST_F(OneWriterTest, AFileReplacedUnderItsNameIsAnotherChannel) {
  ShmWriter old_writer = MakeWriter(path_);
  ShmReader old_reader = MakeReader(path_);
  {
    ShmWriter other = MakeWriter(dir_.File("other.kekbit"));
    ASSERT_THAT(other.Write(AsBytes("other")), IsOk());
  }
  ASSERT_EQ(::rename(dir_.File("other.kekbit").c_str(), path_.c_str()), 0);
  ASSERT_THAT(old_writer.Write(AsBytes("old")), IsOk());
  // Readers of the old channel go on with it; new readers read the other, whose writer is gone.
  EXPECT_EQ(AsText(*old_reader.TryRead()), "old");
  EXPECT_THAT(old_reader.WriterAlive(), IsOkAndHolds(true));
  ShmReader reader = MakeReader(path_);
  EXPECT_THAT(ReadAll(reader), testing::ElementsAre("other"));
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(false));
}

TEST_F(OneWriterTest, OfSeveralThreadsOneMakesTheChannel) {
  constexpr int kThreads = 4;
  for (int round = 0; round < 20; ++round) {
    const std::string path = dir_.File(absl::StrCat("t", round, ".kekbit"));
    std::vector<absl::StatusOr<ShmWriter>> writers;
    for (int i = 0; i < kThreads; ++i) writers.emplace_back(absl::UnknownError("not run"));
    SharedWords start(1);
    std::vector<std::thread> threads;
    for (auto& writer : writers) {
      threads.emplace_back([&] {
        start.AwaitAtLeast(0, 1);
        writer = ShmWriter::CreateAt(path, MakeHeader(), QuietWriter());
      });
    }
    start.Set(0, 1);
    for (std::thread& thread : threads) thread.join();
    int winners = 0;
    for (const auto& writer : writers) {
      if (writer.ok()) ++winners;
      EXPECT_THAT(writer, testing::AnyOf(IsOk(), StatusIs(StatusCode::kAlreadyExists)));
    }
    EXPECT_EQ(winners, 1);
  }
}

}  // namespace
}  // namespace kekbit
