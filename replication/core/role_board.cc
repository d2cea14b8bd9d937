#include "kekbit/replication/core/role_board.h"

#include "absl/strings/str_cat.h"

namespace kekbit {
namespace {

// How long an error that lasts is left out before it is noted again.
constexpr absl::Duration kNoteAgainAfter = absl::Minutes(1);

}  // namespace

void RoleBoard::SetRole(Role role, Position applied, const std::optional<TakeoverReport>& takeover) {
  env_.stats->SetRole(role, applied.epoch);
  if (takeover) {
    env_.stats->AddTakeover(*takeover);
    env_.Say(LogSeverity::kInfo, absl::StrCat("primary, ", takeover->ToString()));
  } else if (role == Role::kFollower) {
    env_.Say(LogSeverity::kInfo, absl::StrCat("a follower again, behind ", applied.ToString()));
  }
  role_ = role;
  changes_.push_back({.role = role, .epoch = applied.epoch, .takeover = takeover});
}

void RoleBoard::Note(const absl::Status& error, absl::string_view what) {
  status_ = error;
  LogNowAndThen(error, what);
}

void RoleBoard::LogNowAndThen(const absl::Status& error, absl::string_view what) {
  const int64_t now = env_.MonotonicNanos();
  if (error == noted_ && now < noted_ns_ + absl::ToInt64Nanoseconds(kNoteAgainAfter)) return;
  noted_ = error;
  noted_ns_ = now;
  env_.LogError(error, what);
}

absl::Status RoleBoard::NotPrimary() const {
  if (role_ == Role::kStopped) return status_;
  return absl::FailedPreconditionError(absl::StrCat(env_.options.directory, ": this replica is a ", RoleName(role_),
                                                    ", only the primary takes commands"));
}

void RoleBoard::TellUser(absl::Mutex& mutex) {
  if (reporter_ != std::thread::id()) return;  // whoever reports goes on, in order
  reporter_ = std::this_thread::get_id();
  while (!changes_.empty()) {
    const Change change = changes_.front();
    changes_.pop_front();
    mutex.Unlock();
    if (change.takeover && env_.options.on_takeover) env_.options.on_takeover(*change.takeover);
    if (env_.options.on_role_change) env_.options.on_role_change(change.role, change.epoch);
    mutex.Lock();
  }
  reporter_ = std::thread::id();
}

bool RoleBoard::WaitForRole(Role role, absl::Duration timeout, absl::Mutex& mutex) {
  // A callback can't wait for itself.
  const bool in_callback = reporter_ == std::this_thread::get_id();
  const auto told = [this, in_callback] { return in_callback || (changes_.empty() && reporter_ == std::thread::id()); };
  const auto reached = [this, role, &told] { return (role_ == role || role_ == Role::kStopped) && told(); };
  mutex.AwaitWithTimeout(absl::Condition(&reached), timeout);
  return role_ == role && told();
}

}  // namespace kekbit
