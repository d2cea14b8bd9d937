// Mends: a journal could be read by everybody, and so locked by everybody. All that replicas make is for their user
// alone, or for the group that the file system was chosen for.

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/registered_reader.h"
#include "tests/support/child_process.h"
#include "tests/support/replica_fixture.h"

namespace kekbit {
namespace {

constexpr uid_t kNobody = 65534;

struct Expected {
  GroupAccess group;
  mode_t umask;
  mode_t file;
  mode_t directory;
};

class JournalModesTest : public testing::TestWithParam<Expected> {
 protected:
  // A journal with all that there can be in it, after its replicas have gone.
  void Make() {
    const mode_t before = ::umask(GetParam().umask);
    FileSystem& fs = FileSystem::Posix(GetParam().group);
    ReplicaOptions options;
    options.directory = journal_;
    options.segment_bytes = 64 << 10;
    options.file_system = &fs;
    options.snapshots.on_primary = true;
    {
      auto primary = TapeReplica::Open(options);
      ASSERT_THAT(primary, IsOk());
      ASSERT_TRUE((*primary)->WaitForRole(Role::kPrimary, kLong));
      ASSERT_THAT((*primary)->Execute("one"), IsOk());
      ASSERT_THAT((*primary)->TakeSnapshot(), IsOk());
      ASSERT_THAT(RegisteredReader::Open(fs, JournalLayout(journal_), "audit"), IsOk());
      ::umask(before);
    }
  }

  TempDir dir_ = TempDir::InMemory();
  const std::string journal_ = dir_.File("journal");
};

TEST_P(JournalModesTest, AreTheSameForAllThatIsMade) {
  ASSERT_NO_FATAL_FAILURE(Make());
  struct stat stat = {};
  ASSERT_EQ(::stat(journal_.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, GetParam().directory);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(journal_)) {
    ASSERT_EQ(::stat(entry.path().c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 07777, entry.is_directory() ? GetParam().directory : GetParam().file) << entry.path();
    files += entry.is_directory() ? 0 : 1;
  }
  // Lease, epoch, mark, event, a segment, a snapshot, a cursor, statistics.
  EXPECT_GE(files, 8) << dir_.Listing();
}

TEST_P(JournalModesTest, KeepOtherUsersFromTheLocks) {
  if (::getuid() != 0) GTEST_SKIP() << "SKIPPED: only root can become another user";
  ASSERT_NO_FATAL_FAILURE(Make());
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  // 0: it can open the lease for neither; 1: for reading; 2: for writing, too.
  const auto can_open = [this](gid_t group) {
    ChildProcess child([&] {
      if (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(kNobody) != 0) return 99;
      const std::string lease = JournalLayout(journal_).lease();
      return (::open(lease.c_str(), O_RDONLY) >= 0 ? 1 : 0) + (::open(lease.c_str(), O_RDWR) >= 0 ? 1 : 0);
    });
    return child.Wait();
  };
  if (can_open(kNobody) == 99) GTEST_SKIP() << "SKIPPED: this sandbox lets nobody become another user";
  EXPECT_EQ(can_open(kNobody), 0);
  EXPECT_EQ(can_open(::getgid()), static_cast<int>(GetParam().group));
}

INSTANTIATE_TEST_SUITE_P(All, JournalModesTest,
                         testing::Values(Expected{GroupAccess::kNone, 0, 0600, 0700},
                                         Expected{GroupAccess::kNone, 022, 0600, 0700},
                                         Expected{GroupAccess::kRead, 0, 0640, 0750},
                                         Expected{GroupAccess::kRead, 077, 0640, 0750},
                                         Expected{GroupAccess::kReadWrite, 022, 0660, 0770},
                                         Expected{GroupAccess::kReadWrite, 077, 0660, 0770}));

}  // namespace
}  // namespace kekbit
