// P13: archives as each version of the format was written open, and the pages of the format say what is in them.

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/archive/verify_archive.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "tests/support/from_hex.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::SizeIs;

// Written by `kekbit archive` on 2026-11-28: a ledger with two accounts, three transfers and a takeover.
class ArchiveGoldenTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(V1, ArchiveGoldenTest, testing::Values("plain", "zstd"),
                         [](const auto& of) { return of.param; });

TEST_P(ArchiveGoldenTest, Opens) {
  FileSystem& fs = FileSystem::Posix();
  DirectoryStore store(fs, absl::StrCat("tests/testdata/archives/v1/", GetParam()));
  const ArchiveVerdict verdict = ValueOrDie(VerifyArchive(store, std::nullopt));
  EXPECT_THAT(verdict.bad, SizeIs(0));
  ASSERT_THAT(verdict.ranges, SizeIs(1));
  EXPECT_EQ(verdict.ranges[0].first, 0u);
  EXPECT_EQ(verdict.ranges[0].last, 7u);
  const TempDir dir = TempDir::InMemory();
  for (const Seq seq : {7, 5, 3}) {
    const JournalLayout layout(JoinPath(dir.path(), absl::StrCat(seq)));
    RestoreOptions options;
    options.target.seq = seq;
    const RestoreReport report = ValueOrDie(Restore(store, fs, layout.directory(), options));
    EXPECT_EQ(report.last, (Position{.epoch = seq > 4 ? 2u : 1u, .seq = seq}));
    EXPECT_EQ(report.snapshot, seq >= 4 ? 4u : 0u);
    EXPECT_EQ(ValueOrDie(ReadIncarnation(fs, layout)).origin.seq, seq);
    JournalReader reader = ValueOrDie(ReadJournal(fs, layout, JournalContent(std::nullopt, "ledger")));
    while (reader.Next()) {
    }
    EXPECT_THAT(reader.status(), IsOk());
    EXPECT_EQ(reader.last().position, report.last);
  }
}

// The worked bytes of archive_format.md.
TEST(ArchiveFormatDocTest, TheIncarnationOfThePageIsRead) {
  std::ifstream document("replication/archive/archive_format.md");
  std::string line;
  while (std::getline(document, line) && line != "```hex") {
  }
  std::string bytes(64, '\0');
  while (std::getline(document, line) && line != "```") {
    const std::string part = FromHex(absl::StrReplaceAll(line.substr(7, 3 * 8 - 1), {{" ", ""}}));
    bytes.replace(std::stoul(line.substr(0, 5)), part.size(), part);
  }
  const TempDir dir = TempDir::InMemory();
  const JournalLayout layout(dir.path());
  std::ofstream(IncarnationPath(layout), std::ios::binary) << bytes;
  EXPECT_EQ(ValueOrDie(ReadIncarnation(FileSystem::Posix(), layout)).id, 0x0123'4567'89AB'CDEFu);
}

}  // namespace
}  // namespace kekbit
