// Cursors of registered readers: what they remember, who may have them, and what becomes of bytes
// that no cursor wrote.

#include "kekbit/replication/retention/reader_cursor.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/journal/seek.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr size_t kFileBytes = 128;

class ReaderCursorTest : public testing::Test {
 protected:
  absl::StatusOr<ReaderCursor> Register(absl::string_view name, std::optional<Position> start = std::nullopt) {
    return ReaderCursor::Register(fs_, layout_, name, start);
  }
  std::vector<CursorView> List() { return ValueOrDie(ListCursors(fs_, layout_)); }
  std::string PathOf(absl::string_view name) { return JoinPath(layout_.readers(), name); }

  TempDir dir_;
  FaultyFileSystem fs_;
  JournalLayout layout_{dir_.path()};
};

TEST_F(ReaderCursorTest, BeginsBeforeTheFirstFrameAndGoesOnWhereItWas) {
  {
    KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("audit"));
    EXPECT_TRUE(cursor.is_new());
    EXPECT_EQ(cursor.name(), "audit");
    EXPECT_EQ(cursor.position(), (Position{0, 0}));
    for (Seq seq = 1; seq <= 5; ++seq) ASSERT_THAT(cursor.Advance({.epoch = 3, .seq = seq}), IsOk());
    EXPECT_EQ(cursor.position(), (Position{3, 5}));
  }
  KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor again, Register("audit", Position{9, 99}));
  EXPECT_FALSE(again.is_new());
  EXPECT_EQ(again.position(), (Position{3, 5}));
  EXPECT_THAT(again.status(), IsOk());
}

TEST_F(ReaderCursorTest, ANewOneMayBeginWhereItIsTold) {
  KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, Register("late", Position{2, 70}));
  EXPECT_TRUE(cursor.is_new());
  EXPECT_EQ(cursor.position(), (Position{2, 70}));
}

TEST_F(ReaderCursorTest, NeverGoesBackUnlessItIsReset) {
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r", Position{1, 10}));
  EXPECT_THAT(cursor.Advance({1, 9}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("seq 10")));
  EXPECT_THAT(cursor.Advance({1, ~uint64_t{0}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(cursor.position(), (Position{1, 10}));
  ASSERT_THAT(cursor.Advance({1, 10}), IsOk());
  fs_.Heal();
  ASSERT_THAT(cursor.Reset({1, 4}), IsOk());
  EXPECT_THAT(fs_.calls(), testing::Contains("MappedFile::Sync"));
  EXPECT_EQ(cursor.position(), (Position{1, 4}));
  EXPECT_EQ(List()[0].done, (Position{1, 4}));
}

TEST_F(ReaderCursorTest, NamesThatNoFileShouldHaveAreRefused) {
  const std::string longest(kReaderNameBytesMax, 'x');
  for (const std::string& name : {std::string("a"), std::string("host-7:audit.v2@x"), std::string("a..b"), longest}) {
    EXPECT_THAT(Register(name), IsOk()) << name;
  }
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string(".hidden"),
                                  std::string("a/b"), std::string("../lease"), std::string("a b"), std::string("a\nb"),
                                  std::string("a\0b", 3), std::string("\xc3\xa4"), longest + "x"}) {
    EXPECT_THAT(Register(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(ReaderCursor::Remove(fs_, layout_, name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(MarkCursorLost(fs_, layout_, name, 9), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(SyncCursor(fs_, layout_, name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(List(), SizeIs(4));
}

TEST_F(ReaderCursorTest, ANameHasOneOwner) {
  {
    KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, Register("r"));
    EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        AllOf(HasSubstr(PathOf("r")), HasSubstr("another reader"))));
    EXPECT_THAT(ReaderCursor::Remove(fs_, layout_, "r"), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(List()[0].owned);
  }
  EXPECT_FALSE(List()[0].owned);
  EXPECT_THAT(Register("r"), IsOk());
}

TEST_F(ReaderCursorTest, OfTwoProcessesOneHasItUntilItDies) {
  SharedWords words(1);
  ChildProcess owner([&] {
    absl::StatusOr<ReaderCursor> cursor = Register("r");
    if (!cursor.ok() || !cursor->Advance({1, 7}).ok()) return 1;
    words.Set(0, 1);
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kFailedPrecondition));
  owner.Kill();
  KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, Register("r"));
  EXPECT_EQ(cursor.position(), (Position{1, 7}));
}

TEST_F(ReaderCursorTest, KilledAnywhereItStandsWhereItWasOrOneFurther) {
  for (int round = 0; round < 100; ++round) {
    SharedWords words(1);
    const std::string name = absl::StrCat("r", round);
    ChildProcess owner([&] {
      absl::StatusOr<ReaderCursor> cursor = Register(name);
      for (Seq seq = 1; cursor->Advance({.epoch = ~seq, .seq = seq}).ok(); ++seq) words.Set(0, seq);
    });
    words.AwaitAtLeast(0, 1 + static_cast<uint64_t>(round) * 50);
    // An observer meanwhile sees a place that the reader had.
    const Seq before = words.Get(0);
    const CursorView view = List().back();
    EXPECT_THAT(view.status, IsOk());
    owner.Kill();
    KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, Register(name));
    EXPECT_GE(cursor.position().seq, words.Get(0));
    EXPECT_LE(cursor.position().seq, words.Get(0) + 1);
    EXPECT_EQ(cursor.position().epoch, ~cursor.position().seq);
    EXPECT_GT(before, 0u);
    ASSERT_THAT(fs_.Unlink(PathOf(name)), IsOk());
  }
}

TEST_F(ReaderCursorTest, OneWithoutAnOwnerCanBeRemovedWhateverStandsInIt) {
  ASSERT_THAT(Register("r"), IsOk());
  WriteFileBytes(PathOf("r"), "rubbish");
  fs_.Heal();
  EXPECT_THAT(ReaderCursor::Remove(fs_, layout_, "r"), IsOk());
  EXPECT_EQ(fs_.calls().back(), "SyncDirectory");
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_THAT(ReaderCursor::Remove(fs_, layout_, "r"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ReaderCursorTest, P7AReaderWhosePlaceIsTakenIsToldAtOnceAndAfterARestart) {
  {
    KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r", Position{1, 10}));
    ASSERT_THAT(MarkCursorLost(fs_, layout_, "r", 41), IsOk());
    const auto is_told =
        StatusIs(absl::StatusCode::kOutOfRange, AllOf(HasSubstr(PathOf("r")), HasSubstr("the first one is 41")));
    EXPECT_THAT(cursor.status(), is_told);
    EXPECT_THAT(cursor.Advance({1, 11}), is_told);
    EXPECT_THAT(cursor.Advance({1, 39}), is_told);
    EXPECT_TRUE(List()[0].lost());
  }
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r"));
  EXPECT_THAT(cursor.status(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("the first one is 41")));
  // A mark never goes back, whoever sets it late.
  ASSERT_THAT(MarkCursorLost(fs_, layout_, "r", 20), IsOk());
  EXPECT_THAT(cursor.status(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("the first one is 41")));
  // The reader came past what was trimmed, or starts over.
  EXPECT_THAT(cursor.Advance({1, 40}), IsOk());
  EXPECT_FALSE(List()[0].lost());
  ASSERT_THAT(MarkCursorLost(fs_, layout_, "r", 60), IsOk());
  EXPECT_THAT(cursor.Reset({1, 59}), IsOk());
  EXPECT_THAT(cursor.status(), IsOk());
}

TEST_F(ReaderCursorTest, AMarkOfACutThatWasNotMadeIsTakenBackByAReset) {
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r", Position{1, 10}));
  ASSERT_THAT(MarkCursorLost(fs_, layout_, "r", 41), IsOk());
  EXPECT_THAT(cursor.Reset({1, 10}), IsOk());
  EXPECT_THAT(cursor.Advance({1, 11}), IsOk());
}

TEST_F(ReaderCursorTest, P7APlaceThatIsGoneIsOutOfRangeWhoeverTookIt) {
  TestJournal journal(dir_.path());
  {
    JournalWriter writer = journal.Begin();
    for (Seq seq = 2; seq <= 500; ++seq) ASSERT_THAT(Append(writer, absl::StrCat(seq)), IsOk());
  }
  ASSERT_THAT(Register("old", Position{1, 5}), IsOk());
  ASSERT_THAT(fs_.Unlink(layout_.segment(1)), IsOk());
  Seq first = 2;
  while (!ReadJournal(fs_, layout_, std::nullopt, first).ok()) ASSERT_LT(++first, 500u);
  const auto is_told = StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(absl::StrCat("the first one is ", first)));
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor old, Register("old"));
  EXPECT_THAT(old.status(), is_told);
  EXPECT_THAT(old.Reset({1, first - 2}), is_told);
  EXPECT_THAT(old.Reset({1, first - 1}), IsOk());
  EXPECT_THAT(old.status(), IsOk());
  EXPECT_THAT(Register("new", Position{1, first - 2}), is_told);
  KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor fresh, Register("new"));
  EXPECT_EQ(fresh.position(), (Position{1, first - 1}));
}

// A file as a reader leaves it that was done with {1, 7}, then with {2, 8}.
class HostileCursorTest : public ReaderCursorTest {
 protected:
  void SetUp() override {
    {
      KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r"));
      ASSERT_THAT(cursor.Advance({1, 7}), IsOk());
      before_ = ReadFileBytes(PathOf("r"));
      ASSERT_THAT(cursor.Advance({2, 8}), IsOk());
    }
    bytes_ = ReadFileBytes(PathOf("r"));
    ASSERT_EQ(bytes_.size(), kFileBytes);
  }

  // Expects a place that the reader had, or an error that says that the file is damaged.
  void ExpectAPlaceThatItHad(const std::string& bytes, const std::string& what) {
    WriteFileBytes(PathOf("r"), bytes);
    const std::vector<CursorView> views = List();
    ASSERT_THAT(views, SizeIs(1)) << what;
    const absl::StatusOr<ReaderCursor> cursor = Register("r");
    EXPECT_EQ(cursor.status(), views[0].status) << what;
    if (cursor.ok()) {
      EXPECT_EQ(cursor->position(), views[0].done) << what;
      EXPECT_TRUE(cursor->position() == (Position{2, 8}) || cursor->position() == (Position{1, 7})) << what;
      EXPECT_TRUE(cursor->status().ok() || absl::IsOutOfRange(cursor->status())) << what;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(cursor.status()) || absl::IsFailedPrecondition(cursor.status())) << what;
      EXPECT_THAT(cursor, StatusIs(cursor.status().code(), HasSubstr(PathOf("r"))));
    }
  }

  std::string before_;
  std::string bytes_;
};

TEST_F(HostileCursorTest, EveryBitFlipIsAPlaceThatItHadOrAnError) {
  for (size_t bit = 0; bit < bytes_.size() * 8; ++bit) {
    std::string bytes = bytes_;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    ExpectAPlaceThatItHad(bytes, absl::StrCat("bit ", bit));
  }
}

TEST_F(HostileCursorTest, EveryTruncationIsAnError) {
  for (size_t size = 0; size < bytes_.size(); ++size) {
    WriteFileBytes(PathOf("r"), bytes_.substr(0, size));
    EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(absl::StrCat(size, " bytes"))));
    EXPECT_THAT(MarkCursorLost(fs_, layout_, "r", 9), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(HostileCursorTest, EveryMixOfTwoStatesIsAPlaceThatItHad) {
  // The 16 words of both, in all mixes: what a power loss may leave of a page that was written to
  // meanwhile.
  std::vector<size_t> different;
  for (size_t word = 0; word < kFileBytes / 8; ++word) {
    if (bytes_.substr(word * 8, 8) != before_.substr(word * 8, 8)) different.push_back(word);
  }
  ASSERT_THAT(different, SizeIs(4));
  for (uint32_t mix = 0; mix < 1u << different.size(); ++mix) {
    std::string bytes = before_;
    for (size_t i = 0; i < different.size(); ++i) {
      if ((mix >> i & 1) != 0) bytes.replace(different[i] * 8, 8, bytes_.substr(different[i] * 8, 8));
    }
    ExpectAPlaceThatItHad(bytes, absl::StrCat("mix ", mix));
    EXPECT_THAT(Register("r"), IsOk()) << mix;
  }
}

TEST_F(HostileCursorTest, AFileOfZerosOrOfOnesIsDamaged) {
  for (const char c : {'\0', '\xff', 'K'}) {
    WriteFileBytes(PathOf("r"), std::string(kFileBytes, c));
    EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no reader's cursor")));
    // Put the same after a good beginning.
    WriteFileBytes(PathOf("r"), bytes_.substr(0, 64) + std::string(64, c));
    EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("neither slot holds")));
  }
}

TEST_F(HostileCursorTest, ANewerVersionIsNotTouched) {
  bytes_[8] = 2;
  WriteFileBytes(PathOf("r"), bytes_);
  EXPECT_THAT(Register("r"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2")));
  EXPECT_THAT(MarkCursorLost(fs_, layout_, "r", 9), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReadFileBytes(PathOf("r")), bytes_);
}

TEST_F(HostileCursorTest, AMarkOfAnyValueIsToldAndCanBeResetFrom) {
  for (const uint64_t mark : {uint64_t{9}, uint64_t{10}, uint64_t{1} << 63, ~uint64_t{0}}) {
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes_.data()) + 16, mark);
    WriteFileBytes(PathOf("r"), bytes_);
    KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, Register("r"));
    EXPECT_EQ(cursor.status().ok(), mark <= 9) << mark;
    EXPECT_THAT(cursor.Reset({2, 8}), IsOk());
    EXPECT_THAT(cursor.status(), IsOk()) << mark;
  }
}

TEST_F(HostileCursorTest, WhatIsNoFileOfACursorIsPassedOverOrReported) {
  ASSERT_THAT(fs_.CreateDirectories(PathOf("directory")), IsOk());
  WriteFileBytes(PathOf(".lock"), "x");
  WriteFileBytes(PathOf("with space"), "x");
  const std::vector<CursorView> views = List();
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].name, "directory");
  EXPECT_THAT(views[0].status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(views[1].name, "r");
}

TEST_F(ReaderCursorTest, ARegistrationThatFailsAnywhereCanBeMadeAgain) {
  for (uint64_t n = 1;; ++n) {
    const std::string name = absl::StrCat("r", n);
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    const auto failed = Register(name, Position{1, n});
    if (!fs_.failed()) break;
    EXPECT_THAT(failed, StatusIs(absl::StatusCode::kResourceExhausted)) << fs_.failed_call();
    fs_.Heal();
    KB_ASSERT_OK_AND_ASSIGN(const ReaderCursor cursor, Register(name, Position{1, n}));
    EXPECT_EQ(cursor.position(), (Position{1, n}));
  }
}

TEST_F(ReaderCursorTest, ANewCursorIsOnStableStorageBeforeItIsUsed) {
  fs_.Heal();
  ASSERT_THAT(Register("r"), IsOk());
  std::string calls;
  for (const std::string& call : fs_.calls()) absl::StrAppend(&calls, call, " ");
  EXPECT_THAT(
      calls,
      HasSubstr("WriteAt File::Sync LinkTo Open TryLock File::Info Info ReadAt Map SyncDirectory SyncDirectory "));
}

}  // namespace
}  // namespace kekbit
