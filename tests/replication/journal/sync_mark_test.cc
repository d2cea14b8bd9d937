#include "kekbit/replication/journal/sync_mark.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class SyncMarkTest : public testing::Test {
 protected:
  SyncMark Open() {
    auto mark = SyncMark::Open(fs_, path_);
    EXPECT_THAT(mark.status(), IsOk());
    return *std::move(mark);
  }

  FaultyFileSystem fs_;
  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("synced");
};

TEST_F(SyncMarkTest, BeginsWithNothingSynced) {
  const SyncMark mark = Open();
  EXPECT_EQ(mark.synced(), 0u);
  EXPECT_EQ(mark.poisoned(), 0u);
}

TEST_F(SyncMarkTest, AdvancesAndNeverGoesBack) {
  SyncMark mark = Open();
  mark.Advance(41);
  EXPECT_EQ(mark.synced(), 41u);
  mark.Advance(7);
  EXPECT_EQ(mark.synced(), 41u);
}

TEST_F(SyncMarkTest, IsSeenByAllWhoHaveItOpenAndByThoseWhoComeLater) {
  const SyncMark other = Open();
  {
    SyncMark mark = Open();
    mark.Advance(41);
    mark.Poison(3);
  }
  EXPECT_EQ(other.synced(), 41u);
  EXPECT_EQ(other.poisoned(), 3u);
  KB_ASSERT_OK_AND_ASSIGN(const SyncMark later, SyncMark::OpenForReading(fs_, path_));
  EXPECT_EQ(later.synced(), 41u);
  EXPECT_EQ(later.poisoned(), 3u);
}

TEST_F(SyncMarkTest, TheFirstPoisonedSegmentIsKeptUntilItIsCleared) {
  SyncMark mark = Open();
  mark.Poison(4);
  mark.Poison(5);
  EXPECT_EQ(mark.poisoned(), 4u);
  mark.Poison(3);
  EXPECT_EQ(mark.poisoned(), 3u);
  ASSERT_THAT(mark.ClearPoison(), IsOk());
  EXPECT_EQ(Open().poisoned(), 0u);
}

TEST_F(SyncMarkTest, KnowsTheStartOfTheMachine) {
  KB_ASSERT_OK_AND_ASSIGN(const uint64_t boot, SyncMark::CurrentBoot(fs_));
  EXPECT_NE(boot, 0u);
  EXPECT_THAT(SyncMark::CurrentBoot(fs_), IsOkAndHolds(boot));
  SyncMark mark = Open();
  EXPECT_EQ(mark.boot(), 0u);
  mark.SetBoot(boot);
  EXPECT_EQ(Open().boot(), boot);
  fs_.FailCalls("Open", absl::NotFoundError("planted"));
  EXPECT_THAT(SyncMark::CurrentBoot(fs_), IsOkAndHolds(0u));
}

// Taken for "not known", one EMFILE made a torn tail of damage.
TEST_F(SyncMarkTest, AStartOfTheMachineThatCanNotBeAskedForIsAnError) {
  for (const char* call : {"Open", "ReadAt"}) {
    fs_.FailCalls(call, absl::ResourceExhaustedError("planted"));
    EXPECT_TRUE(IsTransient(SyncMark::CurrentBoot(fs_).status())) << call;
  }
}

TEST_F(SyncMarkTest, WhoOnlyLooksMakesNothing) {
  EXPECT_THAT(SyncMark::OpenForReading(fs_, path_).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  EXPECT_EQ(dir_.Listing(), "");
}

TEST_F(SyncMarkTest, AnotherFileIsRefused) {
  Open();
  const std::string whole = ReadFileBytes(path_);
  for (size_t i = 0; i < 8; ++i) {
    std::string other = whole;
    other[i] = static_cast<char>(other[i] ^ 1);
    WriteFileBytes(path_, other);
    EXPECT_THAT(SyncMark::Open(fs_, path_).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFileBytes(path_, whole.substr(0, size));
    EXPECT_THAT(SyncMark::Open(fs_, path_).status(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(absl::StrCat(size, " bytes"))));
  }
}

TEST_F(SyncMarkTest, EachCallThatFailsLeavesAWholeFileOrNone) {
  for (uint64_t n = 1;; ++n) {
    const std::string path = dir_.File(absl::StrCat("synced", n));
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    const absl::Status status = SyncMark::Open(fs_, path).status();
    if (!fs_.failed()) break;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted"))) << fs_.failed_call();
    fs_.Heal();
    EXPECT_THAT(SyncMark::OpenForReading(fs_, path).status(),
                AnyOf(IsOk(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path))));
    EXPECT_THAT(SyncMark::Open(fs_, path).status(), IsOk());
  }
}

}  // namespace
}  // namespace kekbit
