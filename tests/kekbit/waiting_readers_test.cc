// RetryingReader and TimeoutReader.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <thread>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/retrying_reader.h"
#include "kekbit/timeout_reader.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class WaitingReadersTest : public testing::Test {
 protected:
  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(WaitingReadersTest, RetryingReaderReadsAndGivesUp) {
  std::optional<ShmWriter> writer = MakeWriter(path_);
  RetryingReader reader(MakeReader(path_));
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_FALSE(reader.reader().exhausted());
  ASSERT_THAT(writer->Write(AsBytes("a")), IsOk());
  EXPECT_EQ(AsText(*reader.TryRead()), "a");
  writer.reset();
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_TRUE(reader.reader().exhausted());
}

TEST_F(WaitingReadersTest, RetryingReaderSeesWhatAnotherThreadWrites) {
  constexpr int kRecords = 500;
  std::optional<ShmWriter> writer = MakeWriter(path_);
  RetryingReader reader(MakeReader(path_));
  std::thread thread([&] {
    for (int i = 0; i < kRecords; ++i) {
      ASSERT_THAT(writer->Write(AsBytes(std::string(1 + static_cast<size_t>(i % 20), 'x'))), IsOk());
    }
    writer.reset();
  });
  size_t read = 0;
  while (!reader.reader().exhausted()) {
    if (const auto payload = reader.TryRead()) {
      EXPECT_EQ(payload->size(), 1 + read % 20);
      ++read;
    }
  }
  thread.join();
  EXPECT_EQ(read, static_cast<size_t>(kRecords));
}

class TimeoutReaderTest : public WaitingReadersTest {
 protected:
  void Make(uint64_t timeout, TickUnit unit) {
    HeaderOptions options = kSmallChannel;
    options.timeout = timeout;
    options.tick_unit = unit;
    writer_ = MakeWriter(path_, options);
    reader_.emplace(MakeReader(path_), clock_);
    // The first heartbeat.
    EXPECT_EQ(reader_->TryRead(), std::nullopt);
    EXPECT_FALSE(reader_->timed_out());
  }
  // Returns what a look finds after so much time.
  bool TimedOutAfter(int64_t ns) {
    clock_.Advance(ns);
    EXPECT_EQ(reader_->TryRead(), std::nullopt);
    return reader_->timed_out();
  }

  FakeClock clock_;
  std::optional<ShmWriter> writer_;
  std::optional<TimeoutReader> reader_;
};

TEST_F(TimeoutReaderTest, SilenceIsMeasuredFromTheFirstLookThatFoundNothing) {
  Make(100, TickUnit::kNanos);
  EXPECT_FALSE(TimedOutAfter(1'000'000));  // nobody looked until now
  EXPECT_FALSE(TimedOutAfter(99));
  EXPECT_TRUE(TimedOutAfter(1));
  EXPECT_THAT(reader_->status(), StatusIs(StatusCode::kUnavailable, HasSubstr("silent")));
}

TEST_F(TimeoutReaderTest, TheUnitIsTheHeaders) {
  Make(2, TickUnit::kMillis);
  EXPECT_FALSE(TimedOutAfter(0));
  EXPECT_FALSE(TimedOutAfter(1'999'999));
  EXPECT_TRUE(TimedOutAfter(1));
}

TEST_F(TimeoutReaderTest, ARecordAndAHeartbeatEndTheSilence) {
  Make(100, TickUnit::kNanos);
  EXPECT_FALSE(TimedOutAfter(0));
  EXPECT_TRUE(TimedOutAfter(100));
  ASSERT_THAT(writer_->Heartbeat(), IsOk());
  EXPECT_FALSE(TimedOutAfter(0));
  EXPECT_THAT(reader_->status(), IsOk());
  EXPECT_FALSE(TimedOutAfter(0));
  EXPECT_TRUE(TimedOutAfter(100));
  ASSERT_THAT(writer_->Write(AsBytes("late")), IsOk());
  EXPECT_EQ(AsText(*reader_->TryRead()), "late");
  EXPECT_FALSE(reader_->timed_out());
}

TEST_F(TimeoutReaderTest, AJumpOfTheMachinesClockIsNoSilence) {
  Make(100, TickUnit::kSecs);
  EXPECT_FALSE(TimedOutAfter(0));
  clock_.SetRealtime(std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(TimedOutAfter(1));
}

TEST_F(TimeoutReaderTest, AClosedChannelIsNotTimedOut) {
  Make(100, TickUnit::kNanos);
  EXPECT_FALSE(TimedOutAfter(0));
  writer_.reset();
  EXPECT_FALSE(TimedOutAfter(1000));
  EXPECT_TRUE(reader_->reader().exhausted());
  EXPECT_THAT(reader_->status(), IsOk());
}

TEST_F(TimeoutReaderTest, TheLongestTimeoutDoesNotWrap) {
  Make(std::numeric_limits<uint64_t>::max(), TickUnit::kSecs);
  EXPECT_FALSE(TimedOutAfter(0));
  EXPECT_FALSE(TimedOutAfter(1'000'000'000'000'000'000));
}

}  // namespace
}  // namespace kekbit
