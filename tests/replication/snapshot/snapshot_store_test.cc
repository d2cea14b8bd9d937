#include "kekbit/replication/snapshot/snapshot_store.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SnapshotStoreTest : public testing::Test {
 protected:
  void Write(Seq seq, uint32_t version = 1) {
    SnapshotHeader header = HeaderOf(seq);
    header.type.type_version = version;
    ASSERT_THAT(WriteSnapshot(fs_, store_.directory(), header, absl::StrCat("state ", seq)), IsOk());
  }
  // A byte of the state changes, as on a bad disk: the file stays the same one.
  void Damage(Seq seq) {
    std::string bytes = ReadFileBytes(store_.PathOf(seq));
    bytes[128 + 16] ^= 0x40;
    WriteFileBytes(store_.PathOf(seq), bytes);
  }
  void MakeFormatNewer(Seq seq) {
    std::string bytes = ReadFileBytes(store_.PathOf(seq));
    auto header = LoadUnaligned<SnapshotFileHeader>(AsBytes(bytes).data());
    header.version = 9;
    header.crc32c = HeaderChecksum(header);
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()), header);
    WriteFileBytes(store_.PathOf(seq), bytes);
  }
  absl::StatusOr<std::string> NewestState() {
    KB_ASSIGN_OR_RETURN(const SnapshotStore::Found found, store_.FindNewest(type_));
    if (found.snapshot == nullptr) return absl::NotFoundError("none");
    return ReadState(*found.snapshot);
  }

  TempDir dir_ = TempDir::InMemory();
  FaultyFileSystem fs_;
  SnapshotStore store_{fs_, dir_.File("snapshots")};
  const SnapshotType type_ = HeaderOf(1).type;
};

TEST_F(SnapshotStoreTest, ThereMayBeNone) {
  EXPECT_THAT(store_.List(), IsOkAndHolds(IsEmpty()));
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Found found, store_.FindNewest(type_));
  EXPECT_EQ(found.snapshot, nullptr);
  EXPECT_THAT(found.passed_over, IsEmpty());
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Retained retained, store_.Retain());
  EXPECT_EQ(retained.journal_may_go_up_to(), 0u);
}

TEST_F(SnapshotStoreTest, FindsTheNewest) {
  Write(0x10);
  Write(0xF);
  Write(0x9);
  EXPECT_THAT(store_.List(), IsOkAndHolds(ElementsAre(0x9, 0xF, 0x10)));
  EXPECT_THAT(NewestState(), IsOkAndHolds("state 16"));
}

TEST_F(SnapshotStoreTest, OtherFilesArePassedOverAndLeftAlone) {
  Write(1);
  Write(2);
  Write(3);
  WriteFileBytes(store_.directory() + "/notes.txt", "mine");
  WriteFileBytes(store_.directory() + "/ffffffffffffffff.snapshot.old", "mine, too");
  EXPECT_THAT(NewestState(), IsOkAndHolds("state 3"));
  ASSERT_THAT(store_.Retain(), IsOk());
  EXPECT_EQ(ReadFileBytes(store_.directory() + "/notes.txt"), "mine");
  EXPECT_EQ(ReadFileBytes(store_.directory() + "/ffffffffffffffff.snapshot.old"), "mine, too");
}

// P9: two are kept, so that a damaged newest one is passed over for the one before.
TEST_F(SnapshotStoreTest, ADamagedNewestOneIsPassedOverAndReported) {
  Write(1);
  Write(2);
  Damage(2);
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Found found, store_.FindNewest(type_));
  ASSERT_NE(found.snapshot, nullptr);
  EXPECT_EQ(found.snapshot->header().last, HeaderOf(1).last);
  EXPECT_THAT(found.passed_over,
              ElementsAre(StatusIs(absl::StatusCode::kDataLoss,
                                   AllOf(HasSubstr(store_.PathOf(2)), HasSubstr("offset"), HasSubstr("checksum")))));
}

TEST_F(SnapshotStoreTest, DamageThatCameAfterItWasVerifiedIsFoundOnOpening) {
  Write(1);
  Write(2);
  ASSERT_THAT(store_.Retain(), IsOk());
  Damage(2);
  EXPECT_THAT(NewestState(), IsOkAndHolds("state 1"));
}

TEST_F(SnapshotStoreTest, AllDamagedIsNoneFoundAndAllReported) {
  Write(1);
  Write(2);
  Damage(1);
  Damage(2);
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Found found, store_.FindNewest(type_));
  EXPECT_EQ(found.snapshot, nullptr);
  EXPECT_EQ(found.passed_over.size(), 2u);
}

TEST_F(SnapshotStoreTest, ASnapshotUnderAnotherNameIsDamage) {
  Write(1);
  ASSERT_THAT(fs_.Rename(store_.PathOf(1), store_.PathOf(7)), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Found found, store_.FindNewest(type_));
  EXPECT_EQ(found.snapshot, nullptr);
  EXPECT_THAT(found.passed_over,
              ElementsAre(StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("seq 7"), HasSubstr("seq 1")))));
}

TEST_F(SnapshotStoreTest, ANewerOneIsAnErrorAndNotPassedOver) {
  Write(1);
  Write(2, /*version=*/2);
  EXPECT_THAT(store_.FindNewest(type_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 AllOf(HasSubstr(store_.PathOf(2)), HasSubstr("version 2"))));
  Write(3);
  MakeFormatNewer(3);
  EXPECT_THAT(store_.FindNewest(type_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 AllOf(HasSubstr(store_.PathOf(3)), HasSubstr("format version 9"))));
}

TEST_F(SnapshotStoreTest, OneOfAnOlderVersionOfTheStateIsTaken) {
  Write(1, /*version=*/0);
  EXPECT_THAT(NewestState(), IsOkAndHolds("state 1"));
}

TEST_F(SnapshotStoreTest, AnErrorOfTheSystemIsNoDamage) {
  Write(1);
  Write(2);
  fs_.FailCalls("ReadAt", absl::ResourceExhaustedError("planted"));
  EXPECT_THAT(store_.FindNewest(type_), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(store_.Retain(), StatusIs(absl::StatusCode::kResourceExhausted));
  fs_.Heal();
  EXPECT_THAT(store_.List(), IsOkAndHolds(ElementsAre(1, 2)));
}

TEST_F(SnapshotStoreTest, KeepsTwo) {
  for (const Seq seq : {1, 2, 3, 4}) Write(seq);
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Retained retained, store_.Retain());
  EXPECT_THAT(retained.removed, ElementsAre(1, 2));
  EXPECT_EQ(retained.journal_may_go_up_to(), 3u);
  EXPECT_THAT(store_.List(), IsOkAndHolds(ElementsAre(3, 4)));
}

TEST_F(SnapshotStoreTest, OneIsNotEnoughToCutTheJournal) {
  Write(5);
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Retained retained, store_.Retain());
  EXPECT_EQ(retained.kept.size(), 1u);
  EXPECT_EQ(retained.journal_may_go_up_to(), 0u);
}

TEST_F(SnapshotStoreTest, DamagedOnesDoNotCount) {
  for (const Seq seq : {1, 2, 3, 4}) Write(seq);
  Damage(4);
  Damage(2);
  KB_ASSERT_OK_AND_ASSIGN(SnapshotStore::Retained retained, store_.Retain());
  EXPECT_THAT(retained.removed, IsEmpty());
  EXPECT_EQ(retained.journal_may_go_up_to(), 1u);
  EXPECT_EQ(retained.damaged.size(), 2u);
  Write(5);
  KB_ASSERT_OK_AND_ASSIGN(retained, store_.Retain());
  EXPECT_EQ(retained.journal_may_go_up_to(), 3u);
  EXPECT_THAT(retained.removed, ElementsAre(1, 2));
  EXPECT_THAT(store_.List(), IsOkAndHolds(ElementsAre(3, 4, 5)));  // the damaged one is newer than the older good one
}

TEST_F(SnapshotStoreTest, ADirectoryInThePlaceOfOneIsDamageAndInNobodysWay) {
  for (const Seq seq : {2, 3, 5}) Write(seq);
  for (const Seq seq : {1, 4, 6}) ASSERT_THAT(fs_.CreateDirectories(store_.PathOf(seq)), IsOk());
  EXPECT_THAT(store_.Check(6), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is a directory, not a file")));
  EXPECT_THAT(NewestState(), IsOkAndHolds("state 5"));
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Retained retained, store_.Retain());
  EXPECT_THAT(retained.removed, ElementsAre(2));
  EXPECT_EQ(retained.damaged.size(), 3u);
  EXPECT_EQ(retained.journal_may_go_up_to(), 3u);
}

TEST_F(SnapshotStoreTest, VerifiesEachOnlyOnce) {
  Write(1);
  Write(2);
  ASSERT_THAT(store_.Retain(), IsOk());
  fs_.FailCalls("ReadAt", absl::ResourceExhaustedError("planted"));
  EXPECT_THAT(store_.Retain(), IsOk());
  fs_.Heal();
  // Another file of that name is read.
  ASSERT_THAT(fs_.Unlink(store_.PathOf(2)), IsOk());
  WriteFileBytes(store_.PathOf(2), "rubbish");
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Retained retained, store_.Retain());
  EXPECT_EQ(retained.damaged.size(), 1u);
}

TEST_F(SnapshotStoreTest, DeletesNothingWhereItCanNotVerify) {
  for (const Seq seq : {1, 2, 3, 4}) Write(seq);
  MakeFormatNewer(4);
  EXPECT_THAT(store_.Retain(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(store_.List(), IsOkAndHolds(ElementsAre(1, 2, 3, 4)));
}

TEST_F(SnapshotStoreTest, EveryCallThatFailsLeavesTwoGoodOnes) {
  for (uint64_t n = 1;; ++n) {
    for (const Seq seq : {1, 2, 3, 4}) Write(seq);
    SnapshotStore store(fs_, store_.directory());
    fs_.FailCall(n, absl::UnavailableError("planted"));
    const auto retained = store.Retain();
    const bool failed = fs_.failed();
    fs_.Heal();
    if (!failed) {
      EXPECT_THAT(retained, IsOk());
      break;
    }
    EXPECT_THAT(retained, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(ReadSnapshot(store_.PathOf(3)).value(), "state 3");
    EXPECT_EQ(ReadSnapshot(store_.PathOf(4)).value(), "state 4");
  }
}

}  // namespace
}  // namespace kekbit
