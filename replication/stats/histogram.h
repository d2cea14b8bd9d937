// Histogram counts how often which values came, in a fixed number of words in shared memory.
//
// The buckets are log-linear: values below 16 have a bucket each. From 16 on every power of two is
// cut into 16 equal parts, so a bucket is never wider than 1/16 of its values. From 2^42 on
// (nanoseconds: 73 minutes) there is a single bucket.
//
//   AddToHistogram(words, nanos);           // one thread at a time; at most three stores, no allocation
//   Histogram all = ReadHistogram(words);   // meanwhile, in any process
//   all.Merge(ReadHistogram(other));
//   Use(all.count(), all.Percentile(99.9), all.max());
//
// Thread safety: the words have one writer at a time and any number of readers. A reader may see a
// value in its bucket and not yet in the sum. Histogram: as any value.
// Errors: none. Any bytes are a histogram; what would overflow stays at the largest value.

#ifndef KEKBIT_REPLICATION_STATS_HISTOGRAM_H_
#define KEKBIT_REPLICATION_STATS_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kekbit/base/shared_word.h"

namespace kekbit {

inline constexpr int kHistogramPartBits = 4;  // 16 buckets for each power of two
inline constexpr int kHistogramValueBits = 42;
inline constexpr size_t kHistogramBuckets = (kHistogramValueBits - kHistogramPartBits + 1) << kHistogramPartBits;

// Returns the bucket that a value belongs to.
constexpr size_t HistogramBucketOf(uint64_t value) {
  constexpr uint64_t kParts = 1 << kHistogramPartBits;
  if (value < kParts) return static_cast<size_t>(value);
  if (value >> kHistogramValueBits != 0) return kHistogramBuckets - 1;
  const int shift = static_cast<int>(std::bit_width(value)) - 1 - kHistogramPartBits;
  return (static_cast<size_t>(shift) << kHistogramPartBits) + static_cast<size_t>(value >> shift);
}

// Return the least and the greatest value of a bucket. REQUIRES: bucket < kHistogramBuckets.
constexpr uint64_t HistogramBucketMin(size_t bucket) {
  constexpr uint64_t kParts = 1 << kHistogramPartBits;
  if (bucket < kParts) return bucket;
  const int shift = static_cast<int>(bucket >> kHistogramPartBits) - 1;
  return (kParts + (bucket & (kParts - 1))) << shift;
}
constexpr uint64_t HistogramBucketMax(size_t bucket) {
  if (bucket + 1 == kHistogramBuckets) return std::numeric_limits<uint64_t>::max();
  return HistogramBucketMin(bucket + 1) - 1;
}

// HistogramWords stand in files: never change them.
struct HistogramWords {
  uint64_t sum = 0;
  uint64_t max = 0;
  uint64_t reserved[6] = {};
  uint64_t counts[kHistogramBuckets] = {};
};
static_assert(std::is_trivially_copyable_v<HistogramWords> && sizeof(HistogramWords) == 5056);
static_assert(offsetof(HistogramWords, max) == 8 && offsetof(HistogramWords, counts) == 64);

// Counts `value` once. REQUIRES: no other thread writes to the words meanwhile.
inline void AddToHistogram(HistogramWords& words, uint64_t value) {
  uint64_t& count = words.counts[HistogramBucketOf(value)];
  PrepareWord(&words.sum, PeekWord(&words.sum) + value);
  if (value > PeekWord(&words.max)) PrepareWord(&words.max, value);
  PrepareWord(&count, PeekWord(&count) + 1);
}

// Histogram is a copy of the words, to compute with.
class Histogram final {
 public:
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t max() const { return max_; }
  // Returns 0 if there is no value.
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }

  // Returns the least value that `percent` of all values don't exceed; 0 if there is no value. The
  // value is rounded up to the end of its bucket, but never above max().
  uint64_t Percentile(double percent) const {
    if (count_ == 0) return 0;
    const double share = std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(count_);
    uint64_t left = share >= static_cast<double>(count_) ? count_ : static_cast<uint64_t>(std::ceil(share));
    left = std::max<uint64_t>(left, 1);
    for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
      if (left <= counts_[bucket]) {
        return std::min(HistogramBucketMax(bucket), std::max(max_, HistogramBucketMin(bucket)));
      }
      left -= counts_[bucket];
    }
    return max_;
  }

  void Merge(const Histogram& other) {
    for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) Count(bucket, other.counts_[bucket]);
    sum_ = Sum(sum_, other.sum_);
    max_ = std::max(max_, other.max_);
  }

  // Whether both hold the same values, as far as the buckets tell.
  friend bool operator==(const Histogram&, const Histogram&) = default;

 private:
  friend Histogram ReadHistogram(const HistogramWords& words);

  static uint64_t Sum(uint64_t a, uint64_t b) { return a + std::min(b, ~a); }
  void Count(size_t bucket, uint64_t times) {
    // Count no more than what count_ can hold: the counts always add up to count_.
    times = std::min(times, ~count_);
    counts_[bucket] += times;
    count_ += times;
  }

  std::array<uint64_t, kHistogramBuckets> counts_ = {};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

inline Histogram ReadHistogram(const HistogramWords& words) {
  Histogram read;
  for (size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) read.Count(bucket, PeekWord(&words.counts[bucket]));
  read.sum_ = PeekWord(&words.sum);
  read.max_ = PeekWord(&words.max);
  return read;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_HISTOGRAM_H_
