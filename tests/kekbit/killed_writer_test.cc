// P2, for a channel: what a writer has published survives its death by SIGKILL at any instruction.
// No reader ever sees a torn record. Each payload says itself which record it is of and whether it
// is whole.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/checked_payload.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stepped_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

constexpr HeaderOptions kChannel = {.capacity = 1 << 20, .max_msg_len = 112, .creation_time = 1};
constexpr size_t kLongest = 112;

// Writes record `number`, whose payload this is, in the way that is its turn.
bool WriteRecord(ShmWriter& writer, uint64_t number, Bytes payload) {
  if (number % 3 == 0) {
    const absl::StatusOr<MutableBytes> claim = writer.ClaimMost();
    if (!claim.ok()) return false;
    if (claim->size() < payload.size()) {
      writer.Abort();
      return false;
    }
    std::memcpy(claim->data(), payload.data(), payload.size());
    writer.Publish(payload.size());
    return true;
  }
  if (!writer.Write(payload).ok()) return false;
  return number % 5 != 0 || writer.Heartbeat().ok();
}

// Returns how many whole records, in order and without a hole, a fresh reader finds; fails the test
// at anything else.
uint64_t CountWholeRecords(const std::string& path) {
  ShmReader reader = MakeReader(path);
  uint64_t number = 0;
  for (const Bytes payload : reader) {
    if (!IsCheckedPayload(payload, number, kLongest)) {
      ADD_FAILURE() << "record " << number << " is torn";
      break;
    }
    ++number;
  }
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_NE(reader.channel_end(), ChannelEnd::kClosed);
  return number;
}

TEST(KilledWriterTest, AtRandomMoments) {
  constexpr int kRounds = 200;
  const TempDir dir = TempDir::InMemory();
  std::mt19937 random(301);
  uint64_t acknowledged_in_all = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string path = dir.File(absl::StrCat(round));
    SharedWords words(1);  // how many writes have returned
    ChildProcess child([&] {
      ShmWriter writer = MakeWriter(path, kChannel, QuietWriter());
      for (uint64_t number = 0; WriteRecord(writer, number, CheckedPayload(number, kLongest)); ++number) {
        words.Set(0, number + 1);
      }
      // Full before it was killed: that is a moment, too.
      for (;;) ::pause();
    });
    words.AwaitAtLeast(0, 1 + random() % 5000);
    child.Kill();
    const uint64_t acknowledged = words.Get(0);
    const uint64_t found = CountWholeRecords(path);
    ASSERT_GE(found, acknowledged) << "round " << round;
    // One that was published and not acknowledged yet may be there.
    ASSERT_LE(found, acknowledged + 1) << "round " << round;
    EXPECT_THAT(MakeReader(path).WriterAlive(), IsOkAndHolds(false));
    acknowledged_in_all += acknowledged;
    ASSERT_EQ(::unlink(path.c_str()), 0);
  }
  RecordProperty("acknowledged", absl::StrCat(acknowledged_in_all));
  EXPECT_GT(acknowledged_in_all, 100'000u);
}

// EveryInstruction looks at the channel after each single instruction of a writer. Killed at that
// instruction, the writer would leave just that for good.
class EveryInstruction {
 public:
  EveryInstruction(ShmReader reader, const SharedWords& words) : reader_(std::move(reader)), words_(words) {}

  // False at the first thing wrong.
  bool Check() {
    ++instructions_;
    while (const auto payload = reader_.TryRead()) {
      if (!IsCheckedPayload(*payload, found_, kLongest)) return Fail("a torn record");
      ++found_;
    }
    const uint64_t acknowledged = words_.Get(0);
    if (found_ < acknowledged) return Fail("an acknowledged record is not there");
    if (found_ > acknowledged + 1) return Fail("a record that was not written yet");
    return reader_.status().ok() || Fail("damage");
  }

  uint64_t instructions() const { return instructions_; }
  uint64_t found() const { return found_; }
  ShmReader& reader() { return reader_; }

 private:
  bool Fail(const char* what) {
    ADD_FAILURE() << what << ": record " << found_ << ", instruction " << instructions_ << ", acknowledged "
                  << words_.Get(0) << "; " << reader_.status();
    return false;
  }

  ShmReader reader_;
  const SharedWords& words_;
  uint64_t instructions_ = 0;
  uint64_t found_ = 0;
};

// Writing by copies and by claims, heartbeats, and the closing.
TEST(KilledWriterTest, AtEachInstruction) {
  constexpr uint64_t kRecords = 60;
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("channel");
  SharedWords words(1);
  SteppedProcess child([&] {
    std::vector<std::vector<uint8_t>> payloads;
    for (uint64_t number = 0; number < kRecords; ++number) payloads.push_back(CheckedPayload(number, kLongest));
    {
      ShmWriter writer = MakeWriter(path, kChannel, QuietWriter());
      SteppedProcess::Begin();
      for (uint64_t number = 0; number < kRecords; ++number) {
        if (!WriteRecord(writer, number, payloads[number])) return 1;
        words.Set(0, number + 1);
      }
    }
    return 0;
  });
  if (!child.can_step()) GTEST_SKIP() << "ptrace is forbidden here";
  EveryInstruction check(MakeReader(path), words);
  while (check.Check() && child.Step()) {
    // From the beginning now and then: a fresh reader sees the same.
    if (check.instructions() % 4096 == 0) {
      ShmReader fresh = MakeReader(path);
      EXPECT_EQ(ReadAll(fresh).size(), check.found());
    }
  }
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(check.found(), kRecords);
  EXPECT_EQ(check.reader().channel_end(), ChannelEnd::kClosed);
  // Fewer would mean that it did not step.
  EXPECT_GT(check.instructions(), 50 * kRecords);
  RecordProperty("instructions", absl::StrCat(check.instructions()));
  std::printf("%lu instructions, each a place to die\n", static_cast<unsigned long>(check.instructions()));
}

}  // namespace
}  // namespace kekbit
