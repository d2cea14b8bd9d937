// Mends: a replica waited for ever, and in silence, for a lock that is no replica's. It says whose lock that is, and a
// read lock on a segment does not keep it waiting at all.

#include "tests/support/foreign_lock.h"

#include <fcntl.h>
#include <signal.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

class ForeignLockTest : public ReplicaTest {
 protected:
  ForeignLockTest() : layout_(dir_.path()) {
    const auto first = Open(Polled());
    EXPECT_THAT(PollUntil(Role::kPrimary, *first), IsOk());
    EXPECT_THAT(first->Execute("one"), IsOk());
  }

  // What a standby says of it: its status, after some seconds.
  absl::Status StatusOf(TapeReplica& standby) {
    const absl::Status status = PollUntil(Role::kPrimary, standby, 5);
    EXPECT_EQ(standby.role(), Role::kFollower);
    return status;
  }
  static std::string Named(absl::string_view lock, const ForeignLock& foreign) {
    return absl::StrCat("a ", lock, " lock of process ", foreign.pid(), " (");
  }

  const JournalLayout layout_;
};

TEST_F(ForeignLockTest, AReadLockOnTheLeaseIsNamed) {
  for (const int command : {F_OFD_SETLK, F_SETLK}) {
    std::optional<ForeignLock> foreign(std::in_place, layout_.lease(), F_RDLCK, command);
    const auto standby = Open(Polled());
    EXPECT_THAT(StatusOf(*standby), StatusIs(StatusCode::kFailedPrecondition,
                                             AllOf(HasSubstr(layout_.lease()), HasSubstr(Named("read", *foreign)))));
    // For `kekbit stat`, too.
    const std::vector<ReplicaFacts> facts = ReadLivingReplicas(fs_, layout_);
    ASSERT_EQ(facts.size(), 1u);
    ASSERT_TRUE(facts[0].last_error.has_value());
    EXPECT_THAT(facts[0].last_error->status, StatusIs(StatusCode::kFailedPrecondition, HasSubstr("read lock")));
    foreign.reset();
    EXPECT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
    EXPECT_THAT(standby->status(), IsOk());
  }
}

TEST_F(ForeignLockTest, ALockOnTheTurnIsNamed) {
  const std::string turn = absl::StrCat(layout_.lease(), ".next");
  ASSERT_THAT(fs_.OpenOrCreate(turn), IsOk());
  std::optional<ForeignLock> foreign(std::in_place, turn, F_RDLCK, F_OFD_SETLK);
  const auto standby = Open(Polled());
  EXPECT_THAT(StatusOf(*standby),
              StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr(turn), HasSubstr(Named("read", *foreign)))));
  foreign.reset();
  EXPECT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
}

// Of the kind that replicas take, by a process that the file does not name.
TEST_F(ForeignLockTest, AStrangersLockOfKekbitsKindIsNamed) {
  std::optional<ForeignLock> foreign(std::in_place, layout_.lease(), F_WRLCK, F_OFD_SETLK);
  const auto standby = Open(Polled());
  EXPECT_THAT(StatusOf(*standby), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(Named("write", *foreign))));
  foreign.reset();
  EXPECT_THAT(PollUntil(Role::kPrimary, *standby), IsOk());
}

TEST_F(ForeignLockTest, IsNamedByAReplicaWithThreadsToo) {
  std::optional<ForeignLock> foreign(std::in_place, layout_.lease(), F_RDLCK, F_OFD_SETLK);
  const auto standby = Open(Options());
  while (standby->status().ok()) std::this_thread::yield();
  EXPECT_THAT(standby->status(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(Named("read", *foreign))));
  foreign.reset();
  EXPECT_TRUE(standby->WaitForRole(Role::kPrimary, kLong));
}

// A primary's lock is none of a stranger's, whether it is silent or not.
TEST_F(ForeignLockTest, APrimarysLockIsNoObstacle) {
  const auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  const auto standby = Open(Polled());
  EXPECT_THAT(PollUntil(Role::kPrimary, *standby, 5), StatusIs(StatusCode::kDeadlineExceeded));
  EXPECT_THAT(standby->status(), IsOk());
}

class LockedSegmentTest : public testing::Test {
 protected:
  // A journal whose primary was killed; nobody can tell any more that it was the journal's only writer.
  LockedSegmentTest() {
    WriterProcess primary = journal_.Start();
    EXPECT_TRUE(primary.AwaitAcks(100));
    primary.Kill();
    acks_ = primary.acks().size();
    EXPECT_EQ(::unlink(journal_.layout().lease().c_str()), 0);
    segment_ = journal_.layout().segment(journal_.layout().ListSegments(FileSystem::Posix()).value().back());
  }

  WriterJournal journal_;
  size_t acks_ = 0;
  std::string segment_;
};

TEST_F(LockedSegmentTest, AReadLockKeepsNobodyWaiting) {
  const ForeignLock foreign(segment_, F_RDLCK, F_OFD_SETLK);
  WriterProcess standby = journal_.Start();
  ASSERT_TRUE(standby.AwaitAcks(100));
  EXPECT_GE(standby.acks().front().number, acks_);
  standby.Kill();
  journal_.Check({&standby});
}

TEST_F(LockedSegmentTest, AWriteLockIsNamed) {
  std::optional<ForeignLock> foreign(std::in_place, segment_, F_WRLCK, F_SETLK);
  ReplicaOptions options = journal_.options();
  options.threads = false;
  auto standby = TapeReplica::Open(options);
  ASSERT_THAT(standby, IsOk());
  EXPECT_THAT((*standby)->Poll(),
              StatusIs(StatusCode::kUnavailable, HasSubstr(absl::StrCat("a write lock of process ", foreign->pid()))));
  foreign.reset();
  while ((*standby)->role() != Role::kPrimary) (*standby)->Poll().IgnoreError();
}

}  // namespace
}  // namespace kekbit
