// RoleBoard says what a replica is and how it is: its role, its status, and what the user was not
// told of yet.
//
// Thread safety: guarded by the replica's mutex, which some methods release meanwhile.

#ifndef KEKBIT_REPLICATION_CORE_ROLE_BOARD_H_
#define KEKBIT_REPLICATION_CORE_ROLE_BOARD_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/replication/core/environment.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/role.h"
#include "kekbit/replication/takeover_report.h"

namespace kekbit {

class RoleBoard final {
 public:
  // `env` outlives the board.
  explicit RoleBoard(const Environment& env) : env_(env) {}
  RoleBoard(const RoleBoard&) = delete;
  RoleBoard& operator=(const RoleBoard&) = delete;

  Role role() const { return role_; }
  // Changes the role; TellUser() tells of it. `applied`: the last frame that the state holds.
  void SetRole(Role role, Position applied, const std::optional<TakeoverReport>& takeover = std::nullopt);

  const absl::Status& status() const { return status_; }
  void SetStatus(const absl::Status& status) { status_ = status; }
  // Makes a passing error the status; notes and logs the error, but not each time it comes again.
  void Note(const absl::Status& error, absl::string_view what);
  // The second half of Note(): for what does not keep the replica from its role.
  void LogNowAndThen(const absl::Status& error, absl::string_view what);

  // Returns why a replica that is not primary takes no commands.
  absl::Status NotPrimary() const;

  // Calls the user's callbacks for what changed, without the mutex.
  void TellUser(absl::Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Waits until this is the role, and the user was told of it; see Replica::WaitForRole().
  bool WaitForRole(Role role, absl::Duration timeout, absl::Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

 private:
  struct Change {
    Role role;
    Epoch epoch;
    std::optional<TakeoverReport> takeover;
  };

  const Environment& env_;
  Role role_ = Role::kFollower;
  std::deque<Change> changes_;  // that the user was not told of yet
  std::thread::id reporter_;    // who tells just now; none: nobody does
  absl::Status status_;
  absl::Status noted_;    // the last error that may pass
  int64_t noted_ns_ = 0;  // when
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_CORE_ROLE_BOARD_H_
