// BlockingReader and WakeEvent: sleepers are woken, and cost nothing while they sleep.

#include "kekbit/blocking_reader.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/wake_event.h"
#include "tests/support/child_process.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

// A reader that nobody wakes looks for itself when it asks whether the writer lives, every 100 ms.
// So a reader that mostly sees a record sooner is woken.
constexpr absl::Duration kWoken = absl::Milliseconds(50);
constexpr int kTries = 8;

const WriterOptions kWaking = {.touch_ahead_bytes = 0};

uint32_t WakeWord(const std::string& wake_path) {
  return LoadUnaligned<uint32_t>(reinterpret_cast<const uint8_t*>(ReadFileBytes(wake_path).data()));
}

// Waits until somebody has announced to sleep.
void AwaitSleeper(const std::string& wake_path) {
  while ((WakeWord(wake_path) & 1) == 0) std::this_thread::yield();
}

absl::Duration Median(std::vector<absl::Duration> durations) {
  std::sort(durations.begin(), durations.end());
  return durations[durations.size() / 2];
}

int64_t ThreadCpuNanos() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

class BlockingReaderTest : public testing::Test {
 protected:
  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
  std::string wake_path_ = dir_.File("channel.wake");
};

TEST_F(BlockingReaderTest, ReadsWhatIsThereWithoutWaiting) {
  ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  BlockingReader reader(MakeReader(path_));
  EXPECT_TRUE(reader.is_woken());
  EXPECT_EQ(AsText(*reader.Read(absl::InfiniteDuration())), "a");
}

TEST_F(BlockingReaderTest, GivesUpWhenTheTimeIsOver) {
  const ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
  BlockingReader reader(MakeReader(path_));
  EXPECT_EQ(reader.Read(absl::ZeroDuration()), std::nullopt);
  const absl::Time begin = absl::Now();
  EXPECT_EQ(reader.Read(absl::Milliseconds(20)), std::nullopt);
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
  EXPECT_FALSE(reader.abandoned());
}

TEST_F(BlockingReaderTest, IsWokenInAnotherThread) {
  ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
  BlockingReader reader(MakeReader(path_));
  std::vector<absl::Duration> latencies;
  for (int i = 0; i < kTries; ++i) {
    absl::Time read_at;
    std::thread thread([&] {
      EXPECT_TRUE(reader.Read(absl::InfiniteDuration()).has_value());
      read_at = absl::Now();
    });
    AwaitSleeper(wake_path_);
    const absl::Time written_at = absl::Now();
    ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
    thread.join();
    latencies.push_back(read_at - written_at);
  }
  EXPECT_LT(Median(latencies), kWoken);
}

TEST_F(BlockingReaderTest, IsWokenInAnotherProcess) {
  SharedWords words(2);  // how many records were read; when the last was
  ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
  ChildProcess child([&] {
    BlockingReader reader(MakeReader(path_));
    for (uint64_t i = 1; reader.Read(absl::InfiniteDuration()).has_value(); ++i) {
      words.Set(1, static_cast<uint64_t>(absl::GetCurrentTimeNanos()));
      words.Set(0, i);
    }
    return reader.reader().channel_end() == ChannelEnd::kClosed ? 0 : 1;
  });
  std::vector<absl::Duration> latencies;
  for (uint64_t i = 1; i <= kTries; ++i) {
    AwaitSleeper(wake_path_);
    const int64_t written_at = absl::GetCurrentTimeNanos();
    ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
    words.AwaitAtLeast(0, i);
    latencies.push_back(absl::Nanoseconds(static_cast<int64_t>(words.Get(1)) - written_at));
  }
  EXPECT_LT(Median(latencies), kWoken);
  AwaitSleeper(wake_path_);
  { const ShmWriter closed = std::move(writer); }
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(BlockingReaderTest, SleepsAtNoCpu) {
  const ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
  BlockingReader reader(MakeReader(path_));
  rusage before, after;
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
  const int64_t cpu_before = ThreadCpuNanos();
  EXPECT_EQ(reader.Read(absl::Milliseconds(500)), std::nullopt);
  const int64_t cpu = ThreadCpuNanos() - cpu_before;
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
  // The reader wakes each 100 ms to ask for the writer. A spinning reader takes 500 ms; one that
  // looks each ms sleeps 500 times.
  EXPECT_LT(cpu, 25'000'000);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 50);
}

TEST_F(BlockingReaderTest, EndsWithTheChannel) {
  std::optional<ShmWriter> writer = MakeWriter(path_, kSmallChannel, kWaking);
  std::thread thread([&] {
    BlockingReader reader(MakeReader(path_));
    EXPECT_EQ(reader.Read(absl::InfiniteDuration()), std::nullopt);
    EXPECT_TRUE(reader.reader().exhausted());
    EXPECT_FALSE(reader.abandoned());
  });
  AwaitSleeper(wake_path_);
  writer.reset();
  thread.join();
}

TEST_F(BlockingReaderTest, FindsThatTheWritersProcessWasKilled) {
  SharedWords words(1);
  ChildProcess child([&] {
    ShmWriter writer = MakeWriter(path_, kSmallChannel, kWaking);
    for (const char* payload : {"a", "b"}) {
      if (!writer.Write(AsBytes(payload)).ok()) return 1;
    }
    words.Set(0, 1);
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  BlockingReader reader(MakeReader(path_));
  EXPECT_EQ(AsText(*reader.Read(absl::InfiniteDuration())), "a");
  // Kill while the reader sleeps, if it gets so far.
  std::thread killer([&] {
    AwaitSleeper(wake_path_);
    child.Kill();
  });
  EXPECT_EQ(AsText(*reader.Read(absl::InfiniteDuration())), "b");
  EXPECT_EQ(reader.Read(absl::InfiniteDuration()), std::nullopt);
  killer.join();
  EXPECT_TRUE(reader.abandoned());
  EXPECT_FALSE(reader.reader().exhausted());
}

TEST_F(BlockingReaderTest, LooksForItselfWhereNobodyWakes) {
  ShmWriter writer = MakeWriter(path_);
  SharedWords words(1);
  std::thread thread([&] {
    BlockingReader reader(MakeReader(path_));
    EXPECT_FALSE(reader.is_woken());
    words.Set(0, 1);
    EXPECT_EQ(AsText(*reader.Read(absl::InfiniteDuration())), "a");
  });
  words.AwaitAtLeast(0, 1);
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  thread.join();
}

// A reader that waits for a channel to be made may have it open before the writer has made the
// event's file.
TEST_F(BlockingReaderTest, FindsAnEventThatIsMadeLater) {
  ShmWriter writer = MakeWriter(path_);
  BlockingReader reader(MakeReader(path_));
  EXPECT_FALSE(reader.is_woken());
  ASSERT_THAT(WakeEvent::OpenForWriter(FileSystem::Posix(), wake_path_), IsOk());
  EXPECT_EQ(reader.Read(absl::Milliseconds(2)), std::nullopt);
  EXPECT_TRUE(reader.is_woken());
}

TEST_F(BlockingReaderTest, SeveralChannelsMayShareOneEvent) {
  const std::string wake = dir_.File("shared.wake");
  ShmWriter writer = MakeWriter(path_, kSmallChannel, {.wake_path = wake, .touch_ahead_bytes = 0});
  std::thread thread([&] {
    BlockingReader reader(MakeReader(path_), FileSystem::Posix(), wake);
    EXPECT_TRUE(reader.is_woken());
    EXPECT_EQ(AsText(*reader.Read(absl::InfiniteDuration())), "a");
  });
  AwaitSleeper(wake);
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  thread.join();
}

class WakeEventTest : public BlockingReaderTest {
 protected:
  FileSystem& fs_ = FileSystem::Posix();
};

TEST_F(WakeEventTest, AnotherFileIsRefusedAndLeftAsItIs) {
  for (const std::string& text : {std::string("somebody's notes"), std::string(64, 'x'), std::string(100, '\0')}) {
    WriteFileBytes(wake_path_, text);
    EXPECT_THAT(WakeEvent::OpenForWriter(fs_, wake_path_), StatusIs(StatusCode::kFailedPrecondition));
    EXPECT_THAT(WakeEvent::OpenForReader(fs_, wake_path_), StatusIs(StatusCode::kFailedPrecondition));
    EXPECT_EQ(ReadFileBytes(wake_path_), text);
    ::unlink(wake_path_.c_str());
  }
}

TEST_F(WakeEventTest, OpenForReaderWantsTheFile) {
  EXPECT_THAT(WakeEvent::OpenForReader(fs_, wake_path_), StatusIs(StatusCode::kNotFound));
  ASSERT_THAT(WakeEvent::OpenForWriter(fs_, wake_path_), IsOk());
  EXPECT_THAT(WakeEvent::OpenForReader(fs_, wake_path_), IsOk());
}

TEST_F(WakeEventTest, NotifyChangesNothingWhileNobodySleeps) {
  KB_ASSERT_OK_AND_ASSIGN(WakeEvent event, WakeEvent::OpenForWriter(fs_, wake_path_));
  for (int i = 0; i < 3; ++i) event.Notify();
  EXPECT_EQ(WakeWord(wake_path_), 0u);
}

TEST_F(WakeEventTest, ATicketIsSpentByTheNextNotify) {
  KB_ASSERT_OK_AND_ASSIGN(WakeEvent writer, WakeEvent::OpenForWriter(fs_, wake_path_));
  KB_ASSERT_OK_AND_ASSIGN(WakeEvent reader, WakeEvent::OpenForReader(fs_, wake_path_));
  const uint32_t ticket = reader.Prepare();
  EXPECT_EQ(WakeWord(wake_path_), ticket);
  EXPECT_EQ(ticket & 1, 1u);
  writer.Notify();
  EXPECT_EQ(WakeWord(wake_path_), ticket + 1);
  // Otherwise the reader would sleep for the hour, and the test, too.
  reader.Wait(ticket, absl::Hours(1));
  EXPECT_NE(reader.Prepare(), ticket);
}

TEST_F(WakeEventTest, OneNotifyWakesAllSleepers) {
  KB_ASSERT_OK_AND_ASSIGN(WakeEvent writer, WakeEvent::OpenForWriter(fs_, wake_path_));
  SharedWords words(3);
  const auto sleeper = [&](size_t i) {
    return [&, i] {
      KB_ASSERT_OK_AND_ASSIGN(WakeEvent reader, WakeEvent::OpenForReader(fs_, wake_path_));
      const uint32_t ticket = reader.Prepare();
      words.Set(i, 1);
      words.AwaitAtLeast(2, 1);
      reader.Wait(ticket, absl::Hours(1));
    };
  };
  std::thread first(sleeper(0)), second(sleeper(1));
  words.AwaitAtLeast(0, 1);
  words.AwaitAtLeast(1, 1);
  words.Set(2, 1);
  writer.Notify();
  first.join();
  second.join();
}

TEST_F(WakeEventTest, UnsharedIsForNobody) {
  WakeEvent event = WakeEvent::Unshared();
  const uint32_t ticket = event.Prepare();
  event.Notify();
  event.Wait(ticket, absl::Hours(1));
  EXPECT_EQ(dir_.Listing(), "");
}

}  // namespace
}  // namespace kekbit
