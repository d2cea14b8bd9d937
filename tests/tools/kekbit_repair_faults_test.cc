// Repair that dies before any of its calls to the system that may change something, or some of the others: the next one
// does what is left to do, and comes to the same end.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"
#include "tests/support/test_snapshot.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

class RepairFaultsTest : public testing::Test {
 protected:
  void SetUp() override {
    TestJournal journal(whole_.path());
    JournalWriter writer = journal.Begin();
    FillUpTo(writer, 2);
    Snapshot(writer.last());
    FillUpTo(writer, 4);
    Snapshot(writer.last());
    snapshot_ = writer.last().position.seq;
    FillUpTo(writer, 6);
    last_ = writer.last().position.seq;
    ValueOrDie(SyncMark::Open(FileSystem::Posix(), layout().synced())).Advance(last_);
  }

  JournalLayout layout() const { return JournalLayout(whole_.path()); }
  void FillUpTo(JournalWriter& writer, SegmentNumber segment) {
    while (writer.segment() < segment) ValueOrDie(Append(writer, std::string(80, 'x')));
    for (int i = 0; i < 10; ++i) ValueOrDie(Append(writer, "in it"));
  }
  void Snapshot(const ChainLink& link) {
    SnapshotHeader header = HeaderOf(link.position.seq);
    header.last = link;
    ASSERT_THAT(WriteSnapshot(FileSystem::Posix(), layout().snapshots(), header, "a state"), IsOk());
  }
  void Damage(const std::string& path, uint64_t at) {
    std::string bytes = ReadFileBytes(path);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    WriteFileBytes(path, bytes);
  }

  // What the repaired journal holds: its files but those aside, by name, and their sizes.
  static std::string FilesOf(const std::string& directory) {
    std::string files;
    FileSystem& fs = FileSystem::Posix();
    for (const SegmentNumber number : ValueOrDie(JournalLayout(directory).ListSegments(fs))) {
      absl::StrAppend(&files, "segment ", number, "; ");
    }
    for (const std::string& name : ValueOrDie(fs.List(JournalLayout(directory).snapshots()))) {
      absl::StrAppend(&files, name, "; ");
    }
    return files;
  }

  // Repairs as an operator does who follows what it says; whether it came to an end.
  static bool RepairAll(const std::string& directory, Seq lose_from) {
    for (int i = 0; i < 3; ++i) {
      Output output;
      if (Repair({.path = directory}, output).value_or(false)) return true;
      if (!Repair({.path = directory, .apply = true}, output).value_or(false)) {
        EXPECT_THAT(Repair({.path = directory, .apply = true, .lose_from = lose_from}, output), IsOk());
      }
    }
    return false;
  }

  // Returns the calls, counted from 1, before which to die: each that may change something, some of
  // those that only look, between which nothing differs, and the end.
  static std::vector<uint64_t> PlacesToDie(const std::vector<std::string>& calls) {
    static constexpr absl::string_view kLooks[] = {"Open", "Info", "File::Info", "List", "ReadAt", "Map"};
    std::vector<uint64_t> places;
    for (uint64_t call = 1; call <= calls.size(); ++call) {
      const bool only_looks = std::find(std::begin(kLooks), std::end(kLooks), calls[call - 1]) != std::end(kLooks);
      if (call == 1 || call % 8 == 0 || !only_looks) places.push_back(call);
    }
    places.push_back(calls.size() + 1);
    return places;
  }

  // Repairs copies of the damaged journal, one after the other, of which each dies some calls later.
  void ExpectTheSameEnd(Seq lose_from) {
    testing::internal::CaptureStdout();
    std::string expected;
    bool failed = true;
    places_ = {0};  // the first one lives, and tells of the others
    for (size_t i = 0; i < places_.size(); ++i) {
      const uint64_t call = places_[i];
      const TempDir dir = TempDir::InMemory();
      const std::string directory = JoinPath(dir.path(), "journal");
      std::filesystem::copy(whole_.path(), directory, std::filesystem::copy_options::recursive);
      FaultyFileSystem fs;
      fs.FailCall(call, absl::UnavailableError("planted"), /*for_good=*/true);
      Output output;
      const auto repaired =
          Repair({.file_system = &fs, .path = directory, .apply = true, .lose_from = lose_from}, output);
      if (call == 0) {
        ASSERT_THAT(repaired, IsOkAndHolds(true));
        for (const uint64_t place : PlacesToDie(fs.calls())) places_.push_back(place);
      }
      ASSERT_TRUE(RepairAll(directory, lose_from)) << "died before call " << call;
      ASSERT_THAT(Verify({.path = directory}, output), IsOkAndHolds(true)) << "died before call " << call;
      if (call == 0) expected = FilesOf(directory);
      ASSERT_EQ(FilesOf(directory), expected) << "died before call " << call;
      failed = fs.failed();
    }
    EXPECT_FALSE(failed) << "the last one was to come to its end";
    EXPECT_GT(places_.back(), 100u);
    testing::internal::GetCapturedStdout();
  }

  const TempDir whole_ = TempDir::InMemory();
  Seq snapshot_ = 0;  // the newest one's
  Seq last_ = 0;
  std::vector<uint64_t> places_;  // at which ExpectTheSameEnd() let repairs die
};

TEST_F(RepairFaultsTest, WhereTheSegmentOfTheSnapshotIsMissing) {
  ASSERT_THAT(FileSystem::Posix().Unlink(layout().segment(4)), IsOk());
  ExpectTheSameEnd(snapshot_ + 1);
}

TEST_F(RepairFaultsTest, WhereDamageIsBeforeAndBehindTheSnapshot) {
  Damage(layout().segment(2), kDataOffset + 5);
  Damage(layout().segment(6), kDataOffset + 5);
  JournalReader reader = ValueOrDie(ReadJournal(FileSystem::Posix(), layout(), std::nullopt, snapshot_));
  while (reader.Next()) {
  }
  ExpectTheSameEnd(reader.last().position.seq + 1);
}

// Repair that died used to leave no trace of the mark: then the next one, without a word, took the
// end for torn.
TEST_F(RepairFaultsTest, WhereTheMarkOfSyncsIsDamagedToo) {
  Damage(layout().segment(6), kDataOffset + 5);
  WriteFileBytes(layout().synced(), std::string(64, 'x'));
  JournalReader reader = ValueOrDie(ReadJournal(FileSystem::Posix(), layout(), std::nullopt, snapshot_));
  while (reader.Next()) {
  }
  const Seq lose_from = reader.last().position.seq + 1;
  const uint64_t end = kDataOffset + reader.offset();
  ExpectTheSameEnd(lose_from);
  testing::internal::CaptureStdout();
  bool failed = true;
  for (const uint64_t call : places_) {
    if (call == 0) continue;
    const TempDir dir = TempDir::InMemory();
    const std::string directory = JoinPath(dir.path(), "journal");
    std::filesystem::copy(whole_.path(), directory, std::filesystem::copy_options::recursive);
    FaultyFileSystem fs;
    fs.FailCall(call, absl::UnavailableError("planted"), /*for_good=*/true);
    Output output;
    Repair({.file_system = &fs, .path = directory, .apply = true, .lose_from = lose_from}, output).IgnoreError();
    failed = fs.failed();
    const bool cut = ReadFileBytes(JournalLayout(directory).segment(6)).substr(end, 8) == std::string(8, '\xFF');
    const absl::StatusOr<bool> again = Repair({.path = directory, .apply = true}, output);
    EXPECT_THAT(again, IsOkAndHolds(cut)) << "died before call " << call;
  }
  EXPECT_FALSE(failed) << "the last one was to come to its end";
  testing::internal::GetCapturedStdout();
}

TEST_F(RepairFaultsTest, WhereASegmentIsOfAnotherVersion) {
  Damage(layout().segment(5), 14);
  JournalReader reader = ValueOrDie(ReadJournal(FileSystem::Posix(), layout(), std::nullopt, snapshot_));
  while (reader.Next()) {
  }
  ExpectTheSameEnd(reader.last().position.seq + 1);
}

TEST_F(RepairFaultsTest, WhereNothingIsLeftToBeginWith) {
  ASSERT_THAT(FileSystem::Posix().Unlink(layout().segment(1)), IsOk());
  for (const std::string& name : ValueOrDie(FileSystem::Posix().List(layout().snapshots()))) {
    Damage(JoinPath(layout().snapshots(), name), 40);
  }
  ExpectTheSameEnd(1);
}

}  // namespace
}  // namespace kekbit
