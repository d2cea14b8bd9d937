// `kekbit repair DIR --lose-from SEQ` on a sound journal: an operator's way out of a command that
// no replica can apply.

#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "codecs/text_codec.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_file.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/registered_reader.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A state that one command ends, as a fault in a service would.
struct Bomb {
  using Command = std::string;
  using Result = size_t;
  Result Apply(const Command& command, const ApplyContext& context) {
    if (command == "boom") throw std::runtime_error("boom");
    return tape.Apply(command, context).value_or(0);
  }
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(tape);
  }
  Tape tape;
};
using BombReplica = Replica<Bomb, TextCodec>;

class GiveUpTest : public ReplicaTest {
 protected:
  JournalLayout layout() const { return JournalLayout(dir_.path()); }

  struct Ran {
    absl::StatusOr<bool> result;
    std::string text;
  };
  static Ran RunRepair(const std::string& directory, bool apply, std::optional<Seq> from,
                       FileSystem& fs = FileSystem::Posix()) {
    testing::internal::CaptureStdout();
    Ran ran;
    {
      Output output;
      ran.result = Repair({.file_system = &fs, .path = directory, .apply = apply, .lose_from = from}, output);
      output.Flush();
    }
    ran.text = testing::internal::GetCapturedStdout();
    return ran;
  }
  Ran Try(Seq from) { return RunRepair(dir_.path(), /*apply=*/false, from); }
  Ran Apply(Seq from) { return RunRepair(dir_.path(), /*apply=*/true, from); }
  bool IsSound(const std::string& directory) {
    testing::internal::CaptureStdout();
    Output output;
    const absl::StatusOr<bool> sound = Verify({.path = directory}, output);
    output.Flush();
    const std::string text = testing::internal::GetCapturedStdout();
    EXPECT_THAT(sound, IsOkAndHolds(true)) << text;
    return sound.value_or(false);
  }

  // Commands "0", "1", ... in frames 2, 3, ...; a snapshot after frames 4 and 7.
  std::unique_ptr<TapeReplica> Write(int commands, Ack ack = Ack::kSynced) {
    ReplicaOptions options = Polled();
    options.snapshots.on_primary = true;
    auto primary = Open(options);
    EXPECT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    for (int i = 0; i < commands; ++i) {
      EXPECT_THAT(primary->Execute(absl::StrCat(i), ack), IsOk());
      if (const Seq seq = primary->applied().seq; seq == 4 || seq == 7) {
        EXPECT_THAT(primary->TakeSnapshot(), IsOk());
      }
    }
    return primary;
  }
  std::unique_ptr<TapeReplica> Lead() {
    auto primary = Open(Polled());
    EXPECT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
    return primary;
  }
  static std::vector<Position> FramesOf(const std::string& directory) {
    std::vector<Position> frames;
    JournalReader reader = *ReadJournal(FileSystem::Posix(), JournalLayout(directory));
    while (const std::optional<Frame> frame = reader.Next()) frames.push_back(frame->position());
    EXPECT_THAT(reader.status(), IsOk());
    return frames;
  }
  Seq FirstSeqOf(SegmentNumber number) const {
    const auto channel = OpenChannelFile(FileSystem::Posix(), layout().segment(number));
    return FollowedBySegment(channel->extension)->position.seq + 1;
  }
  Seq FirstKept() const { return FirstSeqOf(layout().ListSegments(FileSystem::Posix())->front()); }
  std::string KeptNames() const { return TempDirListing(layout().aside()); }
  static std::string TempDirListing(const std::string& directory) {
    std::string names;
    if (!std::filesystem::exists(directory)) return names;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      absl::StrAppend(&names, entry.path().filename().string(), " ");
    }
    return names;
  }
};

// It forks, so it comes before tests that start threads.
// Every replica of it ended, and so did the next one, for ever.
TEST_F(GiveUpTest, AServiceWhoseApplyThrowsComesBack) {
  const std::string directory = dir_.path();
  const auto options = [&] {
    ReplicaOptions opened;
    opened.directory = directory;
    opened.segment_bytes = 64 << 10;
    return opened;
  };
  const auto serve = [&](const char* command) {
    auto replica = BombReplica::Open(options());
    if (!replica.ok() || !(*replica)->WaitForRole(Role::kPrimary, kLong)) return 1;
    return (*replica)->Execute(command, Ack::kSynced).ok() ? 0 : 1;
  };
  EXPECT_EQ(ChildProcess([&] { return serve("fine"); }).Wait(), 0);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ChildProcess([&] { return serve("boom"); }).Wait(), -SIGABRT);
  const Seq bad = FramesOf(directory).back().seq;
  EXPECT_THAT(Apply(bad).result, IsOkAndHolds(true));
  EXPECT_EQ(ChildProcess([&] { return serve("well"); }).Wait(), 0);
  KB_ASSERT_OK_AND_ASSIGN(const auto replica, BombReplica::Open(options()));
  EXPECT_THAT(replica->Read([](const Bomb& bomb) { return bomb.tape.commands; }), ElementsAre("fine", "well"));
}

TEST_F(GiveUpTest, SaysWhatWouldBeLostAndThenLosesExactlyThat) {
  Write(10);
  Ran ran = Try(6);
  EXPECT_THAT(ran.result, IsOkAndHolds(false));
  EXPECT_THAT(ran.text, HasSubstr("would lose: 6 frame(s), seq 6 to 11, written from "));
  EXPECT_THAT(ran.text, HasSubstr("what was up to seq 11 was acknowledged as synced"));
  EXPECT_THAT(ran.text, AllOf(HasSubstr("would move: "), HasSubstr(layout().snapshots())));
  EXPECT_THAT(ran.text, HasSubstr(absl::StrCat("run: kekbit repair ", dir_.path(), " --apply --lose-from 6\n")));
  EXPECT_EQ(KeptNames(), "");
  EXPECT_EQ(FramesOf(dir_.path()).size(), 11u);

  ran = Apply(6);
  EXPECT_THAT(ran.result, IsOkAndHolds(true)) << ran.text;
  EXPECT_THAT(ran.text, HasSubstr("done: the journal ends with seq 5"));
  EXPECT_THAT(KeptNames(),
              AllOf(HasSubstr("snapshots."), HasSubstr("synced.from_0."), HasSubstr("segments.0000_0000.")));
  EXPECT_EQ(FramesOf(dir_.path()).size(), 5u);
  EXPECT_EQ(SyncMark::OpenForReading(fs_, layout().synced())->synced(), 5u);
  EXPECT_TRUE(IsSound(dir_.path()));

  // The state is that of seq 5, and what comes has an epoch that no lost frame had.
  const auto primary = Lead();
  EXPECT_THAT(CommandsOf(*primary), ElementsAre("0", "1", "2", "3"));
  EXPECT_EQ(primary->applied(), (Position{.epoch = 2, .seq = 6}));
  EXPECT_THAT(primary->Execute("new", Ack::kSynced), IsOk());
  EXPECT_TRUE(IsSound(dir_.path()));
}

TEST_F(GiveUpTest, WhatWasNotSyncedIsSaidToBe) {
  Write(2, Ack::kPublished);
  EXPECT_THAT(Try(3).text, HasSubstr("none of it is known to have been acknowledged as synced"));
}

TEST_F(GiveUpTest, OnlyASeqOfTheJournalIsGivenUp) {
  Write(10);
  EXPECT_THAT(Apply(0).result, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Apply(13).result, StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("seq 13 is not reached yet")));
  const Ran ran = Apply(12);
  EXPECT_THAT(ran.result, IsOkAndHolds(true));
  EXPECT_THAT(ran.text, HasSubstr("there is no seq 12"));
  EXPECT_EQ(FramesOf(dir_.path()).size(), 11u);
}

TEST_F(GiveUpTest, AStateFromBeforeMustBeThere) {
  Write(10);
  // Without its beginning, and with snapshots of seq 4 and 7.
  std::unique_ptr<TapeReplica> primary = Write(200);
  while (layout().ListSegments(fs_)->front() < 2) {
    ASSERT_THAT(primary->Execute(std::string(400, 'x')), IsOk());
    if (layout().ListSegments(fs_)->size() > 3) {
      ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    }
  }
  primary.reset();
  const Seq first = FirstKept();
  EXPECT_THAT(Apply(first).result, StatusIs(absl::StatusCode::kFailedPrecondition,
                                            HasSubstr(absl::StrCat("no state from before seq ", first, " is kept"))));
  EXPECT_THAT(Apply(first - 1).result, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(KeptNames(), "");
}

TEST_F(GiveUpTest, IsRefusedWhileAnybodyRuns) {
  {
    const auto primary = Write(10);
    EXPECT_THAT(Apply(6).result, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a primary lives")));
    EXPECT_THAT(Try(6).result, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a primary lives")));
  }
  {
    ReplicaOptions options = Polled();
    options.may_lead = false;
    const auto follower = Open(options);
    EXPECT_THAT(Apply(6).result,
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("follows the journal; end it, then repair")));
  }
  {
    KB_ASSERT_OK_AND_ASSIGN(const RegisteredReader reader, RegisteredReader::Open(fs_, layout(), "audit"));
    EXPECT_THAT(Apply(6).result,
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("readers/audit"), HasSubstr("follows the journal; end it, then repair"))));
  }
  EXPECT_EQ(FramesOf(dir_.path()).size(), 11u);
  EXPECT_EQ(KeptNames(), "");
  EXPECT_THAT(Apply(6).result, IsOkAndHolds(true));
}

// P7: whoever is done with a frame that is lost never goes on with another one in silence.
TEST_F(GiveUpTest, P7RegisteredReadersAreTold) {
  Write(10);
  const std::vector<Position> frames = FramesOf(dir_.path());
  ASSERT_THAT(RegisteredReader::Open(fs_, layout(), "before", std::nullopt, frames[3]), IsOk());
  ASSERT_THAT(RegisteredReader::Open(fs_, layout(), "after", std::nullopt, frames[8]), IsOk());
  ASSERT_THAT(RegisteredReader::Open(fs_, layout(), "epochless", std::nullopt, Position{.epoch = 0, .seq = 9}), IsOk());
  EXPECT_THAT(Try(6).text, AllOf(HasSubstr("would tell: reader after,"), HasSubstr("would tell: reader epochless,"),
                                 Not(HasSubstr("reader before,"))));
  ASSERT_THAT(Apply(6).result, IsOkAndHolds(true));
  const auto expect_told = [&](const char* when) {
    for (const char* name : {"after", "epochless"}) {
      KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, RegisteredReader::Open(fs_, layout(), name));
      EXPECT_EQ(reader.Next(), std::nullopt) << name << " " << when;
      EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kOutOfRange)) << name << " " << when;
    }
  };
  expect_told("while the journal is shorter");
  const auto primary = Lead();
  for (int i = 0; i < 20; ++i) ASSERT_THAT(primary->Execute("new"), IsOk());
  expect_told("when it has frames of these numbers again");
  KB_ASSERT_OK_AND_ASSIGN(RegisteredReader before, RegisteredReader::Open(fs_, layout(), "before"));
  EXPECT_EQ(before.Next()->position(), frames[4]);
  EXPECT_EQ(before.Next()->position(), (Position{.epoch = 2, .seq = 6}));
  for (const char* name : {"after", "epochless"}) {
    KB_ASSERT_OK_AND_ASSIGN(RegisteredReader reader, RegisteredReader::Open(fs_, layout(), name));
    ASSERT_THAT(reader.Reset(frames[4]), IsOk());
    EXPECT_EQ(reader.Next()->position(), (Position{.epoch = 2, .seq = 6})) << name;
  }
}

// An epoch file that is older than the journal must not let an epoch be granted twice.
TEST_F(GiveUpTest, ALostEpochIsNotGrantedAgain) {
  Write(3);
  Lead().reset();
  Lead().reset();
  const std::vector<Position> frames = FramesOf(dir_.path());
  ASSERT_EQ(frames.back().epoch, 3u);
  std::filesystem::remove(layout().epoch());
  ASSERT_THAT(Apply(4).result, IsOkAndHolds(true));
  EXPECT_GT(Lead()->applied().epoch, 3u);
}

TEST_F(GiveUpTest, WhereverItDiesTheNextOneComesToTheSameEnd) {
  {
    const auto primary = Write(10);
    while (layout().ListSegments(fs_)->size() < 4) ASSERT_THAT(primary->Execute(std::string(400, 'x')), IsOk());
  }
  ASSERT_THAT(RegisteredReader::Open(fs_, layout(), "epochless", std::nullopt, Position{.epoch = 0, .seq = 9}), IsOk());
  for (const Seq from : {Seq{6}, FirstSeqOf(3)}) {
    std::string expected;
    for (uint64_t call = 0;; ++call) {
      const TempDir dir = TempDir::InMemory();
      const std::string directory = JoinPath(dir.path(), "journal");
      std::filesystem::copy(dir_.path(), directory, std::filesystem::copy_options::recursive);
      FaultyFileSystem fs;
      fs.FailCall(call, absl::UnavailableError("planted"), /*for_good=*/true);
      const Ran first = RunRepair(directory, /*apply=*/true, from, fs);
      if (call == 0) {
        ASSERT_THAT(first.result, IsOkAndHolds(true)) << first.text;
      }
      // In between the journal is sound, and nobody is told otherwise.
      ASSERT_TRUE(IsSound(directory)) << "died before call " << call;
      ASSERT_GE(FramesOf(directory).size(), from - 1);
      const Ran second = RunRepair(directory, /*apply=*/true, from);
      ASSERT_THAT(second.result, IsOkAndHolds(true)) << "died before call " << call << second.text;
      ASSERT_TRUE(IsSound(directory)) << "died before call " << call;
      EXPECT_EQ(SyncMark::OpenForReading(fs_, JournalLayout(directory).synced())->synced(), from - 1);
      const std::string end = absl::StrCat(FramesOf(directory).size(), " ", TempDirListing(directory + "/snapshots"),
                                           TempDirListing(directory + "/segments/0000_0000"));
      if (call == 0) expected = end;
      ASSERT_EQ(end, expected) << "died before call " << call;
      if (call > 0 && !fs.failed()) {
        EXPECT_GT(call, 100u);
        break;
      }
    }
  }
}

}  // namespace
}  // namespace kekbit
