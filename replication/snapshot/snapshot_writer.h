// SnapshotWriter writes one snapshot: streamed, in constant memory, and verified before it has a
// name.
//
//   KB_ASSIGN_OR_RETURN(auto writer, SnapshotWriter::Begin(fs, layout.snapshots(), header));
//   KB_RETURN_IF_ERROR(SaveState(state, *writer));     // the state is needed up to here
//   KB_RETURN_IF_ERROR(writer->Complete());            // synced, read back, verified
//   ... the journal is synced up to header.last ...
//   KB_RETURN_IF_ERROR(writer->Publish());             // has its name, and the directory is synced
//
// The file is in the snapshots' directory from the beginning, but without a name. So whatever ends
// the writer leaves nothing to clear, be it an error, Cancel(), kill -9 or power loss. If a good
// snapshot has the name already, that file stays; a damaged file is replaced.
//
// Memory: a chunk, a second to read back, and with zstd a third and its tables. At most
// SnapshotFlusher::kAheadBytesMax in the page cache are not on the device yet.
//
// Thread safety: one thread at a time; Cancel() any thread.
// Durability: after Publish() the snapshot survives power loss. A sync error is final: begin
// another snapshot.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_WRITER_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/snapshot/snapshot_compressor.h"
#include "kekbit/replication/snapshot/snapshot_flusher.h"
#include "kekbit/replication/snapshot/snapshot_format.h"
#include "kekbit/replication/snapshot/snapshot_stream.h"

namespace kekbit {

struct SnapshotProgress {
  uint64_t raw_bytes = 0;       // of the state, written so far
  uint64_t file_bytes = 0;      // what that takes in the file
  uint64_t verified_bytes = 0;  // of the file, read back
  bool done = false;            // it has its name
};

struct SnapshotWriterOptions {
  int zstd_level = 1;
  // Two threads of the writer's own sync and read back while the state is saved, which hides nearly
  // all of that time.
  bool own_threads = true;
  // ResourceExhausted if the snapshot leaves fewer bytes free on the device; looked at now and
  // then. 0: no limit.
  uint64_t free_bytes_min = 0;
  // Called by the writing thread with each chunk, and at the end.
  std::function<void(const SnapshotProgress&)> progress;
};

class SnapshotWriter final : public SnapshotOutput {
 public:
  // Begins a snapshot in `directory`, which is made if it does not exist. `fs` outlives the writer.
  // InvalidArgument if chunk_bytes is out of range.
  static absl::StatusOr<std::unique_ptr<SnapshotWriter>> Begin(FileSystem& fs, const std::string& directory,
                                                               const SnapshotHeader& header,
                                                               SnapshotWriterOptions options = {});
  // Drops the snapshot, unless published. Waits for a sync under way.
  ~SnapshotWriter() override = default;

  // Returns where the snapshot will be.
  const std::string& path() const { return path_; }
  const SnapshotHeader& header() const { return header_; }

  // Ends the state. Returns once the whole file is on stable storage, was read back, and fits.
  absl::Status Complete();
  // REQUIRES: Complete() returned OK.
  absl::Status Publish();

  // Makes the call under way and all later calls return Cancelled, unless Publish() has done its
  // work. Returns at once.
  void Cancel() { flusher_->Cancel(); }

  SnapshotProgress progress() const;

 private:
  SnapshotWriter(FileSystem& fs, std::string path, const SnapshotHeader& header, SnapshotWriterOptions options,
                 std::unique_ptr<File> file, std::vector<uint8_t> buffer);

  absl::Status WriteBeyond(Bytes bytes) override;
  // Writes a chunk of the file; `raw` stands in the buffer, or where the caller has it.
  absl::Status WriteChunk(Bytes raw);
  absl::Status WriteHeader();
  absl::Status WriteTrailer();
  absl::Status CheckFreeBytes();
  // Keeps the error for good.
  absl::Status Fail(const absl::Status& status);
  absl::Status Cancelled() const;
  // Gives the file its name; false if a good snapshot has it.
  absl::StatusOr<bool> Link();
  void ReportProgress();
  MutableBytes EmptyBuffer();

  FileSystem& fs_;
  const std::string path_;
  const SnapshotHeader header_;
  const SnapshotWriterOptions options_;
  const std::unique_ptr<File> file_;
  std::unique_ptr<SnapshotCompressor> compressor_;
  // Room for a chunk's header, then for its bytes.
  std::vector<uint8_t> buffer_;

  absl::Status status_;
  uint64_t raw_bytes_ = 0;
  uint64_t chunks_ = 0;
  uint64_t offset_ = 0;              // of the file's end
  uint64_t free_bytes_checked_ = 0;  // offset_ when they were looked at last
  uint32_t crc32c_ = 0;              // of the last chunk
  bool complete_ = false;
  bool done_ = false;
  std::unique_ptr<SnapshotFlusher> flusher_;  // uses file_
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_WRITER_H_
