#include "tally.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kekbit/replication/replica.h"

namespace tally {
namespace {

using Replica = kekbit::Replica<Tally>;

constexpr absl::Duration kLong = absl::Seconds(30);

std::unique_ptr<Replica> OpenReplica(const std::string& directory) {
  absl::StatusOr<std::unique_ptr<Replica>> replica = Replica::Open({.directory = directory});
  EXPECT_TRUE(replica.ok()) << replica.status();
  return replica.ok() ? *std::move(replica) : nullptr;
}

TEST(TallyTest, StandbyFollowsAndTakesOver) {
  const std::string directory = absl::StrCat(testing::TempDir(), "/tally");
  std::unique_ptr<Replica> first = OpenReplica(directory);
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(first->WaitForRole(kekbit::Role::kPrimary, kLong)) << first->status();
  std::unique_ptr<Replica> standby = OpenReplica(directory);
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

}  // namespace
}  // namespace tally
