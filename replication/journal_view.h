// JournalView shows operators and tools what there is of a journal and its replicas, from outside.
//
//   JournalView view(fs, directory);
//   absl::StatusOr<JournalFacts> facts = view.Look();   // again: goes on where it ended
//
// A view takes no lock and writes nothing. So a journal may be live, or one that this process may
// only read.
//
// Lag is measured from where the journal ended just before the replicas were asked: a replica that
// keeps up has none.
//
// Thread safety: one thread at a time.
// Errors: Look() fails only if there is no journal, or if its directory can't be read. The facts
// name everything else that can't be read.

#ifndef KEKBIT_REPLICATION_JOURNAL_VIEW_H_
#define KEKBIT_REPLICATION_JOURNAL_VIEW_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/lease/process_watch.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/apply_retention.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/stats/replica_facts.h"

namespace kekbit {

// ReplicaLag is a replica's lag to the end of the journal.
struct ReplicaLag {
  uint64_t frames = 0;
  // Bytes of records, with their lengths and padding. Nullopt if the replica did not say where it
  // is, or if that place is gone. Beyond eight segments the rest is taken for full.
  std::optional<uint64_t> bytes = std::nullopt;
  int64_t time_ns = 0;  // by the frames' times, the last and the last applied; 0 also if not known
};

struct ReplicaView {
  ReplicaFacts facts;
  ReplicaLag lag;
};

// SnapshotView is a file that is named as a snapshot; `kekbit verify` says whether the snapshot is
// good.
struct SnapshotView {
  Seq seq = 0;  // of the last frame whose effect the snapshot holds
  uint64_t bytes = 0;
};

// After so long without a sign of life a primary hangs: it is stopped, deadlocked, or what it waits
// for is. A healthy primary shows some 20 signs a second, idle or not.
inline constexpr absl::Duration kHangsAfter = absl::Seconds(3);

struct JournalFacts {
  std::string directory;
  std::string state_name;  // of the state whose commands the last segment holds; empty: it does not say

  uint64_t segments = 0;
  SegmentNumber first_segment = 0;
  SegmentNumber last_segment = 0;
  uint64_t bytes = 0;  // of all segments' files, on the disk

  Seq first_seq = 0;         // the first one kept; 0: not known
  Position last;             // of the last frame
  int64_t last_time_ns = 0;  // its time, since the Unix epoch; 0: not known
  // OK, or why the frames after `last` can't be read.
  absl::Status end_status;

  Epoch epoch = 0;                  // the newest that was granted; 0: none, or not known
  bool lease_held = false;          // so somebody is, or is becoming, primary
  std::optional<ProcessId> holder;  // who says that it holds, or last held, the lease
  // How long the lease's holder has shown no sign of life; nullopt if this process can't know.
  std::optional<absl::Duration> silent;
  bool holder_stopped = false;          // by a signal or a debugger; false also if that can't be known from here
  std::optional<Seq> synced;            // up to here the journal is known to be on stable storage
  SegmentNumber poisoned = 0;           // the first segment of which a sync failed; 0: none
  std::vector<ReplicaView> replicas;    // the live ones first, then the dead ones, each the youngest first
  std::vector<SnapshotView> snapshots;  // ascending
  std::vector<CursorView> readers;      // registered ones
  std::vector<ReaderHold> holds;        // those of them that keep segments from being cut
  std::vector<std::string> unreadable;  // why the statistics of others can't be read, each with its path

  bool primary_hangs() const { return silent && *silent >= kHangsAfter; }
};

class JournalView final {
 public:
  // `fs` and `clock` outlive the view.
  JournalView(FileSystem& fs, absl::string_view directory, const Clock& clock = Clock::System())
      : fs_(fs), layout_(directory), clock_(clock) {}

  // FailedPrecondition if there is no journal in the directory.
  absl::StatusOr<JournalFacts> Look();

 private:
  absl::Status LookAtSegments(JournalFacts& facts);
  void LookAtEnd(JournalFacts& facts);
  // Reads from that segment on to the end of the journal.
  absl::Status ReadFrom(SegmentNumber number);
  void LookAtLeaseAndMarks(JournalFacts& facts);
  void LookAtSnapshots(JournalFacts& facts);
  void LookAtReplicas(JournalFacts& facts);
  void LookAtReaders(JournalFacts& facts);
  // The segments that are there, but for those that can't be read.
  std::vector<KeptSegment> KeptSegments();

  ReplicaLag LagOf(const JournalFacts& facts, const ReplicaFacts& replica);
  std::optional<uint64_t> BytesBehind(SegmentNumber segment, uint64_t offset);
  // Returns the bytes of a closed segment's data area that hold records; `looks`: how many files
  // may still be looked into.
  uint64_t UsedBytes(SegmentNumber number, int& looks);

  FileSystem& fs_;
  JournalLayout layout_;
  const Clock& clock_;
  std::vector<SegmentNumber> segments_;           // as listed last
  std::map<SegmentNumber, uint64_t> file_bytes_;  // on the disk
  std::map<SegmentNumber, uint64_t> used_bytes_;  // of segments that were closed when they were looked into
  std::map<SegmentNumber, Seq> first_seqs_;
  std::map<Seq, int64_t> waiting_since_;  // by what a reader that holds segments is done with
  std::optional<JournalReader> reader_;   // at the end of the journal
  int64_t last_time_ns_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_VIEW_H_
