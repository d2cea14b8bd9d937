// P16: a restore from the archive to a seq gives exactly the state that the journal had there.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/archive_index.h"
#include "kekbit/replication/archive/archiver.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/archive/restore_pin.h"
#include "kekbit/replication/archive/verify_archive.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using TapeReplica = Replica<Tape>;

class ArchiveTest : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<TapeReplica> Open(const std::string& directory) {
    ReplicaOptions options;
    options.directory = directory;
    options.segment_bytes = 64 << 10;
    options.threads = false;
    options.clock = &clock_;
    options.snapshots.on_primary = true;
    options.snapshots.compressed = GetParam();
    auto replica = ValueOrDie(TapeReplica::Open(std::move(options)));
    for (int i = 0; i < 1000 && replica->role() != Role::kPrimary; ++i) {
      clock_.Advance(1'000'000'000);
      EXPECT_THAT(replica->Poll(), IsOk());
    }
    EXPECT_EQ(replica->role(), Role::kPrimary) << replica->status();
    return replica;
  }

  // Applies `count` commands and says after which seq the state was what.
  void Run(TapeReplica& replica, int count) {
    for (int i = 0; i < count; ++i) {
      clock_.Advance(1'000'000);
      const std::string text(static_cast<size_t>(number_ % 40), 'x');
      ASSERT_THAT(replica.Submit(absl::StrCat("command ", ++number_, text)), IsOk());
      ASSERT_THAT(replica.Poll(), IsOk());
      replica.Read([&](const Tape& tape) { states_.push_back(tape); });
    }
  }

  std::unique_ptr<Archiver> OpenArchiver() {
    return ValueOrDie(Archiver::Open(fs_, layout_, store_, {.compressed = GetParam(), .clock = &clock_}));
  }
  ArchiveProgress StepAll(Archiver& archiver) {
    ArchiveProgress progress = ValueOrDie(archiver.Step());
    while (progress.more) progress = ValueOrDie(archiver.Step());
    return progress;
  }

  // Returns the state that a replica of the journal restored to `target` has.
  Tape Restored(const RestoreTarget& target) {
    const std::string directory = JoinPath(dir_.path(), absl::StrCat("restored-", ++restores_));
    RestoreOptions options;
    options.target = target;
    options.segment_bytes = 64 << 10;
    report_ = ValueOrDie(Restore(store_, fs_, directory, options));
    const std::unique_ptr<TapeReplica> replica = Open(directory);
    Tape state;
    replica->Read([&](const Tape& tape) { state = tape; });
    return state;
  }

  // Restores to each seq at which the journal had a state.
  void CheckEachSeq() {
    for (const Tape& state : states_) {
      const Seq seq = state.positions.back().seq;
      const Tape restored = Restored({.seq = seq});
      ASSERT_EQ(restored.commands, state.commands) << "seq " << seq;
      ASSERT_EQ(restored.positions, state.positions) << "seq " << seq;
      ASSERT_EQ(restored.times, state.times) << "seq " << seq;
      std::filesystem::remove_all(JoinPath(dir_.path(), absl::StrCat("restored-", restores_)));
    }
  }

  TempDir dir_ = TempDir::InMemory();
  FileSystem& fs_ = FileSystem::Posix();
  JournalLayout layout_{JoinPath(dir_.path(), "journal")};
  DirectoryStore store_{fs_, JoinPath(dir_.path(), "archive")};
  FakeClock clock_;
  std::vector<Tape> states_;
  int number_ = 0;
  int restores_ = 0;
  RestoreReport report_;
};

TEST_P(ArchiveTest, P16EverySeqOfAJournalWithTakeoversAndSnapshotsIsRestored) {
  std::unique_ptr<Archiver> archiver;
  for (int reign = 0; reign < 3; ++reign) {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    for (int part = 0; part < 4; ++part) {
      Run(*primary, 5);
      if (part == 1) {
        EXPECT_THAT(primary->TakeSnapshot(), IsOk());
      }
      // The copier is killed now and then: the next one goes on.
      if (!archiver || part == 2) archiver.reset(), archiver = OpenArchiver();
      const ArchiveProgress progress = StepAll(*archiver);
      EXPECT_EQ(progress.end, states_.back().positions.back());
    }
  }
  CheckEachSeq();
}

INSTANTIATE_TEST_SUITE_P(All, ArchiveTest, testing::Bool(), [](const auto& of) { return of.param ? "Zstd" : "Plain"; });

TEST_P(ArchiveTest, TheRestoredJournalIsAnotherOne) {
  {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 20);
    StepAll(*OpenArchiver());
  }
  const Tape state = Restored({});
  EXPECT_EQ(state.commands, states_.back().commands);
  const JournalLayout restored(JoinPath(dir_.path(), "restored-1"));
  const Incarnation incarnation = ValueOrDie(ReadIncarnation(fs_, restored));
  const Incarnation old = ValueOrDie(ReadIncarnation(fs_, layout_));
  EXPECT_EQ(incarnation.id, report_.incarnation);
  EXPECT_NE(incarnation.id, old.id);
  EXPECT_EQ(incarnation.origin.incarnation, old.id);
  EXPECT_EQ(incarnation.origin.seq, report_.last.seq);
  // Both go on, to one archive.
  {
    const std::unique_ptr<TapeReplica> primary = Open(restored.directory());
    EXPECT_GT(ValueOrDie(primary->Submit("one")).position.epoch, state.positions.back().epoch + 1);
    ASSERT_THAT(primary->Submit("another way"), IsOk());
    ASSERT_THAT(ValueOrDie(Archiver::Open(fs_, restored, store_, {.clock = &clock_}))->Step(), IsOk());
  }
  EXPECT_THAT(ValueOrDie(ListIncarnations(store_)), SizeIs(2));
  EXPECT_EQ(Restored({}).commands.back(), "another way");
  RestoreOptions options;
  options.incarnation = old.id;
  const RestoreReport report = ValueOrDie(Restore(store_, fs_, JoinPath(dir_.path(), "old"), options));
  EXPECT_EQ(report.last, states_.back().positions.back());
}

TEST_P(ArchiveTest, ATimeIsRestoredToTheLastFrameThatIsNotLater) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  Run(*primary, 30);
  ASSERT_THAT(primary->TakeSnapshot(), IsOk());
  Run(*primary, 30);
  StepAll(*OpenArchiver());
  for (const size_t i : {size_t{0}, size_t{17}, size_t{29}, size_t{30}, size_t{44}, size_t{59}}) {
    const int64_t time_ns = states_[i].times.back();
    EXPECT_EQ(Restored({.time_ns = time_ns}).commands, states_[i].commands);
    EXPECT_EQ(Restored({.time_ns = time_ns + 999'999}).commands, states_[i].commands);
  }
  RestoreOptions early;
  early.target.time_ns = states_[0].times.front() - 3'600'000'000'000;
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "early"), early),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("begins after")));
  EXPECT_FALSE(std::filesystem::exists(JoinPath(dir_.path(), "early")));
}

TEST_P(ArchiveTest, ManySmallStepsMakeFewObjects) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  const std::unique_ptr<Archiver> archiver = OpenArchiver();
  for (int i = 0; i < 200; ++i) {
    Run(*primary, 1);
    ASSERT_THAT(archiver->Step(), IsOk());
    clock_.Advance(1'000'000'000);
  }
  const ArchiveVerdict verdict = ValueOrDie(VerifyArchive(store_, std::nullopt));
  EXPECT_THAT(verdict.bad, SizeIs(0));
  EXPECT_LE(verdict.manifest.frames.size(), 10u);
  // What was merged is deleted, after a minute.
  EXPECT_LE(ValueOrDie(store_.List(kFramesPrefix)).size(), 150u);
  EXPECT_LE(verdict.manifest.dropped.size(), 130u);
  EXPECT_EQ(Restored({}).commands, states_.back().commands);
  EXPECT_EQ(Restored({.seq = states_[77].positions.back().seq}).commands, states_[77].commands);
}

TEST_P(ArchiveTest, AMissingOrDamagedObjectIsNamedWithWhatCanBeRestored) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  const std::unique_ptr<Archiver> archiver = OpenArchiver();
  for (int i = 0; i < 3; ++i) {
    Run(*primary, 40 >> (2 * i));
    ASSERT_THAT(archiver->Step(), IsOk());
  }
  ASSERT_THAT(ValueOrDie(VerifyArchive(store_, std::nullopt)).bad, SizeIs(0));
  const Manifest manifest = ValueOrDie(FindManifest(store_, std::nullopt));
  ASSERT_GE(manifest.frames.size(), 2u);
  const FramesEntry& second = manifest.frames[1];
  const std::string path = JoinPath(store_.location(), second.Name(manifest.incarnation));
  const auto expect_refused = [&](absl::string_view why) {
    const std::string directory = JoinPath(dir_.path(), "refused");
    EXPECT_THAT(Restore(store_, fs_, directory, {}),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(second.Name(manifest.incarnation)), HasSubstr(std::string(why)),
                               HasSubstr(absl::StrCat("seq 1 to ", second.after_seq)))));
    EXPECT_FALSE(std::filesystem::exists(directory));
    const ArchiveVerdict verdict = ValueOrDie(VerifyArchive(store_, std::nullopt));
    EXPECT_THAT(verdict.bad, SizeIs(1));
    EXPECT_EQ(verdict.ranges.front().last, second.after_seq);
    EXPECT_EQ(verdict.whole_since_ns, std::nullopt);
  };
  const std::string whole = ReadFileBytes(path);
  std::filesystem::resize_file(path, whole.size() - 1);
  expect_refused("bytes after the header");
  std::string bytes = whole;
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  WriteFileBytes(path, bytes);
  expect_refused("checksum");
  std::filesystem::remove(path);
  expect_refused("missing");
  RestoreOptions options;
  options.target.seq = second.after_seq;
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "before"), options), IsOk());
}

TEST_P(ArchiveTest, ADirectoryWithAJournalIsLeftAlone) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  Run(*primary, 3);
  StepAll(*OpenArchiver());
  EXPECT_THAT(Restore(store_, fs_, layout_.directory(), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not empty")));
  std::filesystem::create_directory(JoinPath(dir_.path(), "empty"));
  std::filesystem::create_directory_symlink(JoinPath(dir_.path(), "empty"), JoinPath(dir_.path(), "link"));
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "link"), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a link")));
  for (const char* name : {"", ".", "x/..", "/"}) {
    EXPECT_THAT(Restore(store_, fs_, name, {}), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "empty/"), {}), IsOk());
  EXPECT_TRUE(std::filesystem::exists(JoinPath(dir_.path(), "empty/segments")));
  DirectoryStore inside(fs_, JoinPath(layout_.directory(), "archive"));
  EXPECT_THAT(Archiver::Open(fs_, layout_, inside, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("own directory")));
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "new"), {.incarnation = 1}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no archive")));
}

// A newest manifest that is damaged says what to do; one that is gone shows by what it named.
TEST_P(ArchiveTest, TheNewestManifestIsDamagedOrGone) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  const std::unique_ptr<Archiver> archiver = OpenArchiver();
  for (int i = 0; i < 2; ++i) {
    Run(*primary, 40 >> (2 * i));
    ASSERT_THAT(archiver->Step(), IsOk());
  }
  const Manifest manifest = ValueOrDie(FindManifest(store_, std::nullopt));
  EXPECT_EQ(ValueOrDie(VerifyArchive(store_, std::nullopt)).unnamed, 0u);
  const std::string path = JoinPath(store_.location(), ManifestName(manifest.incarnation, manifest.number));
  std::filesystem::resize_file(path, 100);
  for (const absl::Status& status : {Restore(store_, fs_, JoinPath(dir_.path(), "new"), {}).status(),
                                     VerifyArchive(store_, std::nullopt).status()}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("moved away the manifest before it counts")));
  }
  std::filesystem::remove(path);
  EXPECT_EQ(ValueOrDie(VerifyArchive(store_, std::nullopt)).unnamed, 1u);
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "new"), {}), IsOk());
}

// The times that are printed are those that a restore takes.
TEST(TimeTextTest, IsExact) {
  for (const int64_t time_ns : {int64_t{1'700'000'000'123'456'789}, int64_t{1'700'000'000'000'000'000}}) {
    absl::Time time;
    std::string error;
    ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, TimeText(time_ns), &time, &error)) << error;
    EXPECT_EQ(absl::ToUnixNanos(time), time_ns);
  }
}

// The archive of a journal takes nothing of a copy that went another way.
TEST_P(ArchiveTest, AnOldCopyAddsNothingThatDoesNotFollow) {
  const std::string copy = JoinPath(dir_.path(), "copy");
  {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 3);
    StepAll(*OpenArchiver());
  }
  std::filesystem::copy(layout_.directory(), copy, std::filesystem::copy_options::recursive);
  {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 3);
    StepAll(*OpenArchiver());
  }
  {
    const std::unique_ptr<TapeReplica> primary = Open(copy);
    ASSERT_THAT(primary->Submit("somewhere else"), IsOk());
    const std::unique_ptr<Archiver> archiver =
        ValueOrDie(Archiver::Open(fs_, JournalLayout(copy), store_, {.clock = &clock_}));
    for (int i = 0; i < 2; ++i) {
      EXPECT_THAT(archiver->Step(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not follow")));
    }
  }
  EXPECT_EQ(Restored({}).commands, states_.back().commands);
}

TEST_P(ArchiveTest, AJournalThatLostItsPlaceGoesOnAfterAGapWithASnapshot) {
  std::vector<Tape> before;
  {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 10);
    StepAll(*OpenArchiver());
    before = states_;
  }
  // Segments go, though the archive wanted them.
  for (int reign = 0; reign < 3; ++reign) {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 5);
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
  }
  ASSERT_THAT(ReaderCursor::Remove(fs_, layout_, "archive"), IsOk());
  {
    const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
    Run(*primary, 5);
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    const ArchiveProgress progress = StepAll(*OpenArchiver());
    ASSERT_TRUE(progress.gap_before.has_value());
  }
  const ArchiveVerdict verdict = ValueOrDie(VerifyArchive(store_, std::nullopt));
  ASSERT_THAT(verdict.ranges, SizeIs(2));
  EXPECT_EQ(verdict.ranges[0].last, before.back().positions.back().seq);
  EXPECT_EQ(Restored({}).commands, states_.back().commands);
  EXPECT_EQ(Restored({.seq = verdict.ranges[0].last}).commands, before.back().commands);
  RestoreOptions gap;
  gap.target.seq = verdict.ranges[0].last + 3;
  EXPECT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "gap"), gap),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("what can be restored")));
}

TEST_P(ArchiveTest, RetentionLetsTheOldestGoButNotWhileARestoreRuns) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  ArchiverOptions options;
  options.clock = &clock_;
  options.retention.snapshots = 2;
  const std::unique_ptr<Archiver> archiver = ValueOrDie(Archiver::Open(fs_, layout_, store_, options));
  const auto reign = [&] {
    Run(*primary, 40);
    EXPECT_THAT(primary->TakeSnapshot(), IsOk());
    StepAll(*archiver);
    clock_.Advance(60'000'000'000);
  };
  const auto manifest = [&] { return ValueOrDie(FindManifest(store_, std::nullopt)); };
  for (int i = 0; i < 2; ++i) reign();
  {
    // Its time is that of the machine, which is later than the test's clock.
    const RestorePin pin = ValueOrDie(RestorePin::Put(store_));
    reign();
    EXPECT_THAT(manifest().snapshots, SizeIs(3));
  }
  reign();
  ASSERT_THAT(manifest().snapshots, SizeIs(2));
  const size_t objects = ValueOrDie(store_.List(kSnapshotsPrefix)).size();
  EXPECT_EQ(objects, 4u);
  ASSERT_THAT(ValueOrDie(VerifyArchive(store_, std::nullopt)).bad, SizeIs(0));
  const Seq oldest = manifest().snapshots.front().seq;
  const auto state = std::find_if(states_.begin(), states_.end(),
                                  [&](const Tape& tape) { return tape.positions.back().seq == oldest; });
  ASSERT_NE(state, states_.end());
  EXPECT_EQ(Restored({.seq = oldest}).commands, state->commands);
  // An hour later they are deleted.
  clock_.Advance(3'700'000'000'000);
  for (int i = 0; i < 2; ++i) reign();
  EXPECT_LT(ValueOrDie(store_.List(kSnapshotsPrefix)).size(), 6u);
  EXPECT_EQ(Restored({}).commands, states_.back().commands);
}

// What all later moments would rest on is read back before anything goes.
TEST_P(ArchiveTest, RetentionGoesNoFurtherThanADamagedSnapshot) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  ArchiverOptions options;
  options.clock = &clock_;
  std::unique_ptr<Archiver> archiver = ValueOrDie(Archiver::Open(fs_, layout_, store_, options));
  for (int i = 0; i < 4; ++i) {
    Run(*primary, 40);
    ASSERT_THAT(primary->TakeSnapshot(), IsOk());
    StepAll(*archiver);
  }
  const Manifest manifest = ValueOrDie(FindManifest(store_, std::nullopt));
  ASSERT_THAT(manifest.snapshots, SizeIs(4));
  const std::string path = JoinPath(store_.location(), manifest.snapshots[2].Name(manifest.incarnation));
  std::filesystem::resize_file(path, 100);
  archiver.reset();
  options.retention.snapshots = 2;
  archiver = ValueOrDie(Archiver::Open(fs_, layout_, store_, options));
  EXPECT_THAT(archiver->Step(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  EXPECT_THAT(ValueOrDie(FindManifest(store_, std::nullopt)).snapshots, SizeIs(4));
}

TEST_P(ArchiveTest, AKilledRestoreIsBegunAgain) {
  const std::unique_ptr<TapeReplica> primary = Open(layout_.directory());
  Run(*primary, 10);
  ASSERT_THAT(primary->TakeSnapshot(), IsOk());
  Run(*primary, 10);
  StepAll(*OpenArchiver());
  const std::string directory = JoinPath(dir_.path(), "restored");
  RestoreOptions options;
  ASSERT_THAT(Restore(store_, fs_, JoinPath(dir_.path(), "first"), options), IsOk());
  // All that one killed just before its end leaves.
  std::filesystem::rename(JoinPath(dir_.path(), "first"), absl::StrCat(directory, ".restoring"));
  ASSERT_THAT(Restore(store_, fs_, directory, options), IsOk());
  EXPECT_FALSE(std::filesystem::exists(absl::StrCat(directory, ".restoring")));
  const std::unique_ptr<TapeReplica> replica = Open(directory);
  replica->Read([&](const Tape& tape) { EXPECT_EQ(tape.commands, states_.back().commands); });
}

}  // namespace
}  // namespace kekbit
