#include "kekbit/shared_writer.h"

#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/checked_payload.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

constexpr HeaderOptions kChannel = {.capacity = 4 << 20, .max_msg_len = 200, .creation_time = 1};

// All three ways to write, mixed; a record is {thread, number of the record in its thread}.
TEST(SharedWriterTest, RecordsOfSeveralThreadsAreAllThereEachThreadsInOrder) {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kRecords = 5000;
  const TempDir dir = TempDir::InMemory();
  SharedWriter writer(MakeWriter(dir.File("channel"), kChannel));
  const auto write = [&](uint32_t thread) {
    for (uint32_t i = 0; i < kRecords; ++i) {
      const std::array<uint32_t, 2> record = {thread, i};
      const Bytes payload(reinterpret_cast<const uint8_t*>(record.data()), sizeof record);
      absl::StatusOr<uint64_t> written;
      if (i % 3 == 0) {
        written = writer.Write(payload);
      } else if (i % 3 == 1) {
        do {
          written = writer.TryWrite(payload);
        } while (absl::IsUnavailable(written.status()));
      } else {
        written = writer.With([&](ShmWriter& inner) { return inner.Write(payload); });
      }
      ASSERT_THAT(written, IsOkAndHolds(16u));
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) threads.emplace_back(write, t);
  for (std::thread& thread : threads) thread.join();

  ShmReader reader = MakeReader(dir.File("channel"));
  std::array<uint32_t, kThreads> next = {};
  for (const Bytes payload : reader) {
    const auto record = LoadUnaligned<std::array<uint32_t, 2>>(payload.data());
    ASSERT_LT(record[0], kThreads);
    EXPECT_EQ(record[1], next[record[0]]++);
  }
  for (const uint32_t count : next) EXPECT_EQ(count, kRecords);
}

TEST(SharedWriterTest, TryWriteGivesUpWhileAnotherThreadHasTheWriter) {
  const TempDir dir = TempDir::InMemory();
  SharedWriter writer(MakeWriter(dir.File("channel"), kChannel));
  writer.With([&](ShmWriter& inner) {
    std::thread other([&] { EXPECT_THAT(writer.TryWrite(AsBytes("x")), StatusIs(StatusCode::kUnavailable)); });
    other.join();
    EXPECT_EQ(inner.write_offset(), 8u);
  });
  EXPECT_THAT(writer.TryWrite(AsBytes("x")), IsOk());
}

TEST(SharedWriterTest, PassesTheWritersErrorsOn) {
  const TempDir dir = TempDir::InMemory();
  SharedWriter writer(MakeWriter(dir.File("channel"), kChannel));
  EXPECT_THAT(writer.Write({}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.TryWrite({}), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace kekbit
