#include "kekbit/replication/journal/journal_layout.h"

#include <filesystem>

#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void MakeFile(const std::string& path) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  WriteFileBytes(path, "");
}

TEST(JournalLayoutTest, Names) {
  const JournalLayout layout("/data/bank");
  EXPECT_EQ(layout.directory(), "/data/bank");
  EXPECT_EQ(layout.lease(), "/data/bank/lease");
  EXPECT_EQ(layout.epoch(), "/data/bank/epoch");
  EXPECT_EQ(layout.wake(), "/data/bank/wake");
  EXPECT_EQ(layout.segment(1), "/data/bank/segments/0000_0000/0000_0001.kekbit");
  EXPECT_EQ(layout.segment(0xABCD'EF01'2345'6789), "/data/bank/segments/abcd_ef01/2345_6789.kekbit");
}

TEST(JournalLayoutTest, ListsSegmentsAscending) {
  TempDir dir;
  const JournalLayout layout(dir.path());
  EXPECT_THAT(layout.ListSegments(FileSystem::Posix()), IsOkAndHolds(IsEmpty()));
  const SegmentNumber far = (SegmentNumber{1} << 32) + 2;
  for (const SegmentNumber number : {SegmentNumber{0x10}, SegmentNumber{2}, far, SegmentNumber{0xFFFF'FFFF}}) {
    MakeFile(layout.segment(number));
  }
  EXPECT_THAT(layout.ListSegments(FileSystem::Posix()), IsOkAndHolds(ElementsAre(2, 0x10, 0xFFFF'FFFF, far)));
}

TEST(JournalLayoutTest, PassesOverStrangers) {
  TempDir dir;
  const JournalLayout layout(dir.path());
  MakeFile(layout.segment(3));
  for (const char* name :
       {"0000_0001", "0000_0002.wake", "0000_0003.kekbit.bak", "00000_0004.kekbit", "0000-0005.kekbit",
        "000g_0006.kekbit", "0000_00070.kekbit", "_0000_008.kekbit", ".kekbit", "partial.9"}) {
    MakeFile(layout.segments() + "/0000_0000/" + name);
  }
  MakeFile(layout.segments() + "/lost+found/0000_0001.kekbit");
  MakeFile(layout.segments() + "/0000_00000/0000_0001.kekbit");
  MakeFile(layout.segments() + "/notes");
  EXPECT_THAT(layout.ListSegments(FileSystem::Posix()), IsOkAndHolds(ElementsAre(3)));
}

TEST(JournalLayoutTest, AnErrorIsNoEmptyJournal) {
  TempDir dir;
  const JournalLayout layout(dir.path());
  MakeFile(layout.segment(3));
  FaultyFileSystem fs;
  for (uint64_t n = 1;; ++n) {
    fs.FailCall(n, absl::PermissionDeniedError("planted"));
    const auto listed = layout.ListSegments(fs);
    if (!fs.failed()) break;
    EXPECT_THAT(listed, StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

TEST(SegmentExtensionTest, SaysWhatTheSegmentFollows) {
  const ChainLink link = {.position = {.epoch = 3, .seq = 99}, .crc32c = 0xDEAD'BEEF, .time_ns = 0};
  const Extension extension = SegmentExtension(17, link);
  EXPECT_EQ(extension.data_format, 17u);
  EXPECT_THAT(FollowedBySegment(extension), IsOkAndHolds(link));
}

TEST(SegmentExtensionTest, OnlyANewSegmentCountsUnsynced) {
  Extension extension = SegmentExtension(17, {.position = {}, .crc32c = 0xDEAD'BEEF, .time_ns = 0});
  EXPECT_TRUE(SegmentCountsUnsynced(extension));
  extension.hints[3] = 0xDEAD'BEEF;  // as the first version of the format had it
  EXPECT_FALSE(SegmentCountsUnsynced(extension));
  EXPECT_THAT(FollowedBySegment(extension),
              IsOkAndHolds(ChainLink{.position = {}, .crc32c = 0xDEAD'BEEF, .time_ns = 0}));
  EXPECT_FALSE(SegmentCountsUnsynced(std::nullopt));
  EXPECT_FALSE(SegmentCountsUnsynced(Extension{.data_format = 17, .hints = {0, 0, 0, ~uint64_t{0}}}));
}

TEST(SegmentExtensionTest, SaysWhoseCommandsTheSegmentHolds) {
  const Extension extension = SegmentExtension(17, {}, "ledger");
  EXPECT_EQ(SegmentStateName(extension), "ledger");
  EXPECT_THAT(CheckSegmentState(extension, JournalContent(uint64_t{17}, "ledger")), IsOk());
  EXPECT_THAT(CheckSegmentState(extension, JournalContent()), IsOk());
  EXPECT_THAT(CheckSegmentState(extension, JournalContent(uint64_t{17}, "tape")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       testing::AllOf(testing::HasSubstr("\"ledger\""), testing::HasSubstr("\"tape\""))));
  // One of an earlier version does not say.
  EXPECT_THAT(CheckSegmentState(SegmentExtension(17, {}), JournalContent(uint64_t{17}, "tape")), IsOk());
  EXPECT_EQ(SegmentStateName(Extension{.label = {'x'}}), "");
}

TEST(SegmentExtensionTest, AnyOtherChannelIsNoSegment) {
  EXPECT_THAT(FollowedBySegment(std::nullopt), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(FollowedBySegment(Extension{}), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace kekbit
