// P10, the half before the disk is full: below the floor commands are refused, and taken again when
// there is room.

#include "kekbit/base/free_space.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kHuge = uint64_t{1} << 62;

TEST(EnoughSpaceTest, RefusesBelowTheFloorAndTakesAgainFromTheHigherMarkOn) {
  const FreeSpaceLimits limits = {.floor_bytes = 100, .resume_bytes = 150};
  EXPECT_TRUE(EnoughSpace(limits, true, 150));
  EXPECT_TRUE(EnoughSpace(limits, true, 100));
  EXPECT_FALSE(EnoughSpace(limits, true, 99));
  EXPECT_FALSE(EnoughSpace(limits, false, 100));
  EXPECT_FALSE(EnoughSpace(limits, false, 149));
  EXPECT_TRUE(EnoughSpace(limits, false, 150));
}

TEST(EnoughSpaceTest, AMarkBelowTheFloorCountsAsTheFloor) {
  const FreeSpaceLimits limits = {.floor_bytes = 100, .resume_bytes = 10};
  EXPECT_FALSE(EnoughSpace(limits, false, 99));
  EXPECT_TRUE(EnoughSpace(limits, false, 100));
}

TEST(EnoughSpaceTest, WithoutAFloorThereIsAlwaysEnough) {
  EXPECT_TRUE(EnoughSpace({}, true, 0));
  EXPECT_TRUE(EnoughSpace({}, false, 0));
}

class FreeSpaceTest : public testing::Test {
 protected:
  TempDir dir_;
  FaultyFileSystem fs_;
};

TEST_F(FreeSpaceTest, ThereIsEnoughUntilALookSaysOtherwise) {
  FreeSpace space({.floor_bytes = kHuge});
  EXPECT_TRUE(space.enough());
  ASSERT_THAT(space.Look(fs_, dir_.path(), 0), IsOk());
  EXPECT_FALSE(space.enough());
  EXPECT_GT(space.free_bytes(), 0u);
  EXPECT_THAT(space.Refusal(dir_.path()), StatusIs(absl::StatusCode::kResourceExhausted,
                                                   AllOf(HasSubstr(dir_.path()), HasSubstr(absl::StrCat(kHuge)),
                                                         HasSubstr(absl::StrCat(space.free_bytes(), " bytes left")))));
}

TEST_F(FreeSpaceTest, AFloorThatIsKeptRefusesNothing) {
  FreeSpace space({.floor_bytes = 1});
  ASSERT_THAT(space.Look(fs_, dir_.path(), 0), IsOk());
  EXPECT_TRUE(space.enough());
}

TEST_F(FreeSpaceTest, LooksNoMoreOftenThanItIsTold) {
  FreeSpace space({.floor_bytes = 1, .look_every_ns = 100});
  fs_.Heal();
  for (const int64_t now : {-1000, -901, -900, -801, -800}) ASSERT_THAT(space.Look(fs_, dir_.path(), now), IsOk());
  EXPECT_THAT(fs_.calls(), ElementsAre("FreeBytes", "FreeBytes", "FreeBytes"));
}

TEST_F(FreeSpaceTest, WithoutAFloorItDoesNotLook) {
  FreeSpace space({});
  fs_.Heal();
  ASSERT_THAT(space.Look(fs_, "/there/is/no/such", 0), IsOk());
  EXPECT_THAT(fs_.calls(), ElementsAre());
}

TEST_F(FreeSpaceTest, ALookThatFailsChangesNothing) {
  FreeSpace full({.floor_bytes = kHuge, .look_every_ns = 0});
  FreeSpace empty({.floor_bytes = 1, .look_every_ns = 0});
  ASSERT_THAT(full.Look(fs_, dir_.path(), 0), IsOk());
  fs_.FailCalls("FreeBytes", absl::DataLossError("planted"));
  EXPECT_THAT(full.Look(fs_, dir_.path(), 1), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(empty.Look(fs_, dir_.path(), 1), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(full.enough());
  EXPECT_TRUE(empty.enough());
}

}  // namespace
}  // namespace kekbit
