#include "tally.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "replication/frame.h"
#include "replication/replica.h"

namespace tally {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);

std::unique_ptr<Replica> MustOpen(const std::string& directory) {
  absl::StatusOr<std::unique_ptr<Replica>> replica = OpenReplica(directory);
  EXPECT_TRUE(replica.ok()) << replica.status();
  return replica.ok() ? *std::move(replica) : nullptr;
}

TEST(TallyTest, StandbyFollowsAndTakesOver) {
  const std::string directory = absl::StrCat(testing::TempDir(), "/tally");
  std::unique_ptr<Replica> first = MustOpen(directory);
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(first->WaitForRole(kekbit::Role::kPrimary, kLong)) << first->status();
  std::unique_ptr<Replica> standby = MustOpen(directory);
  ASSERT_NE(standby, nullptr);

  const absl::StatusOr<Replica::Executed> added = first->Execute({.name = "apples", .amount = 40});
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(added->result, 40);
  const absl::StatusOr<int64_t> seen =
      standby->ReadAt(added->position, kLong, [](const Tally& tally) { return tally.sums.at("apples"); });
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(*seen, 40);

  first.reset();
  ASSERT_TRUE(standby->WaitForRole(kekbit::Role::kPrimary, kLong)) << standby->status();
  const absl::StatusOr<Replica::Executed> more = standby->Execute({.name = "apples", .amount = 2});
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->result, 42);
}

TEST(FrameTest, OnlyANameAndANumberIsACommand) {
  const std::optional<Add> add = Frame{" apples -40 "}.ToCommand();
  ASSERT_TRUE(add.has_value());
  EXPECT_EQ(add->name, "apples");
  EXPECT_EQ(add->amount, -40);
  for (const char* line : {"", "apples", "apples x", "apples 1 2"}) {
    EXPECT_FALSE(Frame{line}.ToCommand().has_value()) << line;
  }
}

}  // namespace
}  // namespace tally
