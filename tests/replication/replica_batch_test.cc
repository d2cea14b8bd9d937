// How a replica applies what it reads: many frames at once, one after the other all the same.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/replica.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

// A tape that is told in advance what comes, and notes it.
struct ForetoldTape : Tape {
  Result Apply(const Command& command, const ApplyContext& context) {
    EXPECT_LT(positions.size(), foretold.size());
    EXPECT_EQ(command, foretold[positions.size()]);
    ahead_max = std::max(ahead_max, foretold.size() - positions.size());
    return Tape::Apply(command, context);
  }
  void Prefetch(const Command& command) const { foretold.push_back(command); }

  mutable std::vector<std::string> foretold;
  size_t ahead_max = 0;
};
static_assert(PrefetchingState<ForetoldTape> && !PrefetchingState<Tape>);

using ForetoldReplica = Replica<ForetoldTape, TextCodec>;
using StrictForetoldReplica = Replica<ForetoldTape, StrictTextCodec>;

class ReplicaBatchTest : public ReplicaTest {
 protected:
  // A journal of so many, over several segments.
  std::vector<std::string> WriteCommands(int count) {
    const auto primary = OpenPrimary();
    std::vector<std::string> commands;
    for (int i = 0; i < count; ++i) {
      commands.push_back(absl::StrCat("command ", i));
      EXPECT_THAT(primary->Execute(commands.back()), IsOk());
    }
    return commands;
  }

  ReplicaOptions Following() {
    ReplicaOptions options = Polled();
    options.may_lead = false;
    return options;
  }

  // Opens the journal whose command `bad`, counted from 0, can't be decoded by an R; it follows when that comes.
  template <typename R>
  void CheckStopsBefore(int bad) {
    const auto primary = OpenPrimary();
    const auto follower = Open<R>(Following());
    for (int i = 0; i < bad + 100; ++i) {
      ASSERT_THAT(primary->Execute(i == bad ? std::string(kNoUtf8) : absl::StrCat("command ", i)), IsOk());
    }
    const Seq last = primary->applied().seq - 100;
    EXPECT_THAT(follower->Poll(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(absl::StrCat("seq ", last + 1, "}"))));
    EXPECT_EQ(follower->role(), Role::kStopped);
    EXPECT_EQ(follower->applied().seq, last);
    EXPECT_EQ(follower->Read([](const Tape& tape) { return tape.commands.size(); }), static_cast<size_t>(bad));
  }
};

TEST_F(ReplicaBatchTest, AStateIsToldInAdvanceWhatItWillApply) {
  const std::vector<std::string> commands = WriteCommands(3000);
  const auto follower = Open<ForetoldReplica>(Following());
  follower->Read([&](const ForetoldTape& tape) {
    EXPECT_EQ(tape.commands, commands);
    EXPECT_EQ(tape.foretold, commands);  // nothing twice, nothing that did not come
    EXPECT_GT(tape.ahead_max, 4u);
    EXPECT_LT(tape.ahead_max, 64u);
    return 0;
  });
}

// Where among many it stands, counted from 0.
class ReplicaBatchUndecodableTest : public ReplicaBatchTest, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(At, ReplicaBatchUndecodableTest, testing::Values(0, 5, 16, 21, 131, 150));

TEST_P(ReplicaBatchUndecodableTest, AllBeforeItIsApplied) { CheckStopsBefore<StrictReplica>(GetParam()); }
TEST_P(ReplicaBatchUndecodableTest, SoWithAStateThatIsToldInAdvance) {
  CheckStopsBefore<StrictForetoldReplica>(GetParam());
}

}  // namespace
}  // namespace kekbit
