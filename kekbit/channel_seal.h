// SealAbandonedChannel closes a channel on behalf of a writer that died without closing it.

#ifndef KEKBIT_CHANNEL_SEAL_H_
#define KEKBIT_CHANNEL_SEAL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

// WriterIs says what the caller knows of a channel's writer.
enum class WriterIs {
  kAsLocked,  // alive if somebody holds the lock
  kDead,      // certain never to run again, though the kernel may still keep its lock
};

// Puts CLOSE at `position` of the data area of the channel at `path`, so that every reader ends
// there. A reader found that the records end at `position`. OK if CLOSE is there already.
//
// FailedPrecondition if a writer lives, or if a record stands at `position`. What a writer had
// begun there but not published is lost, as for every reader before.
absl::Status SealAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position,
                                  WriterIs writer = WriterIs::kAsLocked);

// Puts CLOSE at `position` whatever stands there, even if the file was cut before. What stands
// there is no part of the channel; the caller has kept what is needed elsewhere.
absl::Status CutAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position,
                                 WriterIs writer = WriterIs::kAsLocked);

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_SEAL_H_
