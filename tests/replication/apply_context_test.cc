#include "kekbit/replication/apply_context.h"

#include <gtest/gtest.h>

namespace kekbit {
namespace {

// A golden value: a replica of a later build that computes another seed diverges from this one.
TEST(ApplyContextTest, TheRandomSeedOfACommandNeverChanges) {
  constexpr int64_t kTime = 1'700'000'000'000'000'000;
  EXPECT_EQ(ApplyContext(Position{.epoch = 1, .seq = 2}, kTime).random_seed(), 0xBE72065FF08DD9A1);
  EXPECT_EQ(ApplyContext(Position{.epoch = 1, .seq = 3}, kTime).random_seed(), 0xE857B477FE3479E5);
  EXPECT_EQ(ApplyContext(Position{.epoch = 2, .seq = 2}, kTime).random_seed(), 0x77CF53B1CE4F001E);
  EXPECT_EQ(ApplyContext(Position{.epoch = 1, .seq = 2}, -1).random_seed(), 0x50E4F655B573460D);
}

}  // namespace
}  // namespace kekbit
