// Mends: a forked child was told that it is primary, and then died without a word or hung. What the parent has opened
// says in a child that it is the parent's.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal_view.h"
#include "kekbit/replication/registered_reader.h"
#include "tests/support/child_process.h"
#include "tests/support/replica_fixture.h"

namespace kekbit {
namespace {

using testing::ElementsAre;

bool SaysForked(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) && absl::StrContains(status.message(), "fork()");
}

// 0, or the number of the first call that did not say so.
int FirstThatWorks(TapeReplica& replica) {
  const auto size = [](const Tape& tape) -> absl::StatusOr<size_t> { return tape.commands.size(); };
  const absl::Status said[] = {
      replica.Execute("child").status(),
      replica.Execute("child", Ack::kSynced).status(),
      replica.Submit("child").status(),
      replica.SubmitBatch({"child", "child"}).status(),
      replica.WaitFor({.epoch = 1, .seq = 1}, Ack::kPublished, kLong),
      replica.StepDown(Successor::kAnybody),
      replica.TakeSnapshot().status(),
      replica.Poll(),
      replica.status(),
      replica.Read(size).status(),
      replica.Read([](const Tape&, Position) { return absl::OkStatus(); }),
      replica.ReadAt({.epoch = 1, .seq = 1}, kLong, [](const Tape&) { return 0; }).status(),
  };
  int number = 0;
  for (const absl::Status& status : said) {
    ++number;
    if (!SaysForked(status)) return number;
  }
  if (replica.role() != Role::kStopped || replica.WaitForRole(Role::kPrimary, kLong)) return 100;
  if (replica.applied() != Position() || replica.recovery().frames != 0) return 101;
  if (replica.Now() != absl::InfinitePast()) return 102;
  return 0;
}

class ForkedReplicaTest : public ReplicaTest {
 protected:
  // For what a child opens: the fixture's file system has a lock, which a thread may hold while the process forks.
  ReplicaOptions Posix() {
    ReplicaOptions options = Options();
    options.file_system = &FileSystem::Posix();
    return options;
  }
};

TEST_F(ForkedReplicaTest, AChildOfAPrimaryIsNoPrimary) {
  auto primary = OpenPrimary();
  const auto standby = Open(Options());
  ASSERT_THAT(primary->Execute("before"), IsOk());
  ChildProcess child([&primary] {
    if (const int failed = FirstThatWorks(*primary); failed != 0) return failed;
    primary.reset();  // no CLOSE, no lease given back, no thread waited for
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(primary->role(), Role::kPrimary);
  EXPECT_THAT(primary->Execute("after"), IsOk());
  EXPECT_EQ(standby->role(), Role::kFollower);
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("before", "after"));
}

TEST_F(ForkedReplicaTest, AChildOfAFollowerOrOfOneWithoutThreadsIsNothingEither) {
  const auto primary = OpenPrimary();
  auto follower = Open(Options());
  auto polled = Open(Polled());
  ChildProcess child([&] {
    if (const int failed = FirstThatWorks(*follower); failed != 0) return failed;
    if (const int failed = FirstThatWorks(*polled); failed != 0) return 200 + failed;
    follower.reset();
    polled.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(ForkedReplicaTest, AChildDoesNotHangOnALockOfTheParents) {
  auto primary = OpenPrimary();
  std::atomic<bool> locked = false;
  std::atomic<bool> done = false;
  std::thread reader([&] {
    primary->Read([&](const Tape&) {
      locked = true;
      while (!done) std::this_thread::yield();
      return 0;
    });
  });
  while (!locked) std::this_thread::yield();
  ChildProcess child([&primary] {
    const int failed = FirstThatWorks(*primary);
    primary.reset();
    return failed;
  });
  EXPECT_EQ(child.Wait(), 0);
  done = true;
  reader.join();
}

TEST_F(ForkedReplicaTest, AReadThatCanNotSaySoEndsTheChild) {
  const auto primary = OpenPrimary();
  ChildProcess child([&primary] {
    std::freopen("/dev/null", "w", stderr);
    return static_cast<int>(CommandsOf(*primary).size());
  });
  EXPECT_EQ(child.Wait(), -SIGABRT);
}

TEST_F(ForkedReplicaTest, AChildOpensReplicasOfItsOwn) {
  auto primary = OpenPrimary();
  ASSERT_THAT(primary->Execute("one"), IsOk());
  SharedWords words(1);
  ChildProcess child([&] {
    auto own = TapeReplica::Open(Posix());
    if (!own.ok()) return 1;
    words.Set(0, 1);
    if (!(*own)->WaitForRole(Role::kPrimary, kLong)) return 2;
    return (*own)->Execute("two").ok() && CommandsOf(**own).size() == 2 ? 0 : 3;
  });
  words.AwaitAtLeast(0, 1);
  primary.reset();
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(ForkedReplicaTest, ARegisteredReadersPlaceIsTheParents) {
  const auto primary = OpenPrimary();
  for (const char* command : {"one", "two", "three"}) ASSERT_THAT(primary->Execute(command), IsOk());
  const JournalLayout layout(dir_.path());
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, RegisteredReader::Open(fs_, layout, "audit"));
  const std::optional<Frame> first = reader.Next();
  ASSERT_TRUE(first.has_value());
  ASSERT_THAT(reader.Done(first->position()), IsOk());
  ChildProcess child([&reader, &first] {
    if (reader.Next().has_value() || !SaysForked(reader.status())) return 1;
    if (!SaysForked(reader.Done(first->position())) || !SaysForked(reader.Reset(first->position()))) return 2;
    if (!SaysForked(reader.cursor().status())) return 3;
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  ASSERT_TRUE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const auto cursors, ListCursors(fs_, layout));
  ASSERT_EQ(cursors.size(), 1u);
  EXPECT_TRUE(cursors[0].owned);
  EXPECT_EQ(cursors[0].done, first->position());
}

// It has nothing but mappings for reading.
TEST_F(ForkedReplicaTest, AViewGoesOn) {
  const auto primary = OpenPrimary();
  ASSERT_THAT(primary->Execute("one"), IsOk());
  JournalView view(FileSystem::Posix(), dir_.path());
  ASSERT_THAT(view.Look(), IsOk());
  ChildProcess child([&view] {
    const absl::StatusOr<JournalFacts> facts = view.Look();
    return facts.ok() && facts->last.seq == 2 && facts->lease_held ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace kekbit
