// Mends: a wait for a lock did not say whose lock that is.

#include "kekbit/base/lock_holder.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/foreign_lock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class LockHolderTest : public testing::Test {
 protected:
  LockHolderTest() { EXPECT_THAT(fs_.OpenOrCreate(path_), IsOk()); }
  std::unique_ptr<File> Open() { return fs_.Open(path_, Access::kReadWrite).value(); }

  FileSystem& fs_ = FileSystem::Posix();
  TempDir dir_;
  const std::string path_ = dir_.File("file");
};

TEST_F(LockHolderTest, AFreeFileHasNone) {
  const auto file = Open();
  EXPECT_THAT(file->Blocker(), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(LockHolders(fs_, *file), IsEmpty());
  EXPECT_THAT(LockFromWriters(fs_, *file, path_), IsOk());
  // Its own lock is not in its way.
  EXPECT_THAT(file->Blocker(), IsOkAndHolds(Eq(std::nullopt)));
  // For as long it is believed that nobody was seen. The next file may get the same inode.
  absl::SleepFor(absl::Milliseconds(100));
}

TEST_F(LockHolderTest, AReadLockNamesItsProcess) {
  for (const int command : {F_OFD_SETLK, F_SETLK}) {
    const ForeignLock foreign(path_, F_RDLCK, command);
    const auto file = Open();
    KB_ASSERT_OK_AND_ASSIGN(const std::optional<FileLock> lock, file->Blocker());
    ASSERT_TRUE(lock.has_value());
    EXPECT_FALSE(lock->exclusive);
    EXPECT_EQ(lock->of_open_file, command == F_OFD_SETLK);
    EXPECT_TRUE(IsForeign(*lock));
    EXPECT_THAT(
        LockedError(fs_, *file, "a living writer"),
        StatusIs(StatusCode::kFailedPrecondition,
                 AllOf(HasSubstr(path_), HasSubstr(absl::StrCat("a read lock of process ", foreign.pid(), " (")),
                       Not(HasSubstr("writer")))));
    // No writer has such a lock.
    EXPECT_THAT(LockFromWriters(fs_, *file, path_), IsOk());
  }
}

TEST_F(LockHolderTest, AWriteLockOfAProcessIsNoneOfKekbits) {
  const ForeignLock foreign(path_, F_WRLCK, F_SETLK);
  const auto file = Open();
  KB_ASSERT_OK_AND_ASSIGN(const std::optional<FileLock> lock, file->Blocker());
  ASSERT_TRUE(lock.has_value());
  EXPECT_TRUE(lock->exclusive);
  EXPECT_EQ(lock->pid, static_cast<uint64_t>(foreign.pid()));
  EXPECT_THAT(LockFromWriters(fs_, *file, path_),
              StatusIs(StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("a write lock of process ", foreign.pid(), " ("))));
}

TEST_F(LockHolderTest, ALockOfKekbitsKindIsAWritersAndNamesIt) {
  const auto writer = Open();
  ASSERT_THAT(writer->TryLock(), IsOkAndHolds(true));
  const auto file = Open();
  EXPECT_THAT(LockHolders(fs_, *file), ElementsAre(static_cast<uint64_t>(::getpid())));
  EXPECT_THAT(LockFromWriters(fs_, *file, path_),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("a living writer holds the lock"), HasSubstr(absl::StrCat(::getpid())))));
}

TEST_F(LockHolderTest, ALockOnAnotherFileIsNotOnThisOne) {
  const std::string other = dir_.File("other");
  ASSERT_THAT(fs_.OpenOrCreate(other), IsOk());
  const ForeignLock foreign(other, F_RDLCK, F_OFD_SETLK);
  EXPECT_THAT(LockHolders(fs_, *Open()), Not(Contains(static_cast<uint64_t>(foreign.pid()))));
}

}  // namespace
}  // namespace kekbit
