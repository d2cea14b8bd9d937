// A replica seen from outside: how far it is, and what keeps it from leading.

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal_view.h"
#include "kekbit/replication/replica.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

class ReplicaViewTest : public ReplicaTest {
 protected:
  std::vector<ReplicaView> Look() {
    JournalView view(FileSystem::Posix(), dir_.path());
    const absl::StatusOr<JournalFacts> facts = view.Look();
    EXPECT_THAT(facts, IsOk());
    return facts.ok() ? facts->replicas : std::vector<ReplicaView>();
  }
  void ExpectAllUpTo(const std::vector<ReplicaView>& replicas, size_t count, Position position) {
    EXPECT_EQ(replicas.size(), count);
    for (const ReplicaView& replica : replicas) {
      EXPECT_EQ(replica.facts.applied, position) << RoleName(replica.facts.role.value_or(Role::kStopped));
      EXPECT_EQ(replica.lag.frames, 0u);
      EXPECT_GT(replica.facts.applied_time_ns, 0);
    }
  }
};

// A primary used to have a lag of one frame to itself until its first command: the frame that
// begins its epoch.
TEST_F(ReplicaViewTest, AnIdlePrimaryIsNotBehind) {
  const auto primary = Open(Polled());
  const auto follower = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ASSERT_THAT(follower->Poll(), IsOk());
  ExpectAllUpTo(Look(), 2, {.epoch = 1, .seq = 1});
}

TEST_F(ReplicaViewTest, AReplicaThatLoadedASnapshotIsNotBehind) {
  auto primary = Open(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  {
    const auto follower = Open(Polled());
    ASSERT_THAT(follower->TakeSnapshot(), IsOkAndHolds(Position{.epoch = 1, .seq = 1}));
  }
  const auto follower = Open(Polled());
  for (const ReplicaView& replica : Look()) {
    if (!replica.facts.alive) continue;
    EXPECT_EQ(replica.facts.applied, (Position{.epoch = 1, .seq = 1}));
    EXPECT_EQ(replica.lag.frames, 0u);
  }
}

// Nobody led, and nobody said why.
TEST_F(ReplicaViewTest, WhatKeepsAReplicaFromLeadingIsNoted) {
  const auto replica = Open(Polled());
  fs_.FailCalls("Allocate", absl::ResourceExhaustedError("planted: no room"));
  EXPECT_THAT(PollUntil(Role::kPrimary, *replica, 10), StatusIs(absl::StatusCode::kResourceExhausted));
  std::vector<ReplicaView> replicas = Look();
  ASSERT_EQ(replicas.size(), 1u);
  ASSERT_TRUE(replicas[0].facts.last_error.has_value());
  EXPECT_THAT(replicas[0].facts.last_error->status,
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("no room")));
  EXPECT_EQ(replicas[0].facts.last_error->count, 1u);
  // An error that lasts is noted again now and then.
  clock_.Advance(absl::ToInt64Nanoseconds(absl::Minutes(2)));
  replica->Poll().IgnoreError();
  replicas = Look();
  ASSERT_TRUE(replicas[0].facts.last_error.has_value());
  EXPECT_EQ(replicas[0].facts.last_error->count, 2u);
}

TEST_F(ReplicaViewTest, ALeaseThatCanNotBeAskedForIsNoted) {
  const auto replica = Open(Polled());
  fs_.FailCalls("OpenOrCreate", absl::PermissionDeniedError("planted: not for you"));
  EXPECT_THAT(PollUntil(Role::kPrimary, *replica, 10), StatusIs(absl::StatusCode::kPermissionDenied));
  const std::vector<ReplicaView> replicas = Look();
  ASSERT_EQ(replicas.size(), 1u);
  ASSERT_TRUE(replicas[0].facts.last_error.has_value());
  EXPECT_THAT(replicas[0].facts.last_error->status,
              StatusIs(absl::StatusCode::kPermissionDenied, "planted: not for you"));
  EXPECT_EQ(replicas[0].facts.last_error->count, 1u);
}

// A replica whose Open() failed leaves its statistics.
TEST_F(ReplicaViewTest, WhyAReplicaCouldNotBeOpenedIsNoted) {
  {
    const auto primary = Open(Polled());
    ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    ASSERT_THAT(primary->Execute("bytes that will not be read"), IsOk());
    ASSERT_THAT(primary->Execute("the last ones"), IsOk());
  }
  const std::string path = JournalLayout(dir_.path()).segment(1);
  std::string bytes = ReadFileBytes(path);
  bytes[bytes.find("will not be read")] ^= 1;
  WriteFileBytes(path, bytes);
  ASSERT_THAT(TapeReplica::Open(Polled()).status(), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_THAT(fs_.Unlink(path), IsOk());
  clock_.Advance(1);
  ASSERT_THAT(TapeReplica::Open(Polled()).status(), StatusIs(absl::StatusCode::kDataLoss));
  std::vector<std::string> errors;
  for (const ReplicaView& replica : Look()) {
    EXPECT_FALSE(replica.facts.alive);
    if (replica.facts.last_error) errors.emplace_back(replica.facts.last_error->status.message());
  }
  EXPECT_THAT(errors, UnorderedElementsAre(HasSubstr("is damaged"), HasSubstr("is gone")));
}

}  // namespace
}  // namespace kekbit
