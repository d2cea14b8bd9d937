// A journal is for the service that wrote it: another's, or that of a version which does not fit, is refused as such.

#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_file.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Takes the tape's commands without a word: to it they are something else.
struct Diary : Tape {
  static constexpr absl::string_view kStateName = "diary";
};
using DiaryReplica = Replica<Diary, TextCodec>;
// A class that was renamed, and says so.
struct Reel : Tape {};

const auto kNamesBoth =
    StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("\"tape\""), HasSubstr("\"diary\"")));

class ReplicaServiceTest : public ReplicaTest {
 protected:
  void WriteTape() {
    const auto primary = OpenPrimary();
    ASSERT_THAT(primary->Execute("one"), IsOk());
  }
};

TEST_F(ReplicaServiceTest, AnotherServicesJournalIsRefusedWithBothNames) {
  WriteTape();
  EXPECT_THAT(DiaryReplica::Open(Polled()),
              AllOf(kNamesBoth,
                    StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(JournalLayout(dir_.path()).segment(1)))));
  // It still is what it was.
  EXPECT_THAT(CommandsOf(*OpenPrimary()), ElementsAre("one"));
}

TEST_F(ReplicaServiceTest, ARenamedClassSaysWhatItWas) {
  WriteTape();
  const auto reel = Replica<Reel, TextCodec>::Open(Polled());
  ASSERT_THAT(reel, IsOk());
  EXPECT_THAT((*reel)->Read([](const Reel& state) { return state.commands; }), ElementsAre("one"));
}

TEST_F(ReplicaServiceTest, AnotherServicesSnapshotIsRefusedWithBothNames) {
  {
    ReplicaOptions options = Options();
    options.snapshots.on_primary = true;
    const auto primary = Open(options);
    ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, kLong));
    ASSERT_THAT(primary->Execute("one"), IsOk());
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
  }
  // With the snapshot alone: no segment says anything any more.
  KB_ASSERT_OK_AND_ASSIGN(const auto segments, JournalLayout(dir_.path()).ListSegments(fs_));
  for (const SegmentNumber number : segments) {
    ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).segment(number)), IsOk());
  }
  EXPECT_THAT(DiaryReplica::Open(Polled()),
              AllOf(kNamesBoth, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(".snapshot"))));
}

// One may come later, from a program that does not look.
TEST_F(ReplicaServiceTest, EachSegmentThatIsReadIsLookedAt) {
  {
    TestJournal journal(dir_.path());  // of an earlier version: without a name
    JournalWriter writer = journal.Begin();
    ASSERT_THAT(Append(writer, "one"), IsOk());
  }
  ReplicaOptions options = Polled();
  options.may_lead = false;
  const auto diary = Replica<Diary, RawCodec>::Open(options);
  ASSERT_THAT(diary, IsOk());
  EXPECT_THAT((*diary)->Poll(), IsOk());
  TestJournal journal(dir_.path(), fs_, kCapacityMin, "tape");
  JournalWriter writer = journal.Begin();
  ASSERT_THAT(Append(writer, "two"), IsOk());
  EXPECT_THAT((*diary)->Poll(), kNamesBoth);
  EXPECT_EQ((*diary)->role(), Role::kStopped);
  EXPECT_THAT((*diary)->Read([](const Diary& state) { return state.commands; }), ElementsAre("one"));
}

TEST_F(ReplicaServiceTest, AJournalOfAnEarlierVersionIsTakenAndItsNextSegmentNamed) {
  {
    TestJournal journal(dir_.path());
    JournalWriter writer = journal.Begin();
    ASSERT_THAT(Append(writer, "one"), IsOk());
  }
  const auto replica = Open<Replica<Tape, RawCodec>>(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
  const auto name = [this](SegmentNumber number) {
    return SegmentStateName(OpenChannelFile(fs_, JournalLayout(dir_.path()).segment(number)).value().extension);
  };
  EXPECT_EQ(name(1), "");
  EXPECT_EQ(name(2), "tape");
}

struct Add {
  int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(amount);
  }
};
struct Rename {
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
};
template <typename... Commands>
struct Account {
  static constexpr absl::string_view kStateName = "account";
  using Command = std::variant<Commands...>;
  using Result = int;
  Result Apply(const Command& /*command*/, const ApplyContext& /*context*/) { return 0; }
  template <class Archive>
  void serialize(Archive& /*archive*/) {}
};
using OldAccount = Account<Add>;
using NewAccount = Account<Add, Rename>;

// It was DATA_LOSS, as if a disk had lost something.
TEST_F(ReplicaServiceTest, ACommandOfANewerVersionIsNoDamageAndIsNamed) {
  const auto primary = Open<Replica<NewAccount>>(Polled());
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  ReplicaOptions options = Polled();
  options.may_lead = false;
  const auto follower = Open<Replica<OldAccount>>(options);
  ASSERT_THAT(primary->Execute(Rename{.name = "ada"}), IsOk());
  const auto names = StatusIs(absl::StatusCode::kFailedPrecondition,
                              AllOf(HasSubstr(dir_.path()), HasSubstr("the command at {epoch 1, seq 2}"),
                                    HasSubstr("std::variant<kekbit::(anonymous namespace)::Add>"),
                                    HasSubstr("version 0"), HasSubstr("another version of the service")));
  EXPECT_THAT(follower->Poll(), names);                    // as it follows
  EXPECT_THAT(Replica<OldAccount>::Open(options), names);  // and as it replays
}

}  // namespace
}  // namespace kekbit
