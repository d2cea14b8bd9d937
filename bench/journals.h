// Journals to measure, on the disk or in memory; the directory goes with the object. Whatever fails
// ends the process.

#ifndef KEKBIT_BENCH_JOURNALS_H_
#define KEKBIT_BENCH_JOURNALS_H_

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/channels.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/clock.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/group_commit.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/segment_preparer.h"
#include "kekbit/replication/journal/segment_size.h"
#include "kekbit/replication/journal/sync_mark.h"

namespace kekbit::bench {

// Time in which a new primary's next segment is ready for certain. Until then 64 MB are being
// written, at no other moment of the primary's life.
inline constexpr absl::Duration kPreparing = absl::Seconds(2);

// The same for one of the first segments of a journal by itself.
inline constexpr absl::Duration kPreparingNext = absl::Milliseconds(200);

// Brings a new primary at Ack::kSynced to where a primary spends its life: into a prepared segment.
// The first segment of a journal is not prepared. Each command takes `command_bytes` in its frame;
// segments are of the default size.
template <typename Replica>
void EnterPreparedSegment(Replica& replica, const typename Replica::Command& command, uint64_t command_bytes) {
  absl::SleepFor(kPreparing);
  // The shorter segments of the beginning take a third of a long one, and the first long one may not have been ready.
  const uint64_t bytes = uint64_t{JournalWriterOptions().segment_bytes} * 3 / 2;
  const uint64_t commands = bytes / RecordBytes(kFrameHeaderBytes + command_bytes);
  for (uint64_t i = 0; i < commands; ++i) KB_CHECK(replica.Submit(command).ok());
  KB_CHECK(replica.Execute(command).ok());
}

// BenchDirectory is a directory that does not exist yet, and goes with the object.
class BenchDirectory final {
 public:
  explicit BenchDirectory(Medium medium) : path_(FreshPath(medium) + ".journal") { std::filesystem::remove_all(path_); }
  BenchDirectory(const BenchDirectory&) = delete;
  BenchDirectory& operator=(const BenchDirectory&) = delete;
  ~BenchDirectory() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// BenchJournal is a new journal and its writer, with everything that a primary gives the writer.
class BenchJournal final {
 public:
  BenchJournal(Medium medium, uint32_t segment_bytes)
      : segment_bytes_(segment_bytes),
        directory_(medium),
        layout_(MadeDirectory(directory_.path())),
        epochs_(EpochStore::Open(FileSystem::Posix(), layout_.epoch()).value()),
        mark_(SyncMark::Open(FileSystem::Posix(), layout_.synced()).value()),
        preparer_(FileSystem::Posix(), layout_.directory(), kSegmentTouchBytes),
        commit_({.layout = layout_, .mark = &mark_, .epoch = 1}),
        writer_(JournalWriter::Begin(
                    {.layout = layout_, .segment_bytes = segment_bytes, .preparer = &preparer_, .commit = &commit_},
                    epochs_, epochs_.Grant(0).value(), {}, 1, Clock::System().RealtimeNanos())
                    .value()) {}
  BenchJournal(const BenchJournal&) = delete;
  BenchJournal& operator=(const BenchJournal&) = delete;

  // Appends a command of these bytes, at the present time.
  void Append(Bytes command) {
    const auto encode = [command](MutableBytes to) -> absl::StatusOr<size_t> {
      if (ABSL_PREDICT_FALSE(command.size() > to.size())) return absl::ResourceExhaustedError("");
      std::memcpy(to.data(), command.data(), command.size());
      return command.size();
    };
    KB_CHECK(writer_.Append(encode, Clock::System().RealtimeNanos()).ok());
  }

  // Appends the command until the writer stands at the beginning of a segment of full length that was prepared.
  void EnterFullSegment(Bytes command) {
    for (uint32_t bytes = FirstSegmentBytes(segment_bytes_); bytes < segment_bytes_;
         bytes = NextSegmentBytes(bytes, segment_bytes_)) {
      absl::SleepFor(kPreparingNext);
      for (const SegmentNumber segment = writer_.segment(); writer_.segment() == segment;) Append(command);
    }
  }

  const JournalLayout& layout() const { return layout_; }
  JournalWriter& writer() { return writer_; }
  GroupCommit& commit() { return commit_; }

 private:
  static const std::string& MadeDirectory(const std::string& path) {
    KB_CHECK(FileSystem::Posix().CreateDirectories(path).ok());
    return path;
  }

  const uint32_t segment_bytes_;
  const BenchDirectory directory_;
  const JournalLayout layout_;
  EpochStore epochs_;
  SyncMark mark_;
  SegmentPreparer preparer_;
  GroupCommit commit_;
  JournalWriter writer_;
};

}  // namespace kekbit::bench

#endif  // KEKBIT_BENCH_JOURNALS_H_
