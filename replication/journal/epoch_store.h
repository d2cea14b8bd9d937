// EpochStore keeps the newest epoch that was granted, on disk and in memory shared by all replicas
// of a journal.
//
// The epoch fences. A primary looks at the word, at the cost of one load, before and after it
// publishes a frame, and acknowledges nothing once the word is not its own epoch. A successor
// grants itself the next epoch before it looks where the journal ends. So either the successor sees
// the frame, or its writer sees the new epoch (see asymmetric_fence.h).
//
// File: magic u64, epoch u64, zeros; mapped. The disk writes an aligned word whole or not at all.
// At 32 stands a robust word, which the holder of the lease holds.
//
// Thread safety: current() any thread; Grant() the holder of the lease alone.
// Durability: Grant() returns once the epoch is on stable storage.

#ifndef KEKBIT_REPLICATION_JOURNAL_EPOCH_STORE_H_
#define KEKBIT_REPLICATION_JOURNAL_EPOCH_STORE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/robust_word.h"
#include "kekbit/replication/position.h"

namespace kekbit {

class EpochStore final {
 public:
  // Opens the file, or makes it with epoch 0. DataLoss if the file is something else.
  static absl::StatusOr<EpochStore> Open(FileSystem& fs, const std::string& path);

  // Returns the newest epoch granted, for callers that only look. NotFound if there is no file.
  // DataLoss if the file is something else, or if there can be no epoch after that.
  static absl::StatusOr<Epoch> Read(FileSystem& fs, const std::string& path);

  EpochStore(EpochStore&&) = default;
  EpochStore& operator=(EpochStore&&) = default;

  // Returns the newest epoch granted; 0: none yet.
  Epoch current() const { return PeekWord(word()); }

  // Returns true if the file's name still leads to this file: false if somebody moved, replaced or
  // deleted the journal's directory.
  absl::StatusOr<bool> IsNamed(FileSystem& fs) const;

  // Returns the robust word, which all replicas of a journal share.
  RobustWord robust_word() const { return {.mapping = mapping_, .offset = 32}; }

  // Grants the next epoch: above current() and above `seen`, the newest epoch in the journal's
  // frames. As soon as this returns, holders of older epochs are fenced. REQUIRES: the caller holds
  // the lease.
  absl::StatusOr<Epoch> Grant(Epoch seen);

 private:
  EpochStore(std::unique_ptr<File> file, std::shared_ptr<MappedFile> mapping)
      : file_(std::move(file)), mapping_(std::move(mapping)) {}

  uint8_t* word() const { return mapping_->data() + sizeof(uint64_t); }

  std::unique_ptr<File> file_;
  std::shared_ptr<MappedFile> mapping_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_EPOCH_STORE_H_
