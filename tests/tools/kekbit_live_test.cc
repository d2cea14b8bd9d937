// The commands run beside a journal that lives: a snapshot taker trims it between any two looks.

#include <cstdint>
#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "kekbit/base/file_system.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"
#include "tests/support/test_snapshot.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

using CommandFunction = absl::StatusOr<bool> (*)(const CommandOptions& options, Output& output);

// A journal of some segments, whose writer lives, with a snapshot in the third.
class LiveJournal {
 public:
  explicit LiveJournal(const std::string& directory) : journal_(directory), writer_(journal_.Begin()) {
    while (writer_.segment() < 3) ValueOrDie(Append(writer_, std::string(80, 'x')));
    for (int i = 0; i < 10; ++i) ValueOrDie(Append(writer_, "in the third"));
    SnapshotHeader header = HeaderOf(writer_.last().position.seq);
    header.last = writer_.last();
    snapshot_ = WriteSnapshot(FileSystem::Posix(), journal_.layout().snapshots(), header, "a state");
    while (writer_.segment() < 5) ValueOrDie(Append(writer_, std::string(80, 'y')));
  }

  const absl::Status& snapshot() const { return snapshot_; }
  void Cut() {
    for (const SegmentNumber number : {SegmentNumber{1}, SegmentNumber{2}}) {
      FileSystem::Posix().Unlink(journal_.layout().segment(number)).IgnoreError();
    }
  }

 private:
  TestJournal journal_;
  JournalWriter writer_;
  absl::Status snapshot_;
};

class KekbitLiveTest : public testing::Test {
 protected:
  // Runs the command again and again, each time on a new journal, which is cut before its first,
  // second, ... opening of a file.
  // `well`: what the command says each time.
  void CutBeforeEachOpen(CommandFunction command, CommandOptions options, bool well = true) {
    for (int opens = 1;; ++opens) {
      const TempDir dir = TempDir::InMemory();
      LiveJournal journal(dir.path());
      ASSERT_THAT(journal.snapshot(), IsOk());
      FaultyFileSystem fs;
      bool was_cut = false;
      int left = opens;
      std::function<void()> before_open = [&] {
        if (--left > 0) {
          fs.BeforeCall("Open", before_open);
          return;
        }
        journal.Cut();
        was_cut = true;
      };
      fs.BeforeCall("Open", before_open);
      options.path = dir.path();
      options.file_system = &fs;
      testing::internal::CaptureStdout();
      Output output;
      const absl::StatusOr<bool> sound = command(options, output);
      output.Flush();
      const std::string said = testing::internal::GetCapturedStdout();
      ASSERT_THAT(sound, IsOkAndHolds(well)) << "cut before opening " << opens << ":\n" << said;
      if (!was_cut) {
        EXPECT_GT(opens, 5);
        return;
      }
    }
  }
};

TEST_F(KekbitLiveTest, VerifyGoesOnFromWhatIsKept) { CutBeforeEachOpen(Verify, {}); }

TEST_F(KekbitLiveTest, DumpGoesOnFromWhatIsKept) { CutBeforeEachOpen(Dump, {}); }

// Nobody leads this journal.
TEST_F(KekbitLiveTest, StatGoesOnFromWhatIsKept) { CutBeforeEachOpen(Stat, {.segments = true}, /*well=*/false); }

TEST_F(KekbitLiveTest, TailGoesOnFromWhatIsKept) { CutBeforeEachOpen(Tail, {.last = 1'000'000}); }

TEST_F(KekbitLiveTest, CursorsGoOnFromWhatIsKept) { CutBeforeEachOpen(Cursors, {}); }

// A segment that is missing between others was not cut.
TEST_F(KekbitLiveTest, AHoleIsDamageAndNoCut) {
  const TempDir dir = TempDir::InMemory();
  LiveJournal journal(dir.path());
  FaultyFileSystem fs;
  fs.BeforeCall("Open",
                [&dir] { ASSERT_THAT(FileSystem::Posix().Unlink(JournalLayout(dir.path()).segment(2)), IsOk()); });
  testing::internal::CaptureStdout();
  Output output;
  EXPECT_THAT(Verify({.file_system = &fs, .path = dir.path()}, output), IsOkAndHolds(false));
  EXPECT_EQ(Dump({.file_system = &fs, .path = dir.path()}, output).status(), absl::OkStatus());
  output.Flush();
  EXPECT_NE(
      testing::internal::GetCapturedStdout().find("0002.kekbit: the segment is missing, segment 1 is still there"),
      std::string::npos);
}

}  // namespace
}  // namespace kekbit
