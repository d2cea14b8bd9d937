#include "kekbit/replication/stats/histogram.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

Histogram Of(const std::vector<uint64_t>& values) {
  const auto words = std::make_unique<HistogramWords>();
  for (const uint64_t value : values) AddToHistogram(*words, value);
  return ReadHistogram(*words);
}

TEST(HistogramTest, BucketsFollowEachOtherWithoutAGapUpToTheLastValue) {
  EXPECT_EQ(HistogramBucketMin(0), 0u);
  for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
    const uint64_t least = HistogramBucketMin(bucket);
    const uint64_t most = HistogramBucketMax(bucket);
    ASSERT_LE(least, most);
    ASSERT_EQ(HistogramBucketOf(least), bucket);
    ASSERT_EQ(HistogramBucketOf(most), bucket);
    if (bucket + 1 < kHistogramBuckets) {
      ASSERT_EQ(HistogramBucketMin(bucket + 1), most + 1);
      // Never wider than a sixteenth of what is in it.
      ASSERT_LE(most - least, least / 16) << least;
    }
  }
  EXPECT_EQ(HistogramBucketMax(kHistogramBuckets - 1), kMost);
  EXPECT_EQ(HistogramBucketOf((uint64_t{1} << 42) - 1), kHistogramBuckets - 1);
  EXPECT_EQ(HistogramBucketOf(uint64_t{1} << 42), kHistogramBuckets - 1);
}

TEST(HistogramTest, SmallValuesAreExact) {
  const Histogram histogram = Of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(histogram.count(), 10u);
  EXPECT_EQ(histogram.sum(), 45u);
  EXPECT_EQ(histogram.mean(), 4.5);
  EXPECT_EQ(histogram.max(), 9u);
  EXPECT_EQ(histogram.Percentile(0), 0u);
  EXPECT_EQ(histogram.Percentile(10), 0u);
  EXPECT_EQ(histogram.Percentile(10.01), 1u);
  EXPECT_EQ(histogram.Percentile(50), 4u);
  EXPECT_EQ(histogram.Percentile(90), 8u);
  EXPECT_EQ(histogram.Percentile(100), 9u);
}

TEST(HistogramTest, APercentileIsTheEndOfItsBucketAtEachBorder) {
  for (size_t bucket = 1; bucket + 1 < kHistogramBuckets; ++bucket) {
    const uint64_t least = HistogramBucketMin(bucket);
    const uint64_t most = HistogramBucketMax(bucket);
    // Take a value on each side of both borders: each is in a bucket of its own except the two in
    // the middle.
    const Histogram histogram = Of({least - 1, least, most, most + 1});
    ASSERT_EQ(histogram.Percentile(25), least - 1);
    ASSERT_EQ(histogram.Percentile(26), most);
    ASSERT_EQ(histogram.Percentile(75), most);
    ASSERT_EQ(histogram.Percentile(76), most + 1);  // rounded up no further than the greatest value
  }
}

TEST(HistogramTest, EveryPercentileIsAtMostASixteenthAboveTheExactOne) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::vector<uint64_t> values(1000);
  for (uint64_t& value : values) value = random() >> (23 + random() % 40);
  const Histogram histogram = Of(values);
  std::sort(values.begin(), values.end());
  for (size_t rank = 1; rank <= values.size(); ++rank) {
    const double percent = (static_cast<double>(rank) - 0.5) / 10;
    const uint64_t exact = values[rank - 1];
    ASSERT_GE(histogram.Percentile(percent), exact);
    ASSERT_LE(histogram.Percentile(percent), exact + exact / 16);
  }
}

TEST(HistogramTest, AnEmptyOneIsZero) {
  const Histogram histogram = Of({});
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Percentile(99), 0u);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(HistogramTest, MergedIsAsIfAllHadBeenCountedInOne) {
  Histogram merged = Of({1, 100, 10'000});
  merged.Merge(Of({2, 200, 20'000, kMost}));
  merged.Merge(Of({}));
  const Histogram all = Of({1, 2, 100, 200, 10'000, 20'000, kMost});
  EXPECT_TRUE(merged == all);
  EXPECT_FALSE(merged == Of({1, 2, 100, 200, 10'000, 20'000}));
  EXPECT_EQ(merged.count(), all.count());
  EXPECT_EQ(merged.max(), kMost);
  EXPECT_EQ(merged.Percentile(50), all.Percentile(50));
}

TEST(HistogramTest, CountsThatNobodyCountedStayInBounds) {
  HistogramWords words;
  for (uint64_t& count : words.counts) count = kMost - 1;
  words.sum = kMost;
  words.max = 3;
  Histogram histogram = ReadHistogram(words);
  EXPECT_EQ(histogram.count(), kMost);
  EXPECT_EQ(histogram.Percentile(50), 0u);
  EXPECT_EQ(histogram.Percentile(100), 1u);
  histogram.Merge(histogram);
  EXPECT_EQ(histogram.count(), kMost);
  EXPECT_EQ(histogram.sum(), kMost);
}

}  // namespace
}  // namespace kekbit
