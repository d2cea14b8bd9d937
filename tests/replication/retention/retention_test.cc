// The decision alone. P9: the journal is trimmed only up to the older of two verified snapshots.
// P11: a reader holds it up to the cap, then loses its place. The effect on a disk is in
// apply_retention_test.cc.

#include "kekbit/replication/retention/retention.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Seq kAll = 1'000'000;

// Segments 1 to `count`, of 10 frames and 100 bytes each.
std::vector<KeptSegment> Segments(uint64_t count, uint64_t first = 1) {
  std::vector<KeptSegment> segments;
  for (uint64_t i = first; i < first + count; ++i) {
    segments.push_back({.number = i, .follows = {.epoch = 1, .seq = (i - 1) * 10}, .bytes = 100});
  }
  return segments;
}

size_t CutWith(const RetentionLimits& limits, const std::vector<ReaderPlace>& readers = {}) {
  return PlanRetention(Segments(5), readers, limits).cut;
}

TEST(RetentionTest, P9WithoutTwoVerifiedSnapshotsNothingGoes) {
  EXPECT_EQ(CutWith({.older_snapshot = 0, .synced = kAll}), 0u);
  EXPECT_EQ(CutWith({.older_snapshot = 0, .synced = kAll, .cap_bytes = 1}), 0u);
}

TEST(RetentionTest, P9WhatIsBehindTheOlderSnapshotStays) {
  EXPECT_EQ(CutWith({.older_snapshot = 9, .synced = kAll}), 0u);
  EXPECT_EQ(CutWith({.older_snapshot = 10, .synced = kAll}), 1u);
  EXPECT_EQ(CutWith({.older_snapshot = 19, .synced = kAll}), 1u);
  EXPECT_EQ(CutWith({.older_snapshot = 20, .synced = kAll}), 2u);
  // Whatever the cap is.
  EXPECT_EQ(CutWith({.older_snapshot = 19, .synced = kAll, .cap_bytes = 1}), 1u);
}

TEST(RetentionTest, WhatIsNotSyncedStays) {
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = 0}), 0u);
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = 19, .cap_bytes = 1}), 1u);
}

TEST(RetentionTest, TheLastSegmentAndTheOneWrittenToStay) {
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = kAll}), 4u);
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = kAll, .written_segment = 4}), 3u);
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = kAll, .written_segment = 1, .cap_bytes = 1}), 0u);
  EXPECT_EQ(PlanRetention({}, {}, {.older_snapshot = kAll, .synced = kAll}).cut, 0u);
  EXPECT_EQ(PlanRetention(Segments(1), {}, {.older_snapshot = kAll, .synced = kAll}).cut, 0u);
}

TEST(RetentionTest, P11TheSlowestReaderHoldsWhatItWants) {
  const RetentionLimits limits = {.older_snapshot = kAll, .synced = kAll};
  EXPECT_EQ(CutWith(limits, {{.name = "a", .done = 35}, {.name = "b", .done = 9}}), 0u);
  EXPECT_EQ(CutWith(limits, {{.name = "a", .done = 35}, {.name = "b", .done = 10}}), 1u);
  EXPECT_EQ(CutWith(limits, {{.name = "a", .done = 35}, {.name = "b", .done = 30}}), 3u);
  // One that has lost its place holds nothing.
  EXPECT_EQ(CutWith(limits, {{.name = "a", .done = 35}, {.name = "b", .done = 9, .lost = true}}), 3u);
}

TEST(RetentionTest, ItIsKnownHowMuchEachReaderHolds) {
  const auto held = [](const RetentionLimits& limits, const std::vector<ReaderPlace>& readers) {
    return PlanRetention(Segments(5), readers, limits).held_bytes;
  };
  const RetentionLimits all = {.older_snapshot = kAll, .synced = kAll};
  EXPECT_THAT(held(all, {}), IsEmpty());
  // Each by itself, up to the last segment, which stays for nobody's sake.
  EXPECT_THAT(held(all, {{.name = "a", .done = 9}, {.name = "b", .done = 35}}), ElementsAre(400, 100));
  EXPECT_THAT(held(all, {{.name = "a", .done = 25}}), ElementsAre(200));
  EXPECT_THAT(held(all, {{.name = "a", .done = 45}}), ElementsAre(0));
  EXPECT_THAT(held(all, {{.name = "a", .done = 9, .lost = true}}), ElementsAre(0));
  EXPECT_THAT(held(all, {{.name = "a", .unknown = true}}), ElementsAre(400));
  // What the snapshots or the disk need is held by no reader.
  EXPECT_THAT(held({.older_snapshot = 20, .synced = kAll}, {{.name = "a", .done = 9}}), ElementsAre(200));
  EXPECT_THAT(held({.older_snapshot = kAll, .synced = 25}, {{.name = "a", .done = 25}}), ElementsAre(0));
  EXPECT_THAT(held({.older_snapshot = kAll, .synced = kAll, .written_segment = 3}, {{.name = "a", .done = 9}}),
              ElementsAre(200));
}

TEST(RetentionTest, OneThatNobodyHasOrThatHoldsMostIsWorrying) {
  EXPECT_FALSE(HoldIsWorrying(false, 0, 100));
  EXPECT_TRUE(HoldIsWorrying(false, 1, 100));
  EXPECT_FALSE(HoldIsWorrying(true, 50, 100));
  EXPECT_TRUE(HoldIsWorrying(true, 51, 100));
}

TEST(RetentionTest, P11BeyondTheCapTheSlowestReadersLoseTheirPlaceAndNoOthers) {
  RetentionLimits limits = {.older_snapshot = kAll, .synced = kAll, .cap_bytes = 500};
  const std::vector<ReaderPlace> readers = {
      {.name = "a", .done = 35}, {.name = "b", .done = 9}, {.name = "c", .done = 19}, {.name = "d", .done = 20}};
  EXPECT_EQ(PlanRetention(Segments(5), readers, limits).cut, 0u);
  limits.cap_bytes = 499;
  RetentionPlan plan = PlanRetention(Segments(5), readers, limits);
  EXPECT_EQ(plan.cut, 1u);
  EXPECT_EQ(plan.first_kept, 11u);
  EXPECT_EQ(plan.bytes_kept, 400u);
  EXPECT_THAT(plan.losers, ElementsAre(1u));
  limits.cap_bytes = 301;
  plan = PlanRetention(Segments(5), readers, limits);
  EXPECT_EQ(plan.cut, 2u);
  EXPECT_THAT(plan.losers, ElementsAre(1u, 2u));
  limits.cap_bytes = 1;
  plan = PlanRetention(Segments(5), readers, limits);
  EXPECT_EQ(plan.cut, 4u);
  EXPECT_THAT(plan.losers, ElementsAre(0u, 1u, 2u, 3u));
}

TEST(RetentionTest, AReaderWhosePlaceIsUnknownHoldsAllThatTheCapAllows) {
  const std::vector<ReaderPlace> readers = {{.name = "a", .done = 0, .unknown = true}};
  EXPECT_EQ(CutWith({.older_snapshot = kAll, .synced = kAll}, readers), 0u);
  const RetentionPlan plan =
      PlanRetention(Segments(5), readers, {.older_snapshot = kAll, .synced = kAll, .cap_bytes = 300});
  EXPECT_EQ(plan.cut, 2u);
  EXPECT_THAT(plan.losers, IsEmpty());
}

TEST(RetentionTest, AReaderWhosePlaceWasGoneBeforeHoldsNothingAndIsTold) {
  const RetentionPlan plan =
      PlanRetention(Segments(5, 3), {{.name = "a", .done = 19}, {.name = "b", .done = 30}, {.name = "c", .done = 20}},
                    {.older_snapshot = 35, .synced = kAll});
  EXPECT_EQ(plan.cut, 0u);
  EXPECT_EQ(plan.first_kept, 21u);
  EXPECT_THAT(plan.losers, ElementsAre(0u));
}

TEST(RetentionTest, SegmentsWithoutFramesGoWithThoseBefore) {
  std::vector<KeptSegment> segments = Segments(3);
  segments[1].follows.seq = segments[2].follows.seq = 10;
  const RetentionPlan plan = PlanRetention(segments, {}, {.older_snapshot = 10, .synced = 10});
  EXPECT_EQ(plan.cut, 2u);
  EXPECT_EQ(plan.first_kept, 11u);
}

// All that is promised, on journals and readers at random.
TEST(RetentionTest, WhateverThereIsWhatIsWantedStays) {
  std::mt19937_64 random(20240607);
  const auto below = [&random](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
  uint64_t cuts = 0;
  uint64_t losses = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<KeptSegment> segments;
    Seq seq = below(2) * below(50);
    for (uint64_t i = 0, number = 1 + below(5); i < below(8); ++i, ++number) {
      segments.push_back({.number = number, .follows = {.epoch = 1, .seq = seq}, .bytes = 50 + below(100)});
      seq += below(20);
    }
    std::vector<ReaderPlace> readers;
    for (uint64_t i = 0; i < below(4); ++i) {
      readers.push_back({.name = absl::StrCat(i), .done = below(seq + 1), .lost = below(4) == 0});
    }
    const RetentionLimits limits = {.older_snapshot = below(3) == 0 ? 0 : below(seq + 1),
                                    .synced = below(seq + 1),
                                    .written_segment = segments.empty() ? 0 : segments.back().number - below(2),
                                    .cap_bytes = below(2) * below(600)};
    const RetentionPlan plan = PlanRetention(segments, readers, limits);
    if (segments.empty()) {
      ASSERT_EQ(plan.cut, 0u);
      continue;
    }
    ASSERT_LT(plan.cut, segments.size());
    ASSERT_EQ(plan.first_kept, segments[plan.cut].follows.seq + 1);
    uint64_t bytes = 0;
    for (size_t i = plan.cut; i < segments.size(); ++i) bytes += segments[i].bytes;
    ASSERT_EQ(plan.bytes_kept, bytes);
    if (plan.cut > 0) {
      ++cuts;
      ASSERT_LE(plan.first_kept - 1, limits.older_snapshot);
      ASSERT_LE(plan.first_kept - 1, limits.synced);
      ASSERT_LE(segments[plan.cut - 1].number + 1, limits.written_segment);
    }
    for (size_t i = 0; i < readers.size(); ++i) {
      const Seq done = readers[i].done;
      const bool loses = std::count(plan.losers.begin(), plan.losers.end(), i) == 1;
      ASSERT_EQ(loses, done + 1 < plan.first_kept && !readers[i].lost);
      if (!loses || done < segments[0].follows.seq) continue;
      // Nobody loses a place without need: when the wanted segment went, there was too much.
      ++losses;
      size_t wanted = 0;
      while (segments[wanted + 1].follows.seq <= done) ++wanted;
      uint64_t with_it = 0;
      for (size_t k = wanted; k < segments.size(); ++k) with_it += segments[k].bytes;
      ASSERT_NE(limits.cap_bytes, 0u);
      ASSERT_GT(with_it, limits.cap_bytes);
    }
  }
  EXPECT_GT(cuts, 1000u);
  EXPECT_GT(losses, 100u);
}

}  // namespace
}  // namespace kekbit
