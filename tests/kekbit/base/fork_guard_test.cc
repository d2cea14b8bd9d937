// A process's children: what it leaves to them, and what it finds in its place when it starts.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using ::testing::Eq;

std::unique_ptr<File> OpenFile(const std::string& path) {
  auto file = FileSystem::Posix().OpenOrCreate(path);
  EXPECT_THAT(file, IsOk());
  return file.ok() ? *std::move(file) : nullptr;
}

// P1. A forked child used to have the lock together with its parent: the parent's death did not
// release it.
TEST(ForkGuardTest, AForkedChildDoesNotKeepALock) {
  const TempDir dir;
  const std::string path = dir.File("file");
  std::unique_ptr<File> file = OpenFile(path);
  ASSERT_THAT(file->TryLock(), IsOkAndHolds(true));
  int ready[2];
  ASSERT_THAT(::pipe2(ready, O_CLOEXEC), Eq(0));
  const pid_t child = ::fork();
  if (child == 0) {
    if (::write(ready[1], "r", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  // The child lets go before its fork() returns, which may be after the parent's has.
  char byte = 0;
  ASSERT_THAT(::read(ready[0], &byte, 1), Eq(1));
  const std::unique_ptr<File> other = OpenFile(path);
  EXPECT_THAT(other->TryLock(), IsOkAndHolds(false)) << "the parent lost its lock";
  file.reset();  // what the kernel does when the process dies
  EXPECT_THAT(other->TryLock(), IsOkAndHolds(true));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (const int fd : ready) ::close(fd);
}

TEST(ForkGuardTest, AChildsEndTakesNothingFromTheParent) {
  const TempDir dir;
  const std::string path = dir.File("file");
  const std::unique_ptr<File> file = OpenFile(path);
  ASSERT_THAT(file->TryLock(), IsOkAndHolds(true));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  EXPECT_THAT(OpenFile(path)->TryLock(), IsOkAndHolds(false));
}

// A service that was started without standard streams used to print into its journal's files.
TEST(ForkGuardTest, NoFileTakesThePlaceOfAStandardStream) {
  const TempDir dir;
  const std::string path = dir.File("file");
  const pid_t child = ::fork();
  if (child == 0) {
    for (int fd = 0; fd <= 2; ++fd) ::close(fd);
    const std::unique_ptr<File> file = OpenFile(path);
    int taken = 0;
    for (int fd = 0; fd <= 2; ++fd) taken += ::fcntl(fd, F_GETFD) != -1 ? 1 : 0;
    ::_exit(file == nullptr ? 99 : taken);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_THAT(WEXITSTATUS(status), Eq(0));
}

}  // namespace
}  // namespace kekbit
