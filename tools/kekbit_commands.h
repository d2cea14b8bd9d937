// The commands of `kekbit`. Each looks at a channel, a segment or a journal, live or not, and
// writes nothing but its output, unless it says so; channels are mapped for reading only, and no
// lock is taken.
//
// A command returns whether all is well: false from Verify() and Repair() for damage, from Stat()
// and Top() for a journal without a primary. An error is that the path could not be read, or an
// option does not fit it.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_TOOLS_KEKBIT_COMMANDS_H_
#define KEKBIT_TOOLS_KEKBIT_COMMANDS_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "tools/kekbit_output.h"

namespace kekbit {

struct CommandOptions {
  FileSystem* file_system = &FileSystem::Posix();  // outlives the command
  std::string path = {};
  bool json = false;
  // Options of Dump().
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  std::optional<uint64_t> from = std::nullopt;  // offset of the first item shown
  // Options of Tail().
  uint64_t last = 10;  // this many items are shown of what is there already
  bool follow = false;
  // Options of Stat().
  bool segments = false;  // each segment of a journal, too
  // Options of Top().
  absl::Duration interval = absl::Seconds(1);
  bool once = false;
  // Options of Repair().
  bool apply = false;
  std::optional<uint64_t> lose_from = std::nullopt;
  // Options of Cursors().
  std::optional<std::string> remove = std::nullopt;  // the name of a reader
  // Options of Archive(), RestoreArchive() and VerifyOfArchive(): a directory.
  std::string archive = {};
  std::string reader = "archive";  // as which the journal is read
  bool zstd = false;
  uint64_t keep_snapshots = 0;                     // 0: no limit
  absl::Duration keep_for = absl::ZeroDuration();  // 0: no limit
  bool dry_run = false;
  std::optional<uint64_t> to_seq = std::nullopt;
  std::optional<int64_t> to_time_ns = std::nullopt;
  std::optional<uint64_t> incarnation = std::nullopt;
};

// Shows every item, in order. OutOfRange, or InvalidArgument for a journal, if there is no item at
// `from`.
absl::StatusOr<bool> Dump(const CommandOptions& options, Output& output);

// Shows the last items. With `follow`, also shows those that come, until the channel is closed or
// its writer is gone. A journal never ends: its next segment may be written by another process.
absl::StatusOr<bool> Tail(const CommandOptions& options, Output& output);

// Shows what the channel says of itself, and what it holds, in sum. For a journal: what is kept,
// who is primary, and how each replica is, also the dead ones that left their statistics.
absl::StatusOr<bool> Stat(const CommandOptions& options, Output& output);

// Shows a journal like Stat(), again and again, with its rates, until nobody reads the output any
// more. With `once`, only once. Returns false like Stat(), by the last look.
absl::StatusOr<bool> Top(const CommandOptions& options, Output& output);

// Shows the registered readers of a journal: up to where each is done, its lag in frames, and
// whether it has lost its place. With `remove` it ends the registration of one reader instead: the
// cursor is unlinked, so that what only that reader held can go. FailedPrecondition if somebody has
// the cursor.
absl::StatusOr<bool> Cursors(const CommandOptions& options, Output& output);

// Makes a journal that nobody leads fit for a new primary: shows what there is to do, and does it
// with `apply`. What is taken out is moved to DIR/aside, nothing is deleted. Damage of what was
// synced, or may have been, is truncated only with `lose_from`, which names the first seq that is
// lost. FailedPrecondition while a primary lives, or, with `apply`, a follower; also for a
// `lose_from` where other things are to be repaired. Returns true if nothing is left to do.
//
// Where nothing is to be repaired, `lose_from` ends the journal before that frame: see
// kekbit_give_up.h. FailedPrecondition also while a registered reader runs; OutOfRange for a seq
// that the journal does not have.
absl::StatusOr<bool> Repair(const CommandOptions& options, Output& output);

// Checks every length of a channel. Of a journal checks each frame's checksum, that each frame and
// each segment follows its predecessor, without a hole in the seq and with epochs that never fall.
// Checks also the snapshots, whether the journal goes on after each, and the small files beside
// them. Lists each damaged place, and what it means. For a journal that nobody writes, tells
// whether a replica can open it. Tells also whether its end is a torn tail, which the next primary
// truncates, or damage, at which the next primary refuses to go on. What is trimmed from a live
// journal meanwhile is passed over.
absl::StatusOr<bool> Verify(const CommandOptions& options, Output& output);

// Copies the journal `path` to `archive`: all that is there now; with `follow`, also what comes, at
// each `interval`, until nobody reads the output any more. Then an error that may pass is told, and
// the copy tried again. FailedPrecondition if the journal does not follow the archive, or if somebody
// else copies it. With `dry_run` only says what retention would let go now.
absl::StatusOr<bool> Archive(const CommandOptions& options, Output& output);

// Makes the journal `path` from `archive`, as it was after `to_seq`, at `to_time_ns`, or at the
// archive's end.
absl::StatusOr<bool> RestoreArchive(const CommandOptions& options, Output& output);

// Reads all of the archive `path`, and says what is missing or damaged, and what can be restored.
absl::StatusOr<bool> VerifyOfArchive(const CommandOptions& options, Output& output);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_COMMANDS_H_
