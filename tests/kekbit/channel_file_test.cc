#include "kekbit/channel_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

absl::StatusOr<ChannelFile> CreateSmall(const std::string& path, FileSystem& fs = FileSystem::Posix()) {
  KB_RETURN_IF_ERROR(fs.CreateDirectories(DirectoryOf(path)));
  KB_ASSIGN_OR_RETURN(PreparedChannelFile prepared, PrepareChannelFile(fs, path, kCapacityMin));
  return NameChannelFile(std::move(prepared), path, MakeHeader(), Extension{.data_format = 7});
}

TEST(ChannelPathTest, IsTheIdInHexadecimalDigits) {
  EXPECT_EQ(ChannelPath("/a", 0), "/a/0000_0000/0000_0000.kekbit");
  EXPECT_EQ(ChannelPath("/a", 0x3e8), "/a/0000_0000/0000_03e8.kekbit");
  EXPECT_EQ(ChannelPath("/a/", 0x0123'4567'89AB'CDEF), "/a/0123_4567/89ab_cdef.kekbit");
  EXPECT_EQ(ChannelPath("a", 0xFFFF'FFFF'FFFF'FFFF), "a/ffff_ffff/ffff_ffff.kekbit");
}

TEST(ChannelPathTest, TheWakeFileLiesBeside) {
  EXPECT_EQ(WakePath("/a/0000_0000/0000_03e8.kekbit"), "/a/0000_0000/0000_03e8.wake");
  EXPECT_EQ(WakePath("/a/segment"), "/a/segment.wake");
}

TEST(NameChannelFileTest, MakesAFileOfFullLengthWithItsSpaceReserved) {
  const TempDir dir;
  const std::string path = ChannelPath(dir.File("new/root"), 42);
  KB_ASSERT_OK_AND_ASSIGN(const ChannelFile channel, CreateSmall(path));
  EXPECT_EQ(dir.Listing(), "new new/root new/root/0000_0000 new/root/0000_0000/0000_002a.kekbit");
  struct stat stat;
  ASSERT_EQ(::stat(path.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_size, 1024 + 16384 + 32);
  EXPECT_GE(stat.st_blocks * 512, stat.st_size);
  EXPECT_EQ(channel.mapping->size(), 1024u + 16384u + 32u);
  EXPECT_EQ(PeekWord(channel.mapping->data() + kDataOffset), kWatermark);
}

TEST(NameChannelFileTest, WhatIsThereIsNeverTouched) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  for (const std::string& content : {std::string(), std::string("something else")}) {
    WriteFileBytes(path, content);
    EXPECT_THAT(CreateSmall(path), StatusIs(StatusCode::kAlreadyExists, HasSubstr(path)));
    EXPECT_EQ(ReadFileBytes(path), content);
    EXPECT_EQ(dir.Listing(), "channel");
  }
}

TEST(NameChannelFileTest, IsLockedBeforeItHasItsName) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  {
    KB_ASSERT_OK_AND_ASSIGN(const ChannelFile channel, CreateSmall(path));
    KB_ASSERT_OK_AND_ASSIGN(const auto other, FileSystem::Posix().Open(path, Access::kReadWrite));
    EXPECT_THAT(other->TryLock(), IsOkAndHolds(false));
    EXPECT_THAT(other->LockedByOther(), IsOkAndHolds(true));
  }
  KB_ASSERT_OK_AND_ASSIGN(const auto other, FileSystem::Posix().Open(path, Access::kReadWrite));
  EXPECT_THAT(other->LockedByOther(), IsOkAndHolds(false));
}

// All that a creation asks of the system comes before the name: no failure of a call leaves
// anything.
TEST(NameChannelFileTest, LinksLast) {
  const TempDir dir;
  FaultyFileSystem fs;
  ASSERT_THAT(CreateSmall(dir.File("channel"), fs), IsOk());
  ASSERT_FALSE(fs.calls().empty());
  EXPECT_EQ(fs.calls().back(), "LinkTo");
}

TEST(OpenChannelFileTest, ReadsHeaderAndExtension) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  ASSERT_THAT(CreateSmall(path), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const ChannelFile channel, OpenChannelFile(FileSystem::Posix(), path));
  EXPECT_EQ(channel.header, MakeHeader());
  ASSERT_TRUE(channel.extension.has_value());
  EXPECT_EQ(channel.extension->data_format, 7u);
  EXPECT_EQ(channel.data_bytes(), 16384u + 32u);
}

TEST(OpenChannelFileTest, DataBytesAreThoseTheFileHas) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  ASSERT_THAT(CreateSmall(path), IsOk());
  const std::string whole = ReadFileBytes(path);
  for (const size_t size : {128u, 200u, 1023u, 1024u, 1025u, 10'000u, 17'439u, 17'440u}) {
    WriteFileBytes(path, whole.substr(0, size));
    KB_ASSERT_OK_AND_ASSIGN(const ChannelFile channel, OpenChannelFile(FileSystem::Posix(), path));
    EXPECT_EQ(channel.data_bytes(), size < 1024 ? 0 : size - 1024);
  }
  WriteFileBytes(path, whole + std::string(5000, 'x'));
  KB_ASSERT_OK_AND_ASSIGN(const ChannelFile longer, OpenChannelFile(FileSystem::Posix(), path));
  EXPECT_EQ(longer.data_bytes(), 16384u + 32u);
}

TEST(OpenChannelFileTest, WhatIsNoChannelIsAnErrorWithThePath) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), path), StatusIs(StatusCode::kNotFound, HasSubstr(path)));
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), dir.path()),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("is a directory, not a file")));
  ASSERT_EQ(::mkfifo(dir.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), dir.File("pipe")),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("a pipe, not a file")));
  for (const size_t size : {0, 1, 127}) {
    WriteFileBytes(path, std::string(size, '\0'));
    EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), path), StatusIs(StatusCode::kDataLoss, HasSubstr(path)));
  }
  WriteFileBytes(path, std::string(5000, '\0'));
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), path), StatusIs(StatusCode::kDataLoss, HasSubstr(path)));
}

TEST(OpenChannelFileTest, WaitsUntilTheChannelIsMade) {
  const TempDir dir;
  const std::string path = ChannelPath(dir.path(), 42);
  absl::StatusOr<ChannelFile> opened = absl::UnknownError("not opened");
  std::thread opener([&] { opened = OpenChannelFile(FileSystem::Posix(), path, absl::Minutes(10)); });
  const absl::StatusOr<ChannelFile> created = CreateSmall(path);
  opener.join();
  ASSERT_THAT(created, IsOk());
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->header, MakeHeader());
}

// The Rust library gives the file its name first, and fills it then.
TEST(OpenChannelFileTest, WaitsUntilAFileMadeInPlaceIsWhole) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  ASSERT_THAT(CreateSmall(dir.File("model")), IsOk());
  const std::string whole = ReadFileBytes(dir.File("model"));
  WriteFileBytes(path, "");
  FaultyFileSystem fs;  // to know that the opener has looked
  absl::StatusOr<ChannelFile> opened = absl::UnknownError("not opened");
  std::thread opener([&] { opened = OpenChannelFile(fs, path, absl::Minutes(10)); });
  const auto wait_for_calls = [&](size_t count) {
    while (fs.calls().size() < count) std::this_thread::yield();
  };
  wait_for_calls(2);
  // Never cut: the opener may have the file mapped.
  const auto file = FileSystem::Posix().Open(path, Access::kReadWrite);
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT((*file)->WriteAt(0, AsBytes(std::string(200, '\0'))), IsOk());
  wait_for_calls(fs.calls().size() + 3);
  ASSERT_THAT((*file)->WriteAt(0, AsBytes(whole)), IsOk());
  opener.join();
  EXPECT_THAT(opened, IsOk());
}

TEST(OpenChannelFileTest, GivesUpAtTheDeadlineWithTheLastReason) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), path, absl::Milliseconds(5)), StatusIs(StatusCode::kNotFound));
  WriteFileBytes(path, "short");
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), path, absl::Milliseconds(5)), StatusIs(StatusCode::kDataLoss));
}

// Errors that waiting does not mend are reported at once: with a deadline this far off, the test
// would not end otherwise.
TEST(OpenChannelFileTest, DoesNotWaitForWhatWontCome) {
  const TempDir dir;
  EXPECT_THAT(OpenChannelFile(FileSystem::Posix(), dir.path(), absl::Hours(10)),
              StatusIs(StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace kekbit
