// Compares ways to prepare the file of a segment, and how far ahead its pages are touched, where
// frames are synced. Frames of 112 bytes are stored into a mapping of 64 MiB, then
// MappedFile::Sync, again and again.
//
// The limit is the same in a file that was only allocated. `prepared`:
//   0  touched: the first `ahead_kib` before the first store, then so far ahead in windows of half of
//      that, on another thread, as by ShmWriter: the pages that wait are dirty
//   1  all of it touched and synced before the first store: the pages are clean, and the file system
//      has no more to note about them; then touched so far ahead as for 0
//   2  zeroed by large writes, then synced: a kernel may keep large folios for these, and sync all of
//      one for each store
// `frames`: frames for each sync. `prepare_ms`: what preparing took.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/page_toucher.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kSegmentBytes = 64u << 20;
constexpr uint64_t kFrameBytes = 104;
constexpr uint64_t kStep = RecordBytes(kFrameBytes);

enum Prepared { kTouchedAhead = 0, kTouchedAndSynced = 1, kZeroedAndSynced = 2, kAllocated = 3 };

std::unique_ptr<MappedFile> Prepare(Prepared prepared, uint64_t ahead) {
  const std::string directory = DirectoryOn(Medium::kDisk);
  const std::unique_ptr<File> file = FileSystem::Posix().CreateUnnamed(directory, directory).value();
  if (prepared == kZeroedAndSynced) {
    const std::vector<uint8_t> zeros(1u << 20);
    for (uint64_t at = 0; at < kSegmentBytes; at += zeros.size()) KB_CHECK(file->WriteAt(at, zeros).ok());
    KB_CHECK(file->Sync().ok());
  } else {
    KB_CHECK(file->Allocate(kSegmentBytes).ok());
  }
  std::unique_ptr<MappedFile> mapping = file->Map(Access::kReadWrite, kSegmentBytes).value();
  if (prepared == kTouchedAndSynced) {
    KB_CHECK(mapping->Touch(0, kSegmentBytes).ok());
    KB_CHECK(mapping->Sync(0, kSegmentBytes).ok());
  }
  if (ahead != 0) KB_CHECK(mapping->Touch(0, ahead).ok());
  return mapping;
}

// Returns nanoseconds for each sync and the stores before. The first syncs, which also note the
// file itself, don't count.
double StoreAndSync(Prepared prepared, uint64_t ahead, uint64_t frames, double* prepare_ms) {
  constexpr uint64_t kFirstSyncs = 20;
  const uint64_t syncs = frames == 1 ? 1'000 : 400;
  const int64_t begin = NowNanos();
  const std::shared_ptr<MappedFile> mapping = Prepare(prepared, ahead);
  *prepare_ms = static_cast<double>(NowNanos() - begin) * 1e-6;
  const std::vector<uint8_t> payload = MakePayload(kFrameBytes);
  uint64_t at = 0;
  uint64_t touched = ahead;
  const auto run = [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t from = at;
      for (uint64_t n = 0; n < frames; ++n, at += kStep) StoreRecords(mapping->data() + at, payload, 1);
      if (ahead != 0 && at + ahead / 2 > touched && touched < kSegmentBytes) {
        PageToucher::Shared().Request(mapping, touched, std::min(at + ahead, kSegmentBytes));
        touched = std::min(at + ahead, kSegmentBytes);
      }
      KB_CHECK(mapping->Sync(from, at + kLengthBytes - from).ok());
    }
  };
  run(kFirstSyncs);
  const double nanos = NanosPerItem(syncs, [&] { run(syncs); });
  PageToucher::Shared().Forget(mapping);
  return nanos;
}

void BM_SegmentSync(benchmark::State& state) {
  const auto prepared = static_cast<Prepared>(state.range(0));
  const auto frames = static_cast<uint64_t>(state.range(2));
  double prepare_ms = 0;
  double ignored = 0;
  Compare(
      state, [&] { return StoreAndSync(prepared, static_cast<uint64_t>(state.range(1)) << 10, frames, &prepare_ms); },
      [&] { return StoreAndSync(kAllocated, 0, frames, &ignored); });
  state.counters["prepare_ms"] = prepare_ms;
}

void Ways(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"prepared", "ahead_kib", "frames"})->Apply(Rounds<7>);
  for (const int64_t frames : {1, 64}) {
    for (const int64_t ahead_kib : {256, 4'096, 65'536}) benchmark->Args({kTouchedAhead, ahead_kib, frames});
    for (const int64_t ahead_kib : {0, 256}) benchmark->Args({kTouchedAndSynced, ahead_kib, frames});
    benchmark->Args({kZeroedAndSynced, 0, frames});
  }
}
BENCHMARK(BM_SegmentSync)->Apply(Ways);

}  // namespace
}  // namespace kekbit::bench
