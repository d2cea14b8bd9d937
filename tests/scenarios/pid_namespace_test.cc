// Mends: a hung primary in another pid namespace was not killed, and nothing was said. Its watcher can't kill it, and
// says so, once. By real processes; wants to make pid namespaces.

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "tests/support/status_matchers.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

using TapeReplica = Replica<Tape, TextCodec>;
using testing::AllOf;
using testing::HasSubstr;

// What the only living follower says of a process that it can't kill.
std::optional<ReplicaFacts::Unkillable> UnkillableOf(const WriterJournal& journal) {
  for (const ReplicaFacts& facts : ReadLivingReplicas(FileSystem::Posix(), journal.layout())) {
    if (facts.unkillable) return facts.unkillable;
  }
  return std::nullopt;
}

TEST(PidNamespaceTest, AHungPrimaryThatCanNotBeKilledIsSaidOnce) {
  WriterJournal journal;
  SharedWords words(2);  // the primary's pid as seen from here; whether it leads
  ChildProcess container([&] {
    if (::unshare(CLONE_NEWPID) != 0) {
      words.Set(0, ~uint64_t{0});
      return 0;
    }
    ChildProcess primary([&] {
      auto replica = TapeReplica::Open(journal.options()).value();
      if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return 1;
      words.Set(1, static_cast<uint64_t>(::getpid()));
      for (;;) ::pause();
    });
    words.Set(0, static_cast<uint64_t>(primary.pid()));
    return primary.Wait() == -SIGKILL ? 0 : 1;
  });
  words.AwaitAtLeast(0, 1);
  if (words.Get(0) == ~uint64_t{0}) GTEST_SKIP() << "SKIPPED: no pid namespace can be made here";
  const auto primary = static_cast<pid_t>(words.Get(0));
  words.AwaitAtLeast(1, 1);
  EXPECT_EQ(words.Get(1), 1u) << "it is not the first of its namespace";

  std::atomic<int> said = 0;
  ReplicaOptions options = journal.options();
  options.kill_hung_primary_after = absl::Milliseconds(200);
  options.logger = [&said](LogSeverity severity, absl::string_view text) {
    if (severity == LogSeverity::kError && absl::StrContains(text, "can't be killed")) ++said;
  };
  KB_ASSERT_OK_AND_ASSIGN(const auto standby, TapeReplica::Open(options));
  // One that is well is not spoken of.
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_FALSE(UnkillableOf(journal).has_value());
  EXPECT_EQ(said, 0);

  ::kill(primary, SIGSTOP);
  while (!UnkillableOf(journal)) absl::SleepFor(absl::Milliseconds(1));
  const ReplicaFacts::Unkillable unkillable = *UnkillableOf(journal);
  EXPECT_EQ(unkillable.process, Lease::Holder(FileSystem::Posix(), journal.layout().lease()));
  EXPECT_EQ(unkillable.process.pid, 1u);
  EXPECT_NE(unkillable.process.pid_namespace, ProcessId::Self(FileSystem::Posix()).pid_namespace);
  EXPECT_THAT(standby->status(),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr("process 1 of pid namespace"), HasSubstr("another pid namespace"))));
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(said, 1);

  // It goes on: there is nothing to say any more.
  ::kill(primary, SIGCONT);
  while (UnkillableOf(journal)) absl::SleepFor(absl::Milliseconds(1));
  ::kill(primary, SIGSTOP);
  while (!UnkillableOf(journal)) absl::SleepFor(absl::Milliseconds(1));
  // What the operator is asked for.
  ::kill(primary, SIGKILL);
  EXPECT_TRUE(standby->WaitForRole(Role::kPrimary, absl::InfiniteDuration()));
  EXPECT_THAT(standby->status(), IsOk());
  while (UnkillableOf(journal)) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(container.Wait(), 0);
}

}  // namespace
}  // namespace kekbit
