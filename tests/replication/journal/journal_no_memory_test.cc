// P10: no memory to measure what a short segment does not take is an error of that append alone.

#include <cstring>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

class JournalNoMemoryTest : public testing::Test {
 protected:
  // Less than the longest command of the journal takes.
  static constexpr size_t kNoMemoryFrom = 64 << 10;

  static auto NoMemory() { return StatusIs(absl::StatusCode::kResourceExhausted, testing::HasSubstr("no memory")); }

  TempDir dir_;
  TestJournal journal_{dir_.path(), FileSystem::Posix(), 16 << 20};
};

TEST_F(JournalNoMemoryTest, ACommandIsRefusedAndTheNextOneIsTaken) {
  JournalWriter writer = journal_.Begin();
  const std::string command(20'000, 'x');  // longer than the first segment takes
  {
    const NoMemoryFrom limit(kNoMemoryFrom);
    EXPECT_THAT(Append(writer, command), NoMemory());
  }
  EXPECT_THAT(Append(writer, command), IsOk());
  EXPECT_EQ(journal_.Texts().size(), 1u);
}

TEST_F(JournalNoMemoryTest, ABatchIsRefusedAndTheNextOneIsTaken) {
  JournalWriter writer = journal_.Begin();
  // Longer than the second segment takes: the first has frames already, so that it is left at once.
  const auto encode = [](size_t, MutableBytes to) -> absl::StatusOr<size_t> {
    constexpr size_t kBytes = 60'000;
    if (to.size() < kBytes) return absl::ResourceExhaustedError("no room");
    std::memset(to.data(), 'x', kBytes);
    return kBytes;
  };
  {
    const NoMemoryFrom limit(kNoMemoryFrom);
    EXPECT_THAT(writer.AppendBatch(60, encode, 1), NoMemory());
  }
  EXPECT_THAT(writer.AppendBatch(60, encode, 1), IsOk());
  EXPECT_EQ(journal_.Texts().size(), 60u);
}

}  // namespace
}  // namespace kekbit
