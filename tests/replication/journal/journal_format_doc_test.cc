// The examples in journal_format.md are true: their bytes read as the page says, and the calls that
// the page names make them.

#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

constexpr int64_t kTime = 1'700'000'000'000'000'000;
// Creation times are of the machine's clock; the example has zeros there.
constexpr size_t kCreationTime = 48;

enum Block { kLease, kEpoch, kSynced, kCursor, kSegment };

// A file of `size` bytes, as the block of hexadecimal digits in the document shows it.
std::string BytesOfTheDocument(Block block, size_t size) {
  std::istringstream document(ReadFileBytes("replication/journal/journal_format.md"));
  std::string file(size, '\0');
  std::string line;
  for (int i = 0; i <= block; ++i) {
    while (std::getline(document, line) && line != "```hex") {
    }
  }
  size_t listed = 0;
  while (std::getline(document, line) && line != "```") {
    // Columns: offset up to 5, bytes from 7 to 55.
    size_t at = std::stoul(line.substr(0, 5));
    std::istringstream bytes(line.substr(7, 48));
    for (std::string byte; bytes >> byte; ++at, ++listed) {
      file.at(at) = static_cast<char>(std::stoul(byte, nullptr, 16));
    }
  }
  EXPECT_GE(listed, 16u);
  return file;
}

std::string SegmentOfTheDocument() { return BytesOfTheDocument(kSegment, ChannelFileBytes(kCapacityMin)); }

TEST(JournalFormatDocTest, TheSegmentReadsAsTheDocumentSays) {
  const TempDir dir = TempDir::InMemory();
  const JournalLayout layout(dir.path());
  std::filesystem::create_directories(layout.segments() + "/0000_0000");
  WriteFileBytes(layout.segment(1), SegmentOfTheDocument());
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader,
                          ReadJournal(FileSystem::Posix(), layout, JournalContent(kRawDataFormat, "greeter")));
  EXPECT_THAT(ReadJournal(FileSystem::Posix(), layout, JournalContent(kRawDataFormat, "tape")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  const std::optional<Frame> start = reader.Next();
  ASSERT_TRUE(start.has_value()) << reader.status();
  EXPECT_EQ(start->kind(), FrameKind::kEpochStart);
  EXPECT_EQ(start->position(), (Position{.epoch = 1, .seq = 1}));
  EXPECT_EQ(start->header.time_ns, kTime);
  EXPECT_EQ(start->header.unsynced, 0u);
  const std::optional<Frame> command = reader.Next();
  ASSERT_TRUE(command.has_value()) << reader.status();
  EXPECT_EQ(command->kind(), FrameKind::kCommand);
  EXPECT_EQ(command->position(), (Position{.epoch = 1, .seq = 2}));
  EXPECT_EQ(command->header.time_ns, kTime + 1000);
  EXPECT_EQ(command->header.unsynced, 1u);
  EXPECT_EQ(TextOf(*command), "hi");
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_TRUE(reader.at_segment_end());
}

// Reads the segment as the first version of the format had it.
TEST(JournalFormatDocTest, ASegmentOfTheFirstVersionReadsAndClaimsNoSyncs) {
  std::string segment = SegmentOfTheDocument();
  const auto put = [&segment](size_t at, const std::string& bytes) { segment.replace(at, bytes.size(), bytes); };
  put(140, "\x71\x1a\x3f\x8b");
  put(180, std::string(1, '\0'));
  put(184, std::string(64, '\0'));
  put(1104, "\x3e\x41\xa7\x9d");
  put(1140, std::string(1, '\0'));
  const TempDir dir = TempDir::InMemory();
  const JournalLayout layout(dir.path());
  std::filesystem::create_directories(layout.segments() + "/0000_0000");
  WriteFileBytes(layout.segment(1), segment);
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(FileSystem::Posix(), layout, kRawDataFormat));
  EXPECT_THAT(ReadTexts(reader), testing::ElementsAre("hi"));
  EXPECT_THAT(reader.status(), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const ChannelFile channel, OpenChannelFile(FileSystem::Posix(), layout.segment(1)));
  EXPECT_FALSE(SegmentCountsUnsynced(channel.extension));
  EXPECT_EQ(SegmentStateName(channel.extension), "");
}

TEST(JournalFormatDocTest, TheCallsMakeTheSegment) {
  const TempDir dir = TempDir::InMemory();
  TestJournal journal(dir.path(), FileSystem::Posix(), kCapacityMin, "greeter");
  {
    JournalWriter writer = journal.Begin(kTime);
    ASSERT_THAT(Append(writer, "hi", kTime + 1000), IsOk());
  }
  std::string written = ReadFileBytes(journal.layout().segment(1));
  written.replace(kCreationTime, 8, 8, '\0');
  const std::string documented = SegmentOfTheDocument();
  ASSERT_EQ(written.size(), documented.size());
  for (size_t i = 0; i < written.size(); ++i) {
    ASSERT_EQ(static_cast<int>(written[i]), static_cast<int>(documented[i])) << "byte " << i;
  }
}

TEST(JournalFormatDocTest, TheSmallFilesReadAsTheDocumentSays) {
  const TempDir dir = TempDir::InMemory();
  const JournalLayout layout(dir.path());
  WriteFileBytes(layout.lease(), BytesOfTheDocument(kLease, 32));
  EXPECT_EQ(Lease::Holder(FileSystem::Posix(), layout.lease()),
            (ProcessId{.pid = 4242, .start_time = 123'456, .pid_namespace = 4'026'531'836}));
  WriteFileBytes(layout.epoch(), BytesOfTheDocument(kEpoch, 64));
  KB_ASSERT_OK_AND_ASSIGN(EpochStore epochs, EpochStore::Open(FileSystem::Posix(), layout.epoch()));
  EXPECT_EQ(epochs.current(), 3u);
  WriteFileBytes(layout.synced(), BytesOfTheDocument(kSynced, 64));
  KB_ASSERT_OK_AND_ASSIGN(const SyncMark mark, SyncMark::OpenForReading(FileSystem::Posix(), layout.synced()));
  EXPECT_EQ(mark.synced(), 41u);
  EXPECT_EQ(mark.poisoned(), 0u);
  EXPECT_EQ(mark.boot(), 0x8192'a3b4'c5d6'e7f8u);
  EXPECT_EQ(mark.made(), 5u);
  ASSERT_TRUE(mark.unfinished().has_value());
  EXPECT_EQ(mark.unfinished()->segment, 5u);
  EXPECT_EQ(mark.unfinished()->from, 4'096u);
}

TEST(JournalFormatDocTest, TheCallsMakeTheCursor) {
  const TempDir dir = TempDir::InMemory();
  const JournalLayout layout(dir.path());
  FileSystem& fs = FileSystem::Posix();
  const std::string path = JoinPath(layout.readers(), "r");
  {
    KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, ReaderCursor::Register(fs, layout, "r", Position{3, 0}));
    for (Seq seq = 1; seq <= 41; ++seq) ASSERT_THAT(cursor.Advance({.epoch = 3, .seq = seq}), IsOk());
  }
  const std::string documented = BytesOfTheDocument(kCursor, 128);
  EXPECT_EQ(ReadFileBytes(path), documented);
  WriteFileBytes(path, documented);
  KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, ReaderCursor::Register(fs, layout, "r"));
  EXPECT_EQ(cursor.position(), (Position{3, 41}));
}

}  // namespace
}  // namespace kekbit
