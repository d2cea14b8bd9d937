#include "kekbit/replication/journal/epoch_store.h"

#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

class EpochStoreTest : public testing::Test {
 protected:
  absl::StatusOr<EpochStore> Open() { return EpochStore::Open(fs_, path_); }

  TempDir dir_;
  std::string path_ = dir_.File("epoch");
  FaultyFileSystem fs_;
};

TEST_F(EpochStoreTest, BeginsWithoutAnEpochAndGrantsOneAfterTheOther) {
  KB_ASSERT_OK_AND_ASSIGN(EpochStore store, Open());
  EXPECT_EQ(store.current(), 0u);
  EXPECT_THAT(store.Grant(0), IsOkAndHolds(1u));
  EXPECT_THAT(store.Grant(0), IsOkAndHolds(2u));
  EXPECT_EQ(store.current(), 2u);
}

TEST_F(EpochStoreTest, GrantsAboveWhatTheJournalHolds) {
  KB_ASSERT_OK_AND_ASSIGN(EpochStore store, Open());
  EXPECT_THAT(store.Grant(41), IsOkAndHolds(42u));
  EXPECT_THAT(store.Grant(3), IsOkAndHolds(43u));
}

TEST_F(EpochStoreTest, WhoeverHasTheFileOpenSeesTheNewEpochAtOnce) {
  KB_ASSERT_OK_AND_ASSIGN(EpochStore first, Open());
  KB_ASSERT_OK_AND_ASSIGN(EpochStore second, Open());
  EXPECT_THAT(first.Grant(0), IsOkAndHolds(1u));
  EXPECT_EQ(second.current(), 1u);
  EXPECT_THAT(second.Grant(0), IsOkAndHolds(2u));
  EXPECT_EQ(first.current(), 2u);
}

TEST_F(EpochStoreTest, SurvivesTheProcess) {
  ChildProcess child([this] {
    auto store = Open();
    return store.ok() && store->Grant(9).ok() ? 0 : 1;
  });
  ASSERT_EQ(child.Wait(), 0);
  KB_ASSERT_OK_AND_ASSIGN(EpochStore store, Open());
  EXPECT_EQ(store.current(), 10u);
}

TEST_F(EpochStoreTest, AGrantedEpochIsOnStableStorage) {
  KB_ASSERT_OK_AND_ASSIGN(EpochStore store, Open());
  fs_.Heal();
  ASSERT_THAT(store.Grant(0), IsOk());
  EXPECT_THAT(fs_.calls(), Contains("MappedFile::Sync"));
  // The word itself, where journal_format.md says.
  const std::string bytes = ReadFileBytes(path_);
  ASSERT_EQ(bytes.size(), 64u);
  EXPECT_EQ(bytes.substr(0, 8), "KKBEPCH1");
  EXPECT_EQ(LoadUnaligned<uint64_t>(AsBytes(bytes).data() + 8), 1u);
  EXPECT_EQ(bytes.substr(16), std::string(48, '\0'));
}

TEST_F(EpochStoreTest, AFileOfSomethingElseIsRefused) {
  WriteFileBytes(path_, "too short");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path_), HasSubstr("9 bytes"))));
  WriteFileBytes(path_, std::string(64, 'x'));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path_), HasSubstr("no file of epochs"))));
}

TEST_F(EpochStoreTest, ACreationThatFailsAnywhereLeavesAFileThatOpensOrNone) {
  for (uint64_t n = 1;; ++n) {
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    const auto opened = Open();
    if (!fs_.failed()) break;
    EXPECT_THAT(opened, StatusIs(absl::StatusCode::kResourceExhausted)) << fs_.failed_call();
    fs_.Heal();
    const auto again = Open();
    ASSERT_THAT(again, IsOk()) << fs_.failed_call();
    EXPECT_EQ(again->current(), 0u);
    ASSERT_THAT(fs_.Unlink(path_), IsOk());
  }
}

TEST_F(EpochStoreTest, AnEpochThatCouldNotBeSyncedIsNotGrantedAgain) {
  KB_ASSERT_OK_AND_ASSIGN(EpochStore store, Open());
  fs_.FailCalls("MappedFile::Sync", absl::DataLossError("planted"));
  EXPECT_THAT(store.Grant(0), StatusIs(absl::StatusCode::kDataLoss));
  fs_.Heal();
  EXPECT_THAT(store.Grant(0), IsOkAndHolds(2u));
}

}  // namespace
}  // namespace kekbit
