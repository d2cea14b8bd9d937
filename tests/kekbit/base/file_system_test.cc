#include "kekbit/base/file_system.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_lock.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class FileSystemTest : public testing::Test {
 protected:
  FileSystem& fs_ = FileSystem::Posix();
  TempDir dir_;
};

TEST_F(FileSystemTest, ErrorsSayPathOperationAndReason) {
  EXPECT_THAT(fs_.Open(dir_.File("none"), Access::kRead),
              StatusIs(StatusCode::kNotFound,
                       AllOf(HasSubstr(dir_.File("none")), HasSubstr("open"), HasSubstr("No such file or directory"))));
  WriteFileBytes(dir_.File("file"), "x");
  EXPECT_THAT(fs_.Open(dir_.File("file/below"), Access::kRead), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs_.CreateDirectories(dir_.File("file")), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(fs_.Unlink(dir_.File("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs_.List(dir_.File("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs_.Info(dir_.File("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(fs_.SyncDirectory(dir_.File("none")), StatusIs(StatusCode::kNotFound));
}

// A link to itself used to be Unknown, a link to nowhere looked like a file that is still to come.
TEST_F(FileSystemTest, SomethingOfAWrongKindIsNamedAndKeepsNobodyWaiting) {
  const TempDir dir = TempDir::InMemory();  // the path of a socket is short
  WriteFileBytes(dir.File("file"), "x");
  ASSERT_EQ(::mkdir(dir.File("directory").c_str(), 0700), 0);
  ASSERT_EQ(::mkfifo(dir.File("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink(dir.File("loop").c_str(), dir.File("loop").c_str()), 0);
  ASSERT_EQ(::symlink("/nowhere/at/all", dir.File("dead").c_str()), 0);
  ASSERT_EQ(::symlink("/dev/null", dir.File("device").c_str()), 0);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(dir.File("socket").size(), sizeof address.sun_path);
  dir.File("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  const std::pair<const char*, const char*> kinds[] = {{"directory", "is a directory"},
                                                       {"pipe", "is a pipe"},
                                                       {"loop", "is a link that leads to itself"},
                                                       {"dead", "is a link that leads nowhere"},
                                                       {"device", "is a device"},
                                                       {"socket", "is a socket"},
                                                       {"file", "is a file"}};
  for (const auto& [name, says] : kinds) {
    const std::string path = dir.File(name);
    const auto refused = StatusIs(StatusCode::kFailedPrecondition, HasSubstr(path + ": " + says + ", not a "));
    if (name != std::string("file")) {
      EXPECT_THAT(fs_.Open(path, Access::kRead), refused);
      EXPECT_THAT(fs_.Open(path, Access::kReadWrite), refused);
      EXPECT_THAT(fs_.OpenOrCreate(path), refused);
    }
    if (name != std::string("directory")) {
      EXPECT_THAT(fs_.List(path), refused);
      EXPECT_THAT(fs_.CreateUnnamed(path, dir.File("new")), refused);
    }
  }
  // Below it, there is just no such file.
  EXPECT_THAT(fs_.List(dir.File("file/below")), StatusIs(StatusCode::kNotFound));
}

// It used to say "linkat: Invalid cross-device link", and nothing of what to do.
TEST_F(FileSystemTest, AnotherFileSystemIsAnErrorThatSaysWhatToDo) {
  const TempDir other = TempDir::InMemory();
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.CreateUnnamed(dir_.path(), other.File("file")));
  struct stat here, there;
  ASSERT_EQ(::stat(dir_.path().c_str(), &here), 0);
  ASSERT_EQ(::stat(other.path().c_str(), &there), 0);
  if (here.st_dev == there.st_dev) GTEST_SKIP() << "both directories lie on one file system";
  EXPECT_THAT(file->LinkTo(other.File("file")),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(other.File("file")), HasSubstr("must lie on one file system"))));
  WriteFileBytes(dir_.File("file"), "x");
  EXPECT_THAT(fs_.Rename(dir_.File("file"), other.File("file")),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("must lie on one file system")));
}

TEST_F(FileSystemTest, WritesAndReadsAtOffsets) {
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
  EXPECT_THAT(file->WriteAt(2, AsBytes("hello")), IsOk());
  EXPECT_THAT(file->Sync(), IsOk());
  EXPECT_EQ(ReadFileBytes(dir_.File("file")), std::string("\0\0hello", 7));
  std::vector<uint8_t> bytes(10, 'x');
  EXPECT_THAT(file->ReadAt(4, absl::MakeSpan(bytes)), IsOkAndHolds(3u));
  EXPECT_EQ(AsText(bytes), "lloxxxxxxx");
  EXPECT_THAT(file->ReadAt(100, absl::MakeSpan(bytes)), IsOkAndHolds(0u));
}

TEST_F(FileSystemTest, AllocateNeverMakesAFileShorter) {
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
  ASSERT_THAT(file->Allocate(10'000), IsOk());
  ASSERT_THAT(file->Allocate(100), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const FileInfo info, file->Info());
  EXPECT_EQ(info.size, 10'000u);
}

TEST_F(FileSystemTest, AnUnnamedFileGetsItsNameOrLeavesNothing) {
  {
    KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.CreateUnnamed(dir_.path(), dir_.File("file")));
    ASSERT_THAT(file->WriteAt(0, AsBytes("x")), IsOk());
    EXPECT_EQ(dir_.Listing(), "");
  }
  EXPECT_EQ(dir_.Listing(), "");
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.CreateUnnamed(dir_.path(), dir_.File("file")));
  ASSERT_THAT(file->WriteAt(0, AsBytes("x")), IsOk());
  ASSERT_THAT(file->LinkTo(dir_.File("file")), IsOk());
  EXPECT_EQ(ReadFileBytes(dir_.File("file")), "x");
  KB_ASSERT_OK_AND_ASSIGN(const auto second, fs_.CreateUnnamed(dir_.path(), dir_.File("file")));
  EXPECT_THAT(second->LinkTo(dir_.File("file")), StatusIs(StatusCode::kAlreadyExists));
}

TEST_F(FileSystemTest, ListIsSortedAndRenameReplaces) {
  for (const char* name : {"b", "c", "a"}) WriteFileBytes(dir_.File(name), name);
  EXPECT_THAT(fs_.List(dir_.path()), IsOkAndHolds(ElementsAre("a", "b", "c")));
  ASSERT_THAT(fs_.Rename(dir_.File("c"), dir_.File("a")), IsOk());
  ASSERT_THAT(fs_.Unlink(dir_.File("b")), IsOk());
  ASSERT_THAT(fs_.SyncDirectory(dir_.path()), IsOk());
  EXPECT_THAT(fs_.List(dir_.path()), IsOkAndHolds(ElementsAre("a")));
  EXPECT_EQ(ReadFileBytes(dir_.File("a")), "c");
}

TEST_F(FileSystemTest, MappingsOfOneFileShareItsBytesAndOutliveTheFile) {
  std::unique_ptr<MappedFile> writes, reads;
  {
    KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
    ASSERT_THAT(file->Allocate(10'000), IsOk());
    KB_ASSERT_OK_AND_ASSIGN(writes, file->Map(Access::kReadWrite, 10'000));
    KB_ASSERT_OK_AND_ASSIGN(reads, file->Map(Access::kRead, 10'000));
  }
  writes->data()[9'999] = 'z';
  EXPECT_EQ(reads->data()[9'999], 'z');
  EXPECT_THAT(writes->Touch(5'000, 5'000), IsOk());
  EXPECT_EQ(reads->data()[9'999], 'z');
  EXPECT_THAT(writes->Sync(9'000, 1'000), IsOk());
  EXPECT_EQ(ReadFileBytes(dir_.File("file")).back(), 'z');
}

TEST_F(FileSystemTest, NothingThatIsOpenedIsInheritedByAnExecutedProgram) {
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
  int found = 0;
  for (int fd = 0; fd < 100; ++fd) {
    struct stat opened, named;
    if (::fstat(fd, &opened) != 0 || ::stat(dir_.File("file").c_str(), &named) != 0) continue;
    if (opened.st_ino != named.st_ino || opened.st_dev != named.st_dev) continue;
    ++found;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(found, 1);
}

TEST_F(FileSystemTest, FileSizeLimitIsResourceExhausted) {
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status allocated = file->Allocate(100'000);
  const absl::Status written = file->WriteAt(4095, AsBytes("xy"));  // would end the process
  const absl::Status fits = file->WriteAt(4094, AsBytes("xy"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(allocated, StatusIs(StatusCode::kResourceExhausted, HasSubstr("100000")));
  EXPECT_THAT(written, StatusIs(StatusCode::kResourceExhausted, HasSubstr("4097")));
  EXPECT_THAT(fits, IsOk());
}

TEST_F(FileSystemTest, AMappingThatOutlivesItsFileDoesNotKeepTheLock) {
  KB_ASSERT_OK_AND_ASSIGN(auto file, fs_.OpenOrCreate(dir_.File("file")));
  ASSERT_THAT(file->Allocate(4096), IsOk());
  ASSERT_THAT(file->TryLock(), IsOkAndHolds(true));
  KB_ASSERT_OK_AND_ASSIGN(const auto mapping, file->Map(Access::kReadWrite, 4096));
  file.reset();
  KB_ASSERT_OK_AND_ASSIGN(const auto other, fs_.OpenOrCreate(dir_.File("file")));
  EXPECT_THAT(other->TryLock(), IsOkAndHolds(true));
}

TEST_F(FileSystemTest, DroppedBytesAreReadAgain) {
  KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.OpenOrCreate(dir_.File("file")));
  ASSERT_THAT(file->WriteAt(0, AsBytes("kept")), IsOk());
  EXPECT_THAT(file->DropCache(0, 4096), IsOk());  // not written yet, or on the device: never lost
  ASSERT_THAT(file->Sync(), IsOk());
  EXPECT_THAT(file->DropCache(0, 4096), IsOk());
  EXPECT_EQ(ReadFileBytes(dir_.File("file")), "kept");
}

TEST_F(FileSystemTest, KnowsTheRoomLeft) {
  EXPECT_THAT(fs_.FreeBytes(dir_.path()), IsOkAndHolds(testing::Gt(0u)));
  EXPECT_THAT(fs_.FreeBytes(dir_.File("none")), StatusIs(StatusCode::kNotFound, HasSubstr("statvfs")));
}

TEST_F(FileSystemTest, AFileSystemThatKeepsNoPromiseIsRefused) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs_.Open("/proc/self/status", Access::kRead);
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->Allocate(1), testing::Not(IsOk()));
  KB_ASSERT_OK_AND_ASSIGN(const auto good, fs_.OpenOrCreate(dir_.File("file")));
  EXPECT_THAT(good->CheckSupported(), IsOk());
}

TEST_F(FileSystemTest, TheLockIsThatOfOneOpenFile) {
  const std::string path = dir_.File("file");
  KB_ASSERT_OK_AND_ASSIGN(auto first, fs_.OpenOrCreate(path));
  KB_ASSERT_OK_AND_ASSIGN(const auto second, fs_.OpenOrCreate(path));
  EXPECT_THAT(second->LockedByOther(), IsOkAndHolds(false));
  EXPECT_THAT(first->TryLock(), IsOkAndHolds(true));
  EXPECT_THAT(first->TryLock(), IsOkAndHolds(true));
  EXPECT_THAT(first->LockedByOther(), IsOkAndHolds(false));
  EXPECT_THAT(second->TryLock(), IsOkAndHolds(false));
  EXPECT_THAT(second->LockedByOther(), IsOkAndHolds(true));
  // Opening and closing the file once more, which releases a process's POSIX locks, does nothing to this one.
  ASSERT_THAT(fs_.OpenOrCreate(path), IsOk());
  EXPECT_THAT(second->TryLock(), IsOkAndHolds(false));
  first.reset();
  EXPECT_THAT(second->TryLock(), IsOkAndHolds(true));
}

// P1: the lock of a file is worth nothing when the name leads to another by now.
TEST_F(FileSystemTest, LockNamedFileSeesThatTheNameLeadsElsewhere) {
  const std::string path = dir_.File("file");
  KB_ASSERT_OK_AND_ASSIGN(const auto old, fs_.OpenOrCreate(path));
  EXPECT_THAT(LockNamedFile(fs_, *old, path), IsOkAndHolds(true));
  WriteFileBytes(dir_.File("new"), "");
  ASSERT_THAT(fs_.Rename(dir_.File("new"), path), IsOk());
  EXPECT_THAT(LockNamedFile(fs_, *old, path), StatusIs(StatusCode::kUnavailable, HasSubstr("inode")));
  KB_ASSERT_OK_AND_ASSIGN(const auto named, fs_.OpenOrCreate(path));
  EXPECT_THAT(LockNamedFile(fs_, *named, path), IsOkAndHolds(true));
  KB_ASSERT_OK_AND_ASSIGN(const auto third, fs_.OpenOrCreate(path));
  EXPECT_THAT(LockNamedFile(fs_, *third, path), IsOkAndHolds(false));
  ASSERT_THAT(fs_.Unlink(path), IsOk());
  EXPECT_THAT(LockNamedFile(fs_, *named, path), StatusIs(StatusCode::kNotFound));
}

TEST(PathTest, DirectoryOfAndJoinPath) {
  EXPECT_EQ(DirectoryOf("/a/b/c"), "/a/b");
  EXPECT_EQ(DirectoryOf("/a"), "/");
  EXPECT_EQ(DirectoryOf("a"), ".");
  EXPECT_EQ(DirectoryOf("a/b/"), "a");
  EXPECT_EQ(DirectoryOf("/"), "/");
  EXPECT_EQ(JoinPath("/a", "b"), "/a/b");
  EXPECT_EQ(JoinPath("/a/", "b"), "/a/b");
}

}  // namespace
}  // namespace kekbit
