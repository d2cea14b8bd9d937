// Whatever call of the copier or of the restorer fails, and from whichever on all do, as after a kill: the archive is
// usable, what was reported as archived can be restored, and the next run goes on.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/archive/archiver.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/archive/verify_archive.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class ArchiveFaultTest : public testing::Test {
 protected:
  // A journal of two reigns with a snapshot, of which an archive has the first.
  ArchiveFaultTest() {
    std::filesystem::create_directory(Path("journal"));
    TestJournal journal(Path("journal"));
    {
      JournalWriter writer = journal.Begin();
      for (int i = 0; i < 20; ++i) EXPECT_THAT(Append(writer, absl::StrCat("command ", i)), IsOk());
    }
    DirectoryStore store(posix_, Path("archive"));
    EXPECT_THAT(ValueOrDie(Archiver::Open(posix_, journal.layout(), store, {}))->Step(), IsOk());
    {
      JournalWriter writer = journal.Begin();
      for (int i = 0; i < 20; ++i) EXPECT_THAT(Append(writer, absl::StrCat("more ", i)), IsOk());
      SnapshotHeader header = HeaderOf(0);
      header.last = writer.last();
      EXPECT_THAT(WriteSnapshot(posix_, journal.layout().snapshots(), header, "the state"), IsOk());
      for (int i = 0; i < 10; ++i) EXPECT_THAT(Append(writer, absl::StrCat("last ", i)), IsOk());
    }
    texts_ = journal.Texts();
    std::filesystem::create_directory(Path("now"));
  }

  static RestoreOptions Short() {
    RestoreOptions options;
    options.segment_bytes = kCapacityMin;
    return options;
  }
  std::string Path(absl::string_view name) const { return JoinPath(dir_.path(), name); }

  // Puts the journal and the archive of the beginning into now/.
  void Reset() {
    std::filesystem::remove_all(Path("now"));
    std::filesystem::create_directory(Path("now"));
    for (const char* name : {"journal", "archive"}) {
      std::filesystem::copy(Path(name), Path(absl::StrCat("now/", name)), std::filesystem::copy_options::recursive);
    }
  }

  // Copies as one process would; returns the last end that was reported.
  Seq Copy(FileSystem& fs) {
    Seq reported = 0;
    DirectoryStore store(fs, Path("now/archive"));
    auto archiver = Archiver::Open(fs, JournalLayout(Path("now/journal")), store, {});
    for (int i = 0; i < 2 && archiver.ok(); ++i) {
      const auto progress = (*archiver)->Step();
      status_ = progress.status();
      if (progress.ok()) reported = progress->end.seq;
    }
    if (!archiver.ok()) status_ = archiver.status();
    return reported;
  }

  // Checks that the archive is whole, and can be restored to its end, which is at least `reported`.
  void CheckUsable(Seq reported, const std::string& where) {
    DirectoryStore store(posix_, Path("now/archive"));
    const ArchiveVerdict verdict = ValueOrDie(VerifyArchive(store, std::nullopt));
    ASSERT_THAT(verdict.bad, SizeIs(0)) << where << ": " << verdict.bad[0];
    ASSERT_GE(verdict.manifest.end().position.seq, reported) << where;
    ASSERT_GE(verdict.manifest.end().position.seq, 21u) << where;
    std::filesystem::remove_all(Path("now/restored"));
    const RestoreReport report = ValueOrDie(Restore(store, posix_, Path("now/restored"), Short()));
    ASSERT_EQ(report.last, verdict.manifest.end().position) << where;
  }

  // Checks that the next copier comes to the end.
  void CheckGoesOn(const std::string& where) {
    const Seq end = Copy(posix_);
    const SyncMark mark = ValueOrDie(SyncMark::OpenForReading(posix_, JournalLayout(Path("now/journal")).synced()));
    if (mark.poisoned() != 0) {
      // Nobody knows what the segment holds, until a primary has settled that.
      ASSERT_THAT(status_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("failed"))) << where;
      return;
    }
    ASSERT_THAT(status_, IsOk()) << where;
    ASSERT_EQ(end, texts_.size() + 2) << where;
    ASSERT_NO_FATAL_FAILURE(CheckUsable(end, where));
    RestoreOptions options = Short();
    DirectoryStore store(posix_, Path("now/archive"));
    options.target.seq = 45;
    std::filesystem::remove_all(Path("now/restored"));
    const RestoreReport report = ValueOrDie(Restore(store, posix_, Path("now/restored"), options));
    ASSERT_EQ(report.snapshot, 42u) << where;
    const std::vector<std::string> texts = TestJournal(Path("now/restored")).Texts(report.last.seq);
    ASSERT_EQ(texts.back(), texts_[42]) << where;
  }

  TempDir dir_ = TempDir::InMemory();
  FileSystem& posix_ = FileSystem::Posix();
  FaultyFileSystem fs_;
  std::vector<std::string> texts_;
  absl::Status status_;
};

TEST_F(ArchiveFaultTest, EachCallOfTheCopierFails) {
  for (const EachFailure::Kind kind : {EachFailure::kNotMade, EachFailure::kFailedSyncs}) {
    EachFailure failure(fs_, kind);
    while (failure.Next()) {
      Reset();
      failure.Arm();
      const Seq reported = Copy(fs_);
      const std::string where = failure.Disarm();
      ASSERT_NO_FATAL_FAILURE(CheckUsable(reported, where));
      ASSERT_NO_FATAL_FAILURE(CheckGoesOn(where));
    }
    EXPECT_GT(failure.count(), kind == EachFailure::kNotMade ? 100u : 10u);
  }
}

TEST_F(ArchiveFaultTest, TheCopierIsKilledAtEachCall) {
  for (uint64_t n = 1;; ++n) {
    Reset();
    fs_.FailCall(n, absl::UnavailableError("killed"), /*for_good=*/true);
    const Seq reported = Copy(fs_);
    const bool failed = fs_.failed();
    fs_.Heal();
    const std::string where = absl::StrCat("killed at call ", n);
    ASSERT_NO_FATAL_FAILURE(CheckUsable(reported, where));
    ASSERT_NO_FATAL_FAILURE(CheckGoesOn(where));
    if (!failed) break;
  }
}

TEST_F(ArchiveFaultTest, EachCallOfTheRestorerFailsOrIsItsLast) {
  Reset();
  ASSERT_EQ(Copy(posix_), texts_.size() + 2);
  for (const bool for_good : {false, true}) {
    for (uint64_t n = 1;; ++n) {
      const std::string where = absl::StrCat(for_good ? "killed at call " : "call ", n);
      const std::string directory = Path("now/new/journal");
      std::filesystem::remove_all(Path("now/new"));
      DirectoryStore store(fs_, Path("now/archive"));
      fs_.FailCall(n, absl::ResourceExhaustedError("planted"), for_good);
      const auto report = Restore(store, fs_, directory, Short());
      const bool failed = fs_.failed();
      fs_.Heal();
      if (std::filesystem::exists(JoinPath(directory, "segments"))) {
        // There it is whole, also if the last sync of its name has failed.
        ASSERT_EQ(TestJournal(directory).Texts(42).size(), 11u) << where;
      } else {
        ASSERT_THAT(report, StatusIs(absl::StatusCode::kResourceExhausted)) << where;
        DirectoryStore again(posix_, Path("now/archive"));
        ASSERT_THAT(Restore(again, posix_, directory, Short()), IsOk()) << where;
        ASSERT_EQ(TestJournal(directory).Texts(42).size(), 11u) << where;
      }
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace kekbit
