// SnapshotReader streams the state of a snapshot back: every chunk is checked before a byte of it
// is handed out.
//
//   KB_ASSIGN_OR_RETURN(auto reader, SnapshotReader::Open(fs, path));
//   KB_RETURN_IF_ERROR(LoadState(*reader, &state));
//
// Memory: a chunk, with zstd two. Errors: DataLoss with path, offset and both numbers;
// FailedPrecondition for a newer version of the format, and for a state of another length than the
// one who reads it wants, in a file that is whole; what the file system says.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_READER_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/snapshot/snapshot_compressor.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"
#include "kekbit/replication/snapshot/snapshot_stream.h"

namespace kekbit {

class SnapshotReader final : public SnapshotInput {
 public:
  // Checks header and trailer. NotFound if there is no such file.
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(FileSystem& fs, const std::string& path);
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(std::unique_ptr<File> file);

  const std::string& path() const { return file_->path(); }

  // Checks all of the file that was not read yet; nothing can be read afterwards. OK if the whole
  // file fits its trailer.
  absl::Status CheckRest();

  // Returns how much of left() the file can hold. left() is what the trailer says; a compressed
  // file, if it is no ordinary one, may hold less.
  uint64_t backed() const override;

  // To be called once everything is read. OK if that was the whole state, and all of the file fits
  // its trailer; FailedPrecondition if some of it is left over.
  absl::Status Finish();

 private:
  SnapshotReader(std::unique_ptr<File> file, SnapshotScan scan);

  absl::Status ReadBeyond(MutableBytes to) override;
  // Makes the next chunk the buffer; with none left, an empty buffer.
  absl::Status NextChunk();
  absl::Status Fail(const absl::Status& status);
  // Returns the error of a state that reads more or less than there is: FailedPrecondition with
  // that message; DataLoss if the file is damaged.
  absl::Status FailLength(const std::string& message);

  const std::unique_ptr<File> file_;
  SnapshotScan scan_;
  SnapshotDecompressor decompressor_;
  std::vector<uint8_t> raw_;  // of a compressed chunk
  absl::Status status_;
  bool ended_ = false;  // the trailer was reached and fits
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_READER_H_
