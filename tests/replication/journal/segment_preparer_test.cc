#include "kekbit/replication/journal/segment_preparer.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

constexpr uint32_t kCapacity = 3u << 20;

class SegmentPreparerTest : public testing::Test {
 protected:
  // Returns what the preparer has ready in the end. A caller that asks before it has begun takes
  // the wish back.
  static PreparedChannelFile Await(SegmentPreparer& preparer, uint32_t capacity = kCapacity) {
    for (;;) {
      preparer.Prepare(capacity);
      if (std::optional<PreparedChannelFile> prepared = preparer.Take(capacity)) return *std::move(prepared);
      std::this_thread::yield();
    }
  }

  int64_t CountCalls(const std::string& name) const {
    const std::vector<std::string> calls = fs_.calls();
    return std::count(calls.begin(), calls.end(), name);
  }

  TempDir dir_;
  FaultyFileSystem fs_;
};

TEST_F(SegmentPreparerTest, TouchesSoMuchAndSyncsNothing) {
  SegmentPreparer preparer(fs_, dir_.path(), 1u << 20);
  const PreparedChannelFile prepared = Await(preparer);
  EXPECT_EQ(prepared.capacity, kCapacity);
  EXPECT_EQ(prepared.touched_bytes, 1u << 20);
  EXPECT_EQ(CountCalls("MappedFile::Sync"), 0);
}

TEST_F(SegmentPreparerTest, SyncsAllOfASegmentWhoseFramesWillBeSynced) {
  SegmentPreparer preparer(fs_, dir_.path(), 1u << 20, true);
  const PreparedChannelFile prepared = Await(preparer);
  EXPECT_EQ(prepared.touched_bytes, ChannelFileBytes(kCapacity));
  // Each piece after it was touched: what is not dirty is not written.
  EXPECT_EQ(CountCalls("Touch"), CountCalls("MappedFile::Sync"));
  EXPECT_GE(CountCalls("MappedFile::Sync"), 4);
}

TEST_F(SegmentPreparerTest, WhatCouldNotBeTouchedIsReadyAllTheSame) {
  fs_.FailCalls("Touch", absl::UnavailableError("planted"));
  SegmentPreparer preparer(fs_, dir_.path(), 1u << 20, true);
  EXPECT_EQ(Await(preparer).touched_bytes, 0u);
}

// A journal that has just begun makes its first segment itself; the preparer makes the second.
TEST_F(SegmentPreparerTest, AskedTooEarlyItHasTheSegmentReadyForTheNextTime) {
  SegmentPreparer preparer(fs_, dir_.path(), 1u << 20);
  preparer.Prepare(kCapacity);
  while (CountCalls("CreateUnnamed") == 0) std::this_thread::yield();
  std::optional<PreparedChannelFile> prepared = preparer.Take(kCapacity);
  while (!prepared) prepared = preparer.Take(kCapacity);
  EXPECT_EQ(CountCalls("CreateUnnamed"), 1);
}

TEST_F(SegmentPreparerTest, OneOfAnotherCapacityIsNotGivenAndMakesWay) {
  SegmentPreparer preparer(fs_, dir_.path(), 0);
  preparer.Prepare(kCapacityMin);
  while (CountCalls("TryLock") == 0) std::this_thread::yield();
  EXPECT_FALSE(preparer.Take(kCapacity).has_value());
  EXPECT_EQ(Await(preparer).capacity, kCapacity);
  EXPECT_FALSE(preparer.Take(kCapacityMin).has_value());
}

// Nobody knows what it holds.
TEST_F(SegmentPreparerTest, AFileWhoseSyncFailedIsThrownAway) {
  for (uint64_t n = 1; fs_.failed_call() != "MappedFile::Sync"; ++n) {
    ASSERT_LT(n, 100u);
    fs_.FailCall(n, absl::DataLossError("planted"));
    SegmentPreparer preparer(fs_, dir_.path(), 0, true);
    Await(preparer);
  }
  EXPECT_GE(CountCalls("CreateUnnamed"), 2);
}

}  // namespace
}  // namespace kekbit
