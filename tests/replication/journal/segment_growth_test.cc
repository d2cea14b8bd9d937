// A reign's segments: a short one first, then longer ones, and each as long as what must lie in it.

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_file.h"
#include "kekbit/replication/journal/segment_size.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::ElementsAre;

constexpr uint32_t kMiB = 1u << 20;

TEST(SegmentSizeTest, TheFirstIsShortAndTheNextFourTimesAsLong) {
  EXPECT_EQ(FirstSegmentBytes(64 * kMiB), kMiB);
  EXPECT_EQ(FirstSegmentBytes(64 << 10), 64u << 10);
  EXPECT_EQ(NextSegmentBytes(kMiB, 64 * kMiB), 4 * kMiB);
  EXPECT_EQ(NextSegmentBytes(16 * kMiB, 64 * kMiB), 64 * kMiB);
  EXPECT_EQ(NextSegmentBytes(64 * kMiB, 64 * kMiB), 64 * kMiB);
  EXPECT_EQ(NextSegmentBytes(16 * kMiB, 20 * kMiB), 20 * kMiB);
  EXPECT_EQ(NextSegmentBytes(kCapacityMax, kCapacityMax), kCapacityMax);
  // A record of the wanted length, and records of the wanted length in all.
  EXPECT_EQ(NextSegmentBytes(kMiB, 64 * kMiB, 100'000), 128 * (100'000 + 8));
  EXPECT_EQ(NextSegmentBytes(kMiB, 64 * kMiB, 100, 30 * kMiB), 30 * kMiB);
  EXPECT_EQ(NextSegmentBytes(kMiB, 64 * kMiB, 100, 100 * kMiB), 64 * kMiB);
}

class SegmentGrowthTest : public testing::Test {
 protected:
  std::vector<uint32_t> Capacities() const {
    std::vector<uint32_t> capacities;
    for (const SegmentNumber number : journal_.Segments()) {
      const std::string path = journal_.layout().segment(number);
      capacities.push_back(
          static_cast<uint32_t>(ValueOrDie(OpenChannelFile(FileSystem::Posix(), path)).header.capacity()));
    }
    return capacities;
  }
  // A batch of `count` commands of `size` bytes.
  static auto Encode(size_t size) {
    return [size](size_t i, MutableBytes to) -> absl::StatusOr<size_t> {
      if (to.size() < size) return absl::ResourceExhaustedError("no room");
      std::memset(to.data(), static_cast<int>(i % 100), size);
      return size;
    };
  }

  TempDir dir_;
  TestJournal journal_{dir_.path(), FileSystem::Posix(), 16 * kMiB};
};

TEST_F(SegmentGrowthTest, EachReignBeginsAnew) {
  for (int reign = 0; reign < 2; ++reign) {
    JournalWriter writer = journal_.Begin();
    const uint64_t before = writer.written_bytes();
    for (int i = 0; i < 380; ++i) ASSERT_THAT(Append(writer, std::string(100'000, 'x')), IsOk());
    EXPECT_GE(writer.written_bytes() - before, 38'000'000u);
  }
  // The first one had no room for such a command.
  EXPECT_THAT(Capacities(),
              ElementsAre(kMiB, 12'806'144, 16 * kMiB, 16 * kMiB, kMiB, 12'806'144, 16 * kMiB, 16 * kMiB));
}

TEST_F(SegmentGrowthTest, ACommandThatAnySegmentTakesIsNeverRefused) {
  JournalWriter writer = journal_.Begin();
  EXPECT_EQ(writer.command_bytes_max(), 16 * kMiB / 128 - 8 - 40);
  // What no segment takes is refused at once.
  EXPECT_THAT(Append(writer, std::string(writer.command_bytes_max() + 1, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Capacities(), ElementsAre(kMiB));
  ASSERT_THAT(Append(writer, std::string(writer.command_bytes_max(), 'x')), IsOk());
  EXPECT_THAT(Capacities(), ElementsAre(kMiB, 16 * kMiB));
  EXPECT_EQ(journal_.Texts().back().size(), writer.command_bytes_max());
}

TEST_F(SegmentGrowthTest, ABatchThatAnySegmentTakesIsNeverRefused) {
  JournalWriter writer = journal_.Begin();
  EXPECT_THAT(writer.AppendBatch(200, Encode(100'000), 1), StatusIs(absl::StatusCode::kResourceExhausted));
  const size_t refused = journal_.Segments().size();
  EXPECT_THAT(writer.AppendBatch(200, Encode(100'000), 1), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(journal_.Segments().size(), refused);
  ASSERT_THAT(writer.AppendBatch(160, Encode(100'000), 1), IsOk());
  EXPECT_EQ(Capacities().back(), 16 * kMiB);
  EXPECT_EQ(journal_.Texts().size(), 160u);
  // Of several commands, the longest counts, too.
  ASSERT_THAT(writer.AppendBatch(2, Encode(writer.command_bytes_max()), 1), IsOk());
}

}  // namespace
}  // namespace kekbit
