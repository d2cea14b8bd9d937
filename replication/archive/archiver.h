// Archiver copies a journal and its snapshots to an object store, while the service runs. See
// archive_format.md.
//
//   KB_ASSIGN_OR_RETURN(std::unique_ptr<Archiver> archiver, Archiver::Open(fs, layout, store, {}));
//   while (running) {
//     const absl::StatusOr<ArchiveProgress> progress = archiver->Step();   // call again after an error, too
//     if (!progress.ok() || !progress->more) sleep(1);
//   }
//
// It reads the journal as the registered reader of the name in its options, so the journal keeps
// what is not archived yet, up to the operator's cap. A reader's name belongs to one process at a
// time: so does the right to copy this journal to that archive.
//
// Order: frames are copied only once they are synced on this host; what nobody has synced yet, the
// archiver syncs. Objects are put before the manifest that names them; the cursor moves after that.
// So whatever stops the archiver, the archive is usable, and what Step() reported can be restored.
//
// Frames are added only where the archive ends: a journal that has another frame there, or less, is
// refused with FailedPrecondition. A journal that no longer has the frame that would be next begins
// anew after a gap, with a snapshot.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_ARCHIVE_ARCHIVER_H_
#define KEKBIT_REPLICATION_ARCHIVE_ARCHIVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/archive_retention.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/snapshot/snapshot_store.h"

namespace kekbit {

struct ArchiverOptions {
  // The registered reader as which the journal is read. Another archive needs another name.
  std::string reader = "archive";
  bool compressed = false;  // frames by zstd; snapshots are copied as they are
  ArchiveRetention retention = {};
  // Whether a full object is put by a thread of its own, while the next one is gathered.
  bool own_threads = true;
  const Clock* clock = &Clock::System();  // outlives the archiver
};

struct ArchiveProgress {
  Position end;                   // the last frame that is archived
  int64_t end_time_ns = 0;        // its time
  uint64_t frames = 0;            // copied by this step
  uint64_t bytes = 0;             // put by this step, snapshots and manifest included
  bool more = false;              // there is more to copy now
  std::optional<Seq> gap_before;  // the journal had lost the frames before this one: a gap in the archive
};

class Archiver final {
 public:
  // `fs` and `store` outlive it. NotFound if there is no journal yet; other errors as of
  // ReaderCursor::Register(), of the journal's files, and of the incarnation's file.
  static absl::StatusOr<std::unique_ptr<Archiver>> Open(FileSystem& fs, const JournalLayout& layout, ObjectStore& store,
                                                        ArchiverOptions options);

  Archiver(const Archiver&) = delete;
  Archiver& operator=(const Archiver&) = delete;

  // Copies what there is, some tens of megabytes at most. After an error the archive is as it was,
  // or some objects are there that nothing names. FailedPrecondition: the journal does not follow
  // what is archived. Unavailable: another copier was faster, or a sync is in doubt. Others: see
  // ObjectStore and SegmentSync.
  absl::StatusOr<ArchiveProgress> Step();

  const Incarnation& incarnation() const { return incarnation_; }

 private:
  Archiver(FileSystem& fs, const JournalLayout& layout, ObjectStore& store, ArchiverOptions options,
           ReaderCursor cursor, SyncMark mark, const Incarnation& incarnation);

  absl::StatusOr<ArchiveProgress> TryStep();
  // Finds the archive's end, and stands there in the journal.
  absl::Status Begin();
  // Stands where the journal begins now.
  absl::Status BeginAnew();
  absl::Status CopyFrames(ArchiveProgress& progress);
  // Puts what was gathered, and notes that in next_.
  absl::Status PutFrames(FramesBuilder builder, ArchiveProgress& progress);
  // Puts the object of these frames.
  absl::StatusOr<FramesEntry> PutObject(FramesBuilder builder);
  // Waits for the object that is being put, and notes it in next_.
  absl::Status AwaitPut(ArchiveProgress& progress);
  void Note(const FramesEntry& entry, ArchiveProgress& progress);
  // Joins the last `count` entries of next_ and the object, in the place of the object.
  absl::Status Merge(size_t count, FramesObject& object);
  absl::Status CopySnapshots(ArchiveProgress& progress);
  absl::Status PutSnapshot(const SnapshotHeader& header, ArchiveProgress& progress);
  // Drops what retention lets go, if it is time to look.
  absl::Status Retain();
  // Makes next_ the newest manifest.
  absl::Status PutNext(ArchiveProgress& progress);
  // Deletes what was dropped long enough ago.
  void DeleteDropped();
  absl::Status EnsureSynced(Seq seq);
  absl::StatusOr<FramesContent> ContentOf(SegmentNumber segment) const;

  FileSystem& fs_;
  const JournalLayout layout_;
  ObjectStore& store_;
  const ArchiverOptions options_;
  ReaderCursor cursor_;
  SyncMark mark_;
  const Incarnation incarnation_;
  const uint64_t copier_;
  SnapshotStore snapshots_;

  // Nullopt: the archive's end is to be looked for again.
  std::optional<JournalReader> reader_;
  SegmentNumber segment_ = 0;   // of the last frame
  FramesContent content_;       // of that segment
  Seq synced_ = 0;              // up to here this archiver has synced
  Manifest manifest_;           // the newest one, as it was put or read
  int64_t manifest_at_ns_ = 0;  // when, by the monotonic clock
  Manifest next_;               // that, and what was copied since
  int64_t retained_ns_ = 0;     // when retention was looked at last, by the monotonic clock; 0: not yet
  std::optional<Seq> gap_before_;

  // A full object that is being put; the thread ends before the rest of this object.
  struct Putting {
    ~Putting() {
      if (thread.joinable()) thread.join();
    }
    std::optional<FramesBuilder> builder;
    absl::StatusOr<FramesEntry> entry;
    std::thread thread;
  };
  std::unique_ptr<Putting> putting_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_ARCHIVER_H_
