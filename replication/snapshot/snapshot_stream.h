// SnapshotOutput and SnapshotInput are the streams that a user's Save() and Load() get.
//
//   struct Counters {
//     static constexpr uint32_t kSnapshotVersion = 2;
//     absl::Status Save(SnapshotOutput& output) const { return output.Write(AsBytes(values)); }
//     absl::Status Load(SnapshotInput& input) {
//       values.resize(input.left());
//       return input.Read(...);        // input.type_version() is 1 for a snapshot of an older build
//     }
//   };

#ifndef KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STREAM_H_
#define KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STREAM_H_

#include "kekbit/base/byte_stream.h"
#include "kekbit/replication/snapshot/snapshot_format.h"

namespace kekbit {

// Write() is Cancelled once somebody wants the snapshot to stop.
using SnapshotOutput = ByteOutput;

class SnapshotInput : public ByteInput {
 public:
  const SnapshotHeader& header() const { return header_; }
  // Returns the version of the state's class that saved the snapshot; never newer than the loading
  // class.
  uint32_t type_version() const { return header_.type.type_version; }

 protected:
  explicit SnapshotInput(const SnapshotHeader& header) : header_(header) {}

 private:
  const SnapshotHeader header_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_SNAPSHOT_SNAPSHOT_STREAM_H_
