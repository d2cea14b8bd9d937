// SealAbandonedChannel closes a channel on behalf of a writer that died without closing it.

#ifndef KEKBIT_CHANNEL_SEAL_H_
#define KEKBIT_CHANNEL_SEAL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

// What is known of a channel's writer.
enum class WriterIs {
  kAsLocked,  // alive if somebody holds the lock
  kDead,      // certain never to run again, though the kernel may still keep its lock
};

// Puts CLOSE at `position` of the data area of the channel at `path`, where a reader found that the records end, so
// that every reader ends there. Fine if it is there already.
//
// FailedPrecondition if a writer lives, or if a record stands at `position`. What a writer had begun there but not
// published is lost, as it was to every reader before.
absl::Status SealAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position,
                                  WriterIs writer = WriterIs::kAsLocked);

// The same whatever stands at `position`, also if the file was cut before it: what is there is no part of the channel.
// Who needs it has kept it elsewhere.
absl::Status CutAbandonedChannel(FileSystem& fs, const std::string& path, uint64_t position,
                                 WriterIs writer = WriterIs::kAsLocked);

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_SEAL_H_
