#include "kekbit/replication/recovery/give_back.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

constexpr uint32_t kSegmentBytes = 1u << 20;
// The frames, and a few blocks of the file system's own.
constexpr uint64_t kLittle = 32u << 10;

class GiveBackTest : public testing::Test {
 protected:
  void SetUp() override {
    KB_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<File> probe, fs_.OpenOrCreate(dir_.File("probe")));
    if (!probe->PunchHole(0, 4096).ok()) GTEST_SKIP() << dir_.path() << ": no file can have holes here";
  }

  // A reign of one command; returns where its segment ends.
  uint64_t Reign(TestJournal& journal) {
    {
      JournalWriter writer = journal.Begin();
      EXPECT_THAT(Append(writer, "x"), IsOk());
    }
    JournalReader reader = journal.OpenReader();
    while (reader.Next()) {
    }
    return reader.offset();
  }
  FileInfo Info(SegmentNumber number) { return ValueOrDie(fs_.Info(layout().segment(number))); }
  uint64_t Allocated(SegmentNumber number) { return Info(number).allocated; }
  std::string Made(const std::string& name) {
    EXPECT_THAT(FileSystem::Posix().CreateDirectories(dir_.File(name)), IsOk());
    return dir_.File(name);
  }
  const JournalLayout& layout() const { return journal_.layout(); }

  TempDir dir_;
  FaultyFileSystem fs_;
  TestJournal journal_{Made("journal"), FileSystem::Posix(), kSegmentBytes};
};

TEST_F(GiveBackTest, AClosedSegmentKeepsItsLengthAndItsFrames) {
  const uint64_t end = Reign(journal_);
  const FileInfo before = Info(1);
  EXPECT_GE(before.allocated, kSegmentBytes);
  const std::string bytes = ReadFileBytes(layout().segment(1));
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.Open(layout().segment(1), Access::kRead));
  KB_ASSERT_OK_AND_ASSIGN(const auto mapping, file->Map(Access::kRead, before.size));
  ASSERT_THAT(GiveBackSpace(fs_, layout(), 1, end), IsOk());
  EXPECT_EQ(Info(1).size, before.size);
  EXPECT_LE(Allocated(1), kLittle);
  // To whoever reads the file, and to whoever had mapped it, nothing has changed.
  EXPECT_EQ(ReadFileBytes(layout().segment(1)), bytes);
  EXPECT_EQ(AsText(mapping->bytes()), bytes);
  EXPECT_EQ(journal_.Texts().size(), 1u);
}

TEST_F(GiveBackTest, ReignsThatEndedBeforeTheyCameToItAreMadeUpFor) {
  uint64_t end = 0;
  for (int i = 0; i < 5; ++i) end = Reign(journal_);
  ASSERT_THAT(GiveBackSpace(fs_, layout(), 5, end), IsOk());
  for (SegmentNumber number = 1; number <= 5; ++number) EXPECT_LE(Allocated(number), kLittle) << number;
  EXPECT_EQ(journal_.Texts().size(), 5u);
}

TEST_F(GiveBackTest, ASegmentThatIsNotClosedThereIsLeftAlone) {
  const uint64_t end = Reign(journal_);
  for (const uint64_t position : {end - 8, end + 8}) {
    EXPECT_THAT(GiveBackSpace(fs_, layout(), 1, position),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not closed")));
  }
  JournalWriter writer = journal_.Begin();
  EXPECT_THAT(GiveBackSpace(fs_, layout(), 2, writer.segment_offset()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not closed")));
  EXPECT_LE(Allocated(1), kLittle);  // closed, and older: given back first
  EXPECT_GE(Allocated(2), kSegmentBytes);
}

TEST_F(GiveBackTest, WhicheverCallFailsTheFramesStayAndTheNextTryDoesIt) {
  for (uint64_t n = 1;; ++n) {
    TestJournal journal(Made(absl::StrCat("journal", n)), FileSystem::Posix(), kSegmentBytes);
    uint64_t end = 0;
    for (int i = 0; i < 2; ++i) end = Reign(journal);
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    GiveBackSpace(fs_, journal.layout(), 2, end).IgnoreError();
    const bool failed = fs_.failed();
    fs_.Heal();
    EXPECT_EQ(journal.Texts().size(), 2u);
    // The next primary does what is left, however far the one before came.
    end = Reign(journal);
    EXPECT_THAT(GiveBackSpace(fs_, journal.layout(), 3, end), IsOk());
    for (SegmentNumber number = 1; number <= 3; ++number) {
      EXPECT_LE(ValueOrDie(fs_.Info(journal.layout().segment(number))).allocated, kLittle) << n << " " << number;
    }
    if (!failed) break;
  }
}

// There whoever reads a hole by a mapping takes a page for it, and on a full disk gets SIGBUS.
TEST(GiveBackOnTmpfsTest, NothingIsGivenBack) {
  const TempDir dir = TempDir::InMemory();
  TestJournal journal(dir.path(), FileSystem::Posix(), kSegmentBytes);
  { JournalWriter writer = journal.Begin(); }
  JournalReader reader = journal.OpenReader();
  while (reader.Next()) {
  }
  const absl::Status status = GiveBackSpace(FileSystem::Posix(), journal.layout(), 1, reader.offset());
  if (status.ok()) GTEST_SKIP() << dir.path() << " is no tmpfs";
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("tmpfs")));
}

}  // namespace
}  // namespace kekbit
