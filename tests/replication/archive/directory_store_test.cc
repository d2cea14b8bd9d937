// An object is there whole or not at all, whatever fails on the way.

#include "kekbit/replication/archive/directory_store.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/object_store_suite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::IsEmpty;

class DirectoryStoreHere final : public StoreUnderTest {
 public:
  ObjectStore& store() override { return store_; }

 private:
  TempDir dir_ = TempDir::InMemory();
  DirectoryStore store_{FileSystem::Posix(), JoinPath(dir_.path(), "a/b")};
};

// A share that has no files without names.
class ShareHere final : public StoreUnderTest {
 public:
  ShareHere() { fs_.FailCalls("CreateUnnamed", absl::FailedPreconditionError("no such files here")); }
  ObjectStore& store() override { return store_; }

 private:
  TempDir dir_ = TempDir::InMemory();
  FaultyFileSystem fs_;
  DirectoryStore store_{fs_, JoinPath(dir_.path(), "a/b")};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Directory, ObjectStoreSuite, DirectoryStoreHere);
INSTANTIATE_TYPED_TEST_SUITE_P(Share, ObjectStoreSuite, ShareHere);

// Under its name the object has all its bytes, or there is none; the files around it go again.
TEST(DirectoryStoreTest, WhicheverCallFailsTheObjectIsWholeOrNotThere) {
  const std::string old_bytes(100, 'a');
  const std::string new_bytes(3 << 20, 'b');
  for (const bool share : {false, true}) {
    for (const bool existing : {false, true}) {
      for (uint64_t n = 1;; ++n) {
        const TempDir dir = TempDir::InMemory();
        FaultyFileSystem base;
        if (share) base.FailCalls("CreateUnnamed", absl::FailedPreconditionError("no such files here"));
        FaultyFileSystem fs(static_cast<FileSystem&>(base));
        DirectoryStore store(fs, dir.path());
        if (existing) {
          ASSERT_THAT(store.Put("frames/1", AsBytes(old_bytes)), IsOk());
        }
        fs.FailCall(n, absl::ResourceExhaustedError("planted"));
        const absl::Status put = store.Put("frames/1", AsBytes(new_bytes));
        const bool failed = fs.failed();
        fs.Heal();
        const std::string where = absl::StrCat("call ", n, share ? " of a share" : "", existing ? ", existing" : "");
        const auto there = GetWhole(store, "frames/1", 10 << 20);
        if (put.ok()) {
          ASSERT_THAT(there, IsOk()) << where;
          ASSERT_EQ(AsText(*there), new_bytes) << where;
        } else if (there.ok()) {
          ASSERT_TRUE(AsText(*there) == new_bytes || (existing && AsText(*there) == old_bytes)) << where;
        } else {
          ASSERT_FALSE(existing) << where << ": " << there.status();
          ASSERT_THAT(there, StatusIs(absl::StatusCode::kNotFound)) << where;
        }
        ASSERT_THAT(store.Put("frames/1", AsBytes(new_bytes)), IsOk()) << where;
        ASSERT_EQ(AsText(ValueOrDie(GetWhole(store, "frames/1", 10 << 20))), new_bytes) << where;
        if (!failed) break;
      }
    }
  }
}

TEST(DirectoryStoreTest, ASyncThatFailsIsNoEndOfTheStore) {
  const TempDir dir = TempDir::InMemory();
  FaultyFileSystem fs;
  DirectoryStore store(fs, dir.path());
  fs.FailCalls("File::Sync", absl::AbortedError("planted"));
  EXPECT_THAT(store.Put("frames/1", AsBytes("bytes")), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(store.Get("frames/1", 0, {}), StatusIs(absl::StatusCode::kNotFound));
}

TEST(DirectoryStoreTest, OtherFilesAreNoObjects) {
  const TempDir dir = TempDir::InMemory();
  DirectoryStore store(FileSystem::Posix(), dir.path());
  std::filesystem::create_directory(JoinPath(dir.path(), "frames"));
  WriteFileBytes(JoinPath(dir.path(), "frames/.part-1"), "half");
  WriteFileBytes(JoinPath(dir.path(), "frames/a file"), "by somebody");
  EXPECT_THAT(store.List("frames/"), IsOkAndHolds(IsEmpty()));
}

}  // namespace
}  // namespace kekbit
