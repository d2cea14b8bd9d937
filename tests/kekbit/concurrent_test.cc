// A writer and many readers at once. Every payload verifies itself. So a reader needs no other
// knowledge to see that a record is torn, foreign, missing or shown twice.
//
// In threads, all use the same mapping: ThreadSanitizer sees a race between two accesses only at
// the same address.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/backoff.h"
#include "kekbit/blocking_reader.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/checked_payload.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

constexpr HeaderOptions kChannel = {.capacity = 8 << 20, .max_msg_len = 300, .creation_time = 1};
constexpr size_t kLongest = 300;

// Fills the channel, by copies and by claims, with heartbeats between. Returns how many records the
// channel took.
uint64_t Fill(ShmWriter& writer) {
  uint64_t number = 0;
  for (;; ++number) {
    if (number % 2 == 0) {
      if (!writer.Write(CheckedPayload(number, kLongest)).ok()) break;
    } else {
      const size_t size = CheckedPayloadSize(number, kLongest);
      const absl::StatusOr<MutableBytes> claim = writer.Claim(size);
      if (!claim.ok()) break;
      FillCheckedPayload(number, *claim);
      writer.Publish(size);
    }
    if (number % 7 == 0) writer.Heartbeat().IgnoreError();
  }
  return number;
}

// Returns how many records were read until the channel closed; all ones if one was wrong.
constexpr uint64_t kWrong = ~uint64_t{0};

uint64_t ReadBySpinning(ShmReader reader) {
  uint64_t number = 0;
  Backoff backoff;
  while (!reader.exhausted()) {
    const std::optional<Bytes> payload = reader.TryRead();
    if (!payload) {
      backoff.Pause();
      continue;
    }
    backoff.Reset();
    if (!IsCheckedPayload(*payload, number++, kLongest)) return kWrong;
  }
  return reader.channel_end() == ChannelEnd::kClosed ? number : kWrong;
}

uint64_t ReadInBatches(ShmReader reader) {
  uint64_t number = 0;
  bool wrong = false;
  while (!reader.exhausted() && !wrong) {
    const uint64_t from = reader.position();
    const uint64_t moved =
        reader.Read([&](Bytes payload) { wrong |= !IsCheckedPayload(payload, number++, kLongest); }, 10);
    wrong |= reader.position() != from + moved;
    if (moved == 0) std::this_thread::yield();
  }
  return wrong || reader.channel_end() != ChannelEnd::kClosed ? kWrong : number;
}

uint64_t ReadAsleep(ShmReader reader) {
  BlockingReader blocking(std::move(reader));
  uint64_t number = 0;
  while (const std::optional<Bytes> payload = blocking.Read(absl::InfiniteDuration())) {
    if (!IsCheckedPayload(*payload, number++, kLongest)) return kWrong;
  }
  return blocking.reader().channel_end() == ChannelEnd::kClosed ? number : kWrong;
}

using ReadAllOf = uint64_t (*)(ShmReader);
constexpr ReadAllOf kWays[] = {&ReadBySpinning, &ReadInBatches, &ReadAsleep};

TEST(ConcurrentTest, OneWriterProcessAndThreeReaderProcesses) {
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("channel.kekbit");
  SharedWords words(4);  // what the writer wrote, and each reader read
  std::vector<std::unique_ptr<ChildProcess>> readers;
  for (size_t i = 0; i < 3; ++i) {
    readers.push_back(std::make_unique<ChildProcess>([&, i] {
      words.Set(1 + i, kWays[i](MakeReader(path, {.open_timeout = absl::Minutes(5)})));
      return 0;
    }));
  }
  ChildProcess writer([&] {
    ShmWriter channel = MakeWriter(path, kChannel, {.touch_ahead_bytes = 1 << 20});
    words.Set(0, Fill(channel));
    return 0;
  });
  EXPECT_EQ(writer.Wait(), 0);
  EXPECT_GT(words.Get(0), 40'000u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(readers[i]->Wait(), 0);
    EXPECT_EQ(words.Get(1 + i), words.Get(0)) << "reader " << i;
  }
}

TEST(ConcurrentTest, OneWriterAndThreeReadersOnOneMapping) {
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("channel.kekbit");
  std::optional<ShmWriter> writer = MakeWriter(path, kChannel, {.touch_ahead_bytes = 1 << 20});
  std::vector<uint64_t> read(3);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 3; ++i) {
    KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenShared(path, writer->mapping()));
    threads.emplace_back(
        [&read, i, moved = std::make_shared<ShmReader>(std::move(reader))] { read[i] = kWays[i](std::move(*moved)); });
  }
  const uint64_t written = Fill(*writer);
  writer.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(written, 40'000u);
  EXPECT_THAT(read, testing::Each(written));
}

}  // namespace
}  // namespace kekbit
