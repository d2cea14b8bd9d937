// The first sample of README.md, as it stands there, compiles, works as described, and can have
// snapshots.

#include "tests/examples/readme_sample.h"

#include "gtest/gtest.h"
#include "kekbit/replication/state_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

static_assert(SnapshotState<Ledger>);

TEST(ReadmeSampleTest, PaysBob) {
  const TempDir dir = TempDir::InMemory();
  EXPECT_THAT(PayBob(dir.path()), IsOkAndHolds(30));
  EXPECT_THAT(PayBob(dir.path()), IsOkAndHolds(60));
}

}  // namespace
}  // namespace kekbit
