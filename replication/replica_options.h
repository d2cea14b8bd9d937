// ReplicaOptions is what the user of a replica chooses.

#ifndef KEKBIT_REPLICATION_REPLICA_OPTIONS_H_
#define KEKBIT_REPLICATION_REPLICA_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/logger.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/role.h"
#include "kekbit/replication/takeover_report.h"

namespace kekbit {

class ObjectStore;

// SnapshotOptions says when a replica takes snapshots of its state, and how. Each of the first
// three that is not 0 is a reason to take a snapshot as soon as so much has come since the last.
// All 0: only when Replica::TakeSnapshot() is called.
struct SnapshotOptions {
  uint64_t frames = 0;
  uint64_t bytes = 0;  // of the journal
  absl::Duration time = absl::ZeroDuration();

  // If true, a primary takes snapshots, too, and takes no commands meanwhile. This is for a service
  // without a follower. A follower applies nothing while it saves its state, and catches up
  // afterwards; it can be read meanwhile.
  bool on_primary = false;
  bool compressed = false;  // by zstd
  // Called with the bytes of the state written so far, every mebibyte.
  std::function<void(uint64_t raw_bytes)> on_progress = {};

  // Whether there is a reason to take one without being asked.
  bool has_reason() const { return (frames | bytes) != 0 || time != absl::ZeroDuration(); }
  // Whether anything is asked for. Of a state of which there can be no snapshots nothing may be: it
  // would do nothing.
  bool is_set() const { return has_reason() || on_primary || compressed || on_progress != nullptr; }
};

// ArchiveOptions says where the journal and its snapshots are copied to while the service runs: see
// archive/archiver.h. Of all replicas of a journal with these options one copies, a follower if
// there is one. A store that fails never stops the service. The journal is kept for the archive as
// for any registered reader.
struct ArchiveOptions {
  ObjectStore* store = nullptr;  // outlives the replica; null: nothing is archived
  // From one look to the next: the archive's end is so old at most, while the store is fast enough.
  // At least 50 ms.
  absl::Duration interval = absl::Seconds(1);
  bool compressed = false;  // by zstd
  // So many of the newest snapshots stay in the archive, at least two, and those of the last
  // `keep_for`, with all frames since the oldest of them. Both 0: all stays.
  size_t keep_snapshots = 0;
  absl::Duration keep_for = absl::ZeroDuration();
};

// Checks of the service's own code, for tests and canaries. Each costs time, and finds what no
// replica can mend.
struct Checks {
  // The primary decodes each command that it has encoded, before publishing, and applies the
  // decoded one, as every follower will. A member that serialize() leaves out then has on all
  // replicas the value that decoding gives. Execute(), Submit() and SubmitBatch() return
  // InvalidArgument, with the type of the command, if the decoded command differs from the passed
  // one. Nothing was done then; another replica would refuse the command just so. They differ
  //   by operator==, if the command's type has it (of a variant, if the alternative has it);
  //   by the bytes in memory, if they are all of the command: numbers without padding between them, no
  //   floating point;
  //   else by what cereal's serialize() functions are not given: a member that is left out, and differs;
  //   and by the bytes in the journal, encoded a second time: an order that is not kept.
  // Without an operator== the check may miss a left-out member that is smaller than the alignment
  // of what follows, or that a save() leaves out, or of another codec than cereal's. Costs decoding
  // each command. Without operator== costs also encoding it three times and memory for notes: a
  // small command takes a microsecond or two more. On in debug builds (without NDEBUG).
  bool decode = InDebugBuild();

  // Returns true if this library was built without NDEBUG.
  static bool InDebugBuild();
};

// Wait says how a follower waits for the next frame.
enum class Wait {
  kSleep,  // looks for some 10 us, then sleeps at no CPU until the primary wakes it
  kSpin,   // looks again and again: the least lag, for the price of a processor
};

struct ReplicaOptions {
  // The journal's directory, made if it does not exist. On a local file system: ext4, xfs, tmpfs.
  std::string directory = {};
  // Stage that Execute() waits for unless told otherwise.
  Ack ack = Ack::kPublished;
  Wait wait = Wait::kSleep;
  // Whether this replica may become primary. If false, the replica only reads.
  bool may_lead = true;
  // Whether threads of the replica's own follow the journal and wait for the lease. If false,
  // everything happens in Poll().
  bool threads = true;
  // Capacity of the longest segments of the journal, in bytes, 16 KiB to 4 GiB less 8, rounded up
  // to a multiple of 8. An encoded command takes at most 1/128 of it. The first segments of a reign
  // are shorter, from 1 MiB on, unless a command or a batch wants more. Counts on a primary.
  uint32_t segment_bytes = 64u << 20;
  // A replica starts at the newest snapshot. Only for a state that is fit for snapshots (see
  // state_archive.h).
  SnapshotOptions snapshots = {};
  ArchiveOptions archive = {};
  Checks checks = {};
  // A primary whose process lives but shows no sign of life for so long is killed by a follower
  // that watches it. Choose much longer than any pause of the service, of its machine or of
  // Apply(). A sign of life is given each 50 ms. At least 200 ms. Infinite: never.
  absl::Duration kill_hung_primary_after = absl::InfiniteDuration();
  // How long a replica that stepped down leaves the lease to others, unless another replica takes
  // it before. Nobody leads meanwhile, if nobody else can.
  absl::Duration step_down_for = absl::Seconds(1);

  // The journal's time is that of the machine's clock, unless that was set back. Then the journal's
  // time goes on slower by a tenth, until the clock has caught up. A clock that was set ahead by at
  // most this is followed at once; otherwise the journal's time goes on faster by a tenth.
  // Infinite: the clock is always followed.
  absl::Duration clock_set_ahead_max = absl::Hours(1);

  // With less room left on the disk, in bytes, a primary takes no new commands (ResourceExhausted),
  // and takes them again once there is an eighth more. It is room to roll into, and for a snapshot.
  // Unset: segment_bytes. 0: commands are taken until a segment can't be made.
  std::optional<uint64_t> free_bytes_min = std::nullopt;
  // Segments before the older of two snapshots stay for registered readers (see reader_cursor.h),
  // up to so many bytes on the disk in all; then the slowest readers lose their place. Unset: a
  // quarter of the file system's size. 0: the segments stay for ever.
  std::optional<uint64_t> retain_bytes_max = std::nullopt;

  // Called after the role has changed, with the epoch, one call at a time, in the order of the
  // changes. The replica's thread calls, or a caller inside Poll() or what ends a reign: Execute(),
  // Submit(), WaitFor(), TakeSnapshot(), StepDown(). The callback may call any method of the
  // replica but the destructor.
  std::function<void(Role, Epoch)> on_role_change = {};
  // Called before on_role_change, if the replica has become primary.
  std::function<void(const TakeoverReport&)> on_takeover = {};

  // Where the replica says what happens to it; none: errors go to standard error.
  Logger logger = {};

  // Outlives the replica. What is made is for this user alone.
  // FileSystem::Posix(GroupAccess::kRead) lets the group of the directory look into the journal;
  // with GroupAccess::kReadWrite, which all replicas of the journal must then have, replicas of
  // several users can share it.
  FileSystem* file_system = &FileSystem::Posix();
  const Clock* clock = &Clock::System();  // outlives the replica
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_REPLICA_OPTIONS_H_
