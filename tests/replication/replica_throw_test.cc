// A function of the state that throws ends the process, and says first what it was and what gets round it.

#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

struct Fragile : Tape {
  Result Apply(const Command& command, const ApplyContext& context) {
    if (fragile && absl::StartsWith(command, "throw")) throw std::runtime_error("thrown at " + command);
    if (fragile && absl::StartsWith(command, "a number")) throw 42;  // NOLINT(hicpp-exception-baseclass)
    return Tape::Apply(command, context);
  }
  static inline bool fragile = false;
};
struct FragileAhead : Fragile {
  void Prefetch(const Command& /*command*/) const { throw std::logic_error("ahead of time"); }
};
using FragileReplica = Replica<Fragile, TextCodec>;

class ReplicaThrowTest : public ReplicaTest {
 protected:
  // Of one thread: its children have the directory of the test itself.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }

  template <typename State = Fragile>
  void Run(const std::string& way, const std::string& command) {
    Fragile::fragile = true;
    auto replica = Open<Replica<State, TextCodec>>(Polled());
    PollUntil(Role::kPrimary, *replica).IgnoreError();
    if (way == "execute") replica->Execute(command).status().IgnoreError();
    if (way == "submit") replica->Submit(command).status().IgnoreError();
    if (way == "batch") replica->SubmitBatch(std::vector<std::string>{"good", command}).status().IgnoreError();
    if (way == "follow") {
      ReplicaOptions options = Polled();
      options.may_lead = false;
      const auto follower = Open<Replica<State, TextCodec>>(options);
      Fragile::fragile = false;
      replica->Execute(command).status().IgnoreError();
      Fragile::fragile = true;
      follower->Poll().IgnoreError();
    }
    if (way == "replay") {
      Fragile::fragile = false;
      replica->Execute(command).status().IgnoreError();
      Fragile::fragile = true;
      replica = Open<Replica<State, TextCodec>>(Polled());
    }
  }

  // What the statistics have as the last errors of all replicas, for who looks later.
  std::vector<std::string> LastErrors() {
    std::vector<std::string> errors;
    const std::string directory = JournalLayout(dir_.path()).replicas();
    const std::vector<std::string> names = fs_.List(directory).value();
    for (const std::string& name : names) {
      const auto facts = ReadReplicaStats(fs_, JoinPath(directory, name));
      if (facts.ok() && facts->last_error) errors.emplace_back(facts->last_error->status.message());
    }
    return errors;
  }
};

class ReplicaThrowWayTest : public ReplicaThrowTest, public testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Ways, ReplicaThrowWayTest, testing::Values("execute", "submit", "batch", "follow", "replay"),
                         [](const auto& way) { return way.param; });

TEST_P(ReplicaThrowWayTest, SaysWhereAndWhatAndWhatGetsRoundIt) {
  const int seq = GetParam() == std::string("batch") ? 3 : 2;
  EXPECT_DEATH(Run(GetParam(), "throw"),
               absl::StrCat("kekbit: error: ", dir_.path(), ": Apply.. of the command at .epoch [0-9]+, seq ", seq,
                            "., a std::.*string.*, threw std::runtime_error: thrown at throw.*kekbit repair ",
                            dir_.path(), " --lose-from ", seq, " --apply\n"));
  EXPECT_THAT(LastErrors(), Contains(HasSubstr("threw std::runtime_error: thrown at throw")));
}

TEST_F(ReplicaThrowTest, WhatIsNoStdExceptionIsNamedByItsType) {
  EXPECT_DEATH(Run("execute", "a number"), "threw int: an exception of unknown type");
}

TEST_F(ReplicaThrowTest, APrefetchThatThrowsSaysSo) {
  EXPECT_DEATH(Run<FragileAhead>("follow", "any"), "Prefetch.. of the command at .* threw std::logic_error: ahead");
}

TEST_F(ReplicaThrowTest, TheLoggerHearsItToo) {
  const std::string log = dir_.File("log");
  const auto run = [this, &log] {
    ReplicaOptions options = Polled();
    options.logger = [&log](LogSeverity severity, absl::string_view text) {
      if (severity == LogSeverity::kError) WriteFileBytes(log, std::string(text));
    };
    Fragile::fragile = true;
    const auto replica = Open<FragileReplica>(options);
    PollUntil(Role::kPrimary, *replica).IgnoreError();
    replica->Execute("throw").status().IgnoreError();
  };
  EXPECT_DEATH(run(), "kekbit: error: .*threw std::runtime_error");
  EXPECT_THAT(ReadFileBytes(log), AllOf(HasSubstr("threw std::runtime_error"), HasSubstr("--lose-from 2 --apply")));
}

}  // namespace
}  // namespace kekbit
