// Mends: files and directories could be read by everybody, and so locked by everybody. What a FileSystem makes is for
// its user alone, or for a group, whatever the umask says.

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(::stat(path.c_str(), &stat), 0) << path;
  return stat.st_mode & 07777;
}

struct Umask {
  explicit Umask(mode_t mask) : before(::umask(mask)) {}
  ~Umask() { ::umask(before); }
  const mode_t before;
};

struct Expected {
  GroupAccess group;
  mode_t file;
  mode_t directory;
};
class GroupAccessTest : public testing::TestWithParam<Expected> {
 protected:
  FileSystem& fs_ = FileSystem::Posix(GetParam().group);
  TempDir dir_;
};

TEST_P(GroupAccessTest, GivesItsModesWhateverTheUmaskIs) {
  for (const mode_t mask : {0, 022, 027, 077}) {
    const TempDir dir;
    const Umask umask(mask);
    ASSERT_THAT(fs_.CreateDirectories(dir.File("a/b")), IsOk());
    EXPECT_EQ(ModeOf(dir.File("a")), GetParam().directory) << mask;
    EXPECT_EQ(ModeOf(dir.File("a/b")), GetParam().directory) << mask;
    ASSERT_THAT(fs_.OpenOrCreate(dir.File("a/made")), IsOk());
    EXPECT_EQ(ModeOf(dir.File("a/made")), GetParam().file) << mask;
    KB_ASSERT_OK_AND_ASSIGN(const auto unnamed, fs_.CreateUnnamed(dir.File("a"), dir.File("a/linked")));
    ASSERT_THAT(unnamed->LinkTo(dir.File("a/linked")), IsOk());
    EXPECT_EQ(ModeOf(dir.File("a/linked")), GetParam().file) << mask;
  }
}

TEST_P(GroupAccessTest, LeavesWhatIsThereAsItIs) {
  ASSERT_EQ(::mkdir(dir_.File("wide").c_str(), 0755), 0);
  ASSERT_THAT(FileSystem::Posix().OpenOrCreate(dir_.File("wide/file")), IsOk());
  ASSERT_EQ(::chmod(dir_.File("wide/file").c_str(), 0644), 0);
  EXPECT_THAT(fs_.CreateDirectories(dir_.File("wide")), IsOk());
  EXPECT_THAT(fs_.OpenOrCreate(dir_.File("wide/file")), IsOk());
  EXPECT_EQ(ModeOf(dir_.File("wide")), 0755u);
  EXPECT_EQ(ModeOf(dir_.File("wide/file")), 0644u);
}

// A directory that hands its group on goes on doing so.
TEST_P(GroupAccessTest, KeepsTheSetGroupIdBit) {
  const Umask umask(077);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 02770), 0);
  ASSERT_THAT(fs_.CreateDirectories(dir_.File("a")), IsOk());
  EXPECT_EQ(ModeOf(dir_.File("a")), 02000u | GetParam().directory);
}

TEST_P(GroupAccessTest, IsReadOffADirectory) {
  ASSERT_THAT(fs_.CreateDirectories(dir_.File("a")), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const FileInfo info, fs_.Info(dir_.File("a")));
  EXPECT_EQ(GroupAccessOf(info), GetParam().group);
}

INSTANTIATE_TEST_SUITE_P(All, GroupAccessTest,
                         testing::Values(Expected{GroupAccess::kNone, 0600, 0700},
                                         Expected{GroupAccess::kRead, 0640, 0750},
                                         Expected{GroupAccess::kReadWrite, 0660, 0770}));

}  // namespace
}  // namespace kekbit
