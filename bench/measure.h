// Figures with quantiles, and a subject measured against its limit in one run: every benchmark uses
// these.
//
// The machines that benchmarks run on are noisy: the same code is faster or slower by tens of
// percent from one second to the next. So no figure here stands alone. Each iteration measures the
// subject and its limit in direct succession, in changing order. The ratio is the median of the
// iterations' ratios.
//
//   void BM_Thing(benchmark::State& state) {
//     Compare(state, [&] { return NanosPerItem(n, [&] { Thing(); }); },      // subject
//                    [&] { return NanosPerItem(n, [&] { BareThing(); }); }); // limit
//   }
//   BENCHMARK(BM_Thing)->Apply(Rounds<50>);
//
// A row's Time is the subject's mean; its counters: `ns` and `limit_ns`, the medians, and
// `of_limit`, the ratio.

#ifndef KEKBIT_BENCH_MEASURE_H_
#define KEKBIT_BENCH_MEASURE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kekbit/base/check.h"

namespace kekbit::bench {

inline int64_t NowNanos() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Returns how long `work()` takes, divided by `items`.
template <typename Work>
double NanosPerItem(uint64_t items, Work work) {
  const int64_t begin = NowNanos();
  work();
  return static_cast<double>(NowNanos() - begin) / static_cast<double>(items);
}

// Figures holds the figures of one thing, measured again and again.
class Figures final {
 public:
  void Add(double figure) {
    figures_.push_back(figure);
    sorted_ = false;
  }
  void Add(const Figures& others) {
    figures_.insert(figures_.end(), others.figures_.begin(), others.figures_.end());
    sorted_ = false;
  }

  // Returns the figure that the share `q` of all does not exceed. REQUIRES: there is a figure; 0 <=
  // q <= 1.
  double Quantile(double q) {
    KB_CHECK(!figures_.empty());
    if (!sorted_) std::sort(figures_.begin(), figures_.end());
    sorted_ = true;
    const auto rank = static_cast<size_t>(q * static_cast<double>(figures_.size()));
    return figures_[std::min(rank, figures_.size() - 1)];
  }
  double Median() { return Quantile(0.5); }

  const std::vector<double>& all() const { return figures_; }

 private:
  std::vector<double> figures_;
  bool sorted_ = true;
};

// Measures `subject()` against `limit()`; each returns nanoseconds per item.
template <typename Subject, typename Limit>
void Compare(benchmark::State& state, Subject subject, Limit limit) {
  Figures subjects;
  Figures limits;
  Figures ratios;
  bool subject_first = false;
  for ([[maybe_unused]] auto iteration : state) {
    subject_first = !subject_first;
    const double early = subject_first ? subject() : limit();
    const double late = subject_first ? limit() : subject();
    const double subject_nanos = subject_first ? early : late;
    const double limit_nanos = subject_first ? late : early;
    subjects.Add(subject_nanos);
    limits.Add(limit_nanos);
    ratios.Add(subject_nanos / limit_nanos);
    state.SetIterationTime(subject_nanos * 1e-9);
  }
  state.counters["ns"] = subjects.Median();
  state.counters["limit_ns"] = limits.Median();
  state.counters["of_limit"] = ratios.Median();
}

// Puts the distribution of latencies into counters named `prefix` + p50 and so on, in nanoseconds.
inline void ReportDistribution(benchmark::State& state, const std::string& prefix, Figures& nanos) {
  state.counters[prefix + "p50"] = nanos.Quantile(0.5);
  state.counters[prefix + "p90"] = nanos.Quantile(0.9);
  state.counters[prefix + "p99"] = nanos.Quantile(0.99);
  state.counters[prefix + "p99.9"] = nanos.Quantile(0.999);
  state.counters[prefix + "max"] = nanos.Quantile(1);
}

// Settings of a benchmark that uses Compare() or sets its iterations' times itself.
template <int kCount>
void Rounds(benchmark::internal::Benchmark* benchmark) {
  benchmark->Iterations(kCount)->UseManualTime()->Unit(benchmark::kNanosecond);
}

}  // namespace kekbit::bench

#endif  // KEKBIT_BENCH_MEASURE_H_
