// Recovery of the end of a journal. P8: it tells a torn tail from damage in the middle.

#include "kekbit/replication/recovery/recovery.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/torn_journal.h"

namespace kekbit {
namespace {

using testing::_;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr Seq kSynced = 12;

class RecoveryTest : public testing::Test {
 protected:
  // Three segments in two epochs; 12 frames are synced, 6 are not, all of them in the last segment.
  RecoveryTest() {
    made_.Begin(1);
    for (int i = 0; i < 4; ++i) Append();
    made_.Begin(1);
    for (int i = 0; i < 3; ++i) Append();
    made_.Begin(2);
    for (int i = 0; i < 9; ++i) Append();
  }

  void Append() {
    const Seq seq = made_.last().position.seq + 1;
    made_.Append(absl::StrCat("the command of seq ", seq, std::string(seq % 11, '.')), std::min(seq - 1, kSynced));
  }

  // The journal, on the disk, with the mark at `mark`.
  void Write(Seq mark = kSynced) { WriteImage(dir_.path(), made_.Files(mark)); }

  const TornFrame& FrameOf(Seq seq) const { return made_.frames()[seq - 1]; }

  // Puts bytes into a frame, `at` bytes after its beginning.
  void Put(Seq seq, uint64_t at, const std::string& bytes) {
    const std::string path = layout_.segment(FrameOf(seq).segment);
    std::string file = ReadFileBytes(path);
    file.replace(kDataOffset + FrameOf(seq).offset + at, bytes.size(), bytes);
    WriteFileBytes(path, file);
  }
  void Flip(Seq seq, uint64_t at) {
    const std::string file = ReadFileBytes(layout_.segment(FrameOf(seq).segment));
    Put(seq, at, std::string(1, static_cast<char>(file[kDataOffset + FrameOf(seq).offset + at] ^ 1)));
  }

  // Does what a new primary would do next; returns what a reader then finds.
  std::vector<std::string> GoOn(const Recovered& recovered) {
    EpochStore epochs = ValueOrDie(EpochStore::Open(FileSystem::Posix(), layout_.epoch()));
    const JournalWriterOptions options = {.layout = layout_, .segment_bytes = kCapacityMin};
    auto writer = JournalWriter::Begin(options, epochs, ValueOrDie(epochs.Grant(recovered.last.position.epoch)),
                                       recovered.last, recovered.outcome.next_segment, 2);
    EXPECT_THAT(writer.status(), IsOk());
    if (!writer.ok()) return {};
    EXPECT_THAT(::kekbit::Append(*writer, "new"), IsOk());
    JournalReader reader = ValueOrDie(ReadJournal(FileSystem::Posix(), layout_, kTestDataFormat));
    std::vector<std::string> texts = ReadTexts(reader);
    EXPECT_THAT(reader.status(), IsOk());
    return texts;
  }
  std::vector<std::string> WithNew(Seq seq) const {
    std::vector<std::string> texts = made_.TextsUpTo(seq);
    texts.emplace_back("new");
    return texts;
  }

  // Recovers what is there. The journal must then reach to `last`, and what came later be kept.
  Recovered ExpectTorn(Seq last) {
    Recovered recovered = Recover(fs_, dir_.path());
    EXPECT_THAT(recovered.status, IsOk());
    EXPECT_TRUE(recovered.outcome.torn);
    EXPECT_EQ(recovered.last.position.seq, last);
    EXPECT_EQ(recovered.texts, made_.TextsUpTo(last));
    EXPECT_EQ(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).synced(), last);
    EXPECT_EQ(GoOn(recovered), WithNew(last));
    return recovered;
  }
  // Recovery refuses, says where, and changes nothing.
  void ExpectDamage(Seq bad, const std::string& evidence, const RecoveryOptions& options = {}) {
    const Image before = ReadImage(dir_.path());
    const Recovered recovered = Recover(fs_, dir_.path(), options);
    EXPECT_THAT(recovered.status,
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(absl::StrCat("seq ", bad, " is damaged")), HasSubstr(evidence),
                               HasSubstr(dir_.path()), HasSubstr(absl::StrCat("kekbit repair ", dir_.path())))));
    EXPECT_EQ(ReadImage(dir_.path()), before);
  }

  FaultyFileSystem fs_;
  TornJournal made_;
  TempDir dir_ = TempDir::InMemory();
  JournalLayout layout_{dir_.path()};
};

TEST_F(RecoveryTest, ACleanEndIsSealedAndSynced) {
  Write();
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  EXPECT_FALSE(recovered.outcome.torn);
  EXPECT_TRUE(recovered.outcome.synced);
  EXPECT_EQ(recovered.outcome.next_segment, 4u);
  EXPECT_EQ(recovered.texts, made_.TextsUpTo(made_.last().position.seq));
  EXPECT_EQ(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).synced(), made_.last().position.seq);
  EXPECT_FALSE(std::filesystem::exists(layout_.aside()));
  EXPECT_EQ(GoOn(recovered), WithNew(made_.last().position.seq));
}

TEST_F(RecoveryTest, ACleanEndNeedsNoSyncIfTheCallerSaysSo) {
  Write();
  const Recovered recovered = Recover(fs_, dir_.path(), {.sync = false});
  ASSERT_THAT(recovered.status, IsOk());
  EXPECT_FALSE(recovered.outcome.synced);
  EXPECT_EQ(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).synced(), kSynced);
  EXPECT_THAT(fs_.calls(), Not(testing::Contains("MappedFile::Sync")));
}

TEST_F(RecoveryTest, AnEmptyJournalBeginsWithSegmentOne) {
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  EXPECT_EQ(recovered.outcome.next_segment, 1u);
  EXPECT_THAT(GoOn(recovered), ElementsAre("new"));
}

TEST_F(RecoveryTest, ADeadPrimaryLeftASegmentWithoutFrames) {
  made_.Begin(2);
  Write();
  // The writer had not closed the segment before either.
  const TornFrame& last = made_.frames().back();
  Put(last.seq, last.bytes, std::string(reinterpret_cast<const char*>(&kWatermark), 8));
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  EXPECT_FALSE(recovered.outcome.torn);
  EXPECT_EQ(recovered.outcome.next_segment, 5u);
  EXPECT_EQ(GoOn(recovered), WithNew(last.seq));
}

TEST_F(RecoveryTest, TornAtEveryPlaceOfEightBytesTheTailIsCutAndKept) {
  Write();
  const Image whole = ReadImage(dir_.path());
  const TornFrame& first = FrameOf(kSynced + 1);
  const std::string name = TornJournal::SegmentName(first.segment);
  const uint64_t end = kDataOffset + made_.frames().back().offset + made_.frames().back().bytes;
  for (uint64_t at = kDataOffset + first.offset; at < end; at += 8) {
    for (const bool zeros : {true, false}) {
      std::filesystem::remove_all(dir_.path());
      Image image = whole;
      image[name].replace(at, end + 8 - at, end + 8 - at, zeros ? '\0' : '\x5a');
      WriteImage(dir_.path(), image);
      const Seq last = std::count_if(made_.frames().begin(), made_.frames().end(), [&](const TornFrame& frame) {
        return frame.segment < first.segment || kDataOffset + frame.offset + frame.bytes <= at;
      });
      const Recovered recovered = ExpectTorn(last);
      // All that was there is still somewhere.
      const uint64_t from = kDataOffset + FrameOf(last).offset + FrameOf(last).bytes;
      std::string cut = image[name].substr(from);
      cut.resize((cut.find_last_not_of('\0') + 8) / 8 * 8);
      if (image[name].find_first_not_of('\0', from) == std::string::npos) {
        EXPECT_THAT(recovered.outcome.aside, IsEmpty());
      } else {
        ASSERT_THAT(recovered.outcome.aside, SizeIs(1));
        EXPECT_EQ(ReadFileBytes(recovered.outcome.aside[0]), cut);
        EXPECT_EQ(recovered.outcome.bytes_cut, cut.size());
        EXPECT_THAT(ReadFileBytes(recovered.outcome.aside[0] + ".txt"),
                    AllOf(HasSubstr(layout_.segment(first.segment)), HasSubstr("torn tail"), HasSubstr("when: 20")));
      }
      ASSERT_FALSE(HasFailure()) << "byte " << at << ", last " << last;
    }
  }
}

// Pages reach the disk in any order: a later one may be there, an earlier one not.
TEST_F(RecoveryTest, WholeFramesBehindATornOneAreNoProofOfDamage) {
  for (const bool length_lost : {true, false}) {
    std::filesystem::remove_all(dir_.path());
    Write();
    Put(15, length_lost ? 0 : 8, std::string(FrameOf(15).bytes - 8, '\0'));
    const Recovered recovered = ExpectTorn(14);
    EXPECT_THAT(ReadFileBytes(recovered.outcome.aside.at(0)), HasSubstr(FrameOf(17).text));
  }
}

TEST_F(RecoveryTest, AWatermarkThatIsOlderThanTheFramesBehindItIsATornTail) {
  Write();
  Put(15, 0, std::string(reinterpret_cast<const char*>(&kWatermark), 8));
  const Recovered recovered = ExpectTorn(14);
  EXPECT_THAT(ReadFileBytes(recovered.outcome.aside.at(0)), HasSubstr(FrameOf(17).text));
}

TEST_F(RecoveryTest, TheMarkShowsThatAFrameWasSynced) {
  Write(15);
  Flip(15, 30);
  ExpectDamage(15, "synced says that everything up to seq 15 was synced");
}

TEST_F(RecoveryTest, TheMarkShowsThatTheEndIsMissing) {
  Write(18);
  Put(18, 0, std::string(reinterpret_cast<const char*>(&kWatermark), 8));
  ExpectDamage(18, "everything up to seq 18 was synced");
}

TEST_F(RecoveryTest, TheMarkShowsThatASegmentIsMissing) {
  Write();
  std::filesystem::remove(layout_.segment(3));
  ExpectDamage(9, "everything up to seq 12 was synced");
}

TEST_F(RecoveryTest, TheMarkShowsThatTheJournalIsMissing) {
  Write();
  std::filesystem::remove_all(layout_.segments());
  ExpectDamage(1, "everything up to seq 12 was synced");
}

TEST_F(RecoveryTest, LaterFramesShowThatAFrameWasSynced) {
  for (const uint64_t at : {0, 3, 8, 11, 12, 24, 36, 44, 50}) {
    std::filesystem::remove_all(dir_.path());
    Write(0);
    Flip(12, at);
    ExpectDamage(12, at == 3 ? "says that everything up to seq 12 was synced" : "up to seq 12 was synced");
    ASSERT_FALSE(HasFailure()) << at;
  }
}

TEST_F(RecoveryTest, FramesOfALaterSegmentShowThatAFrameWasSynced) {
  Write(0);
  Flip(3, 30);
  ExpectDamage(3, "0000_0003.kekbit says that everything up to seq 12 was synced");
}

TEST_F(RecoveryTest, FramesOfASegmentWithoutItsHeaderShowThatItWasSynced) {
  Write(0);
  std::string segment = ReadFileBytes(layout_.segment(3));
  segment.replace(0, kDataOffset, kDataOffset, '\0');
  WriteFileBytes(layout_.segment(3), segment);
  ExpectDamage(9, "0000_0003.kekbit says that everything up to seq 12 was synced");
}

TEST_F(RecoveryTest, ASnapshotBeyondTheEndShowsDamage) {
  Write();
  Flip(15, 30);
  const RecoveryOptions options = {
      .known = {{.seq = 3, .what = "the snapshot A"}, {.seq = 15, .what = "the snapshot B"}}};
  ExpectDamage(15, "the snapshot B is of seq 15", options);
  EXPECT_THAT(Recover(fs_, dir_.path(), {.known = {{.seq = 14, .what = "the snapshot C"}}}).status, IsOk());
}

TEST_F(RecoveryTest, NothingIsTornWhileTheMachineRuns) {
  for (const bool poisoned : {false, true}) {
    std::filesystem::remove_all(dir_.path());
    Write();
    {
      SyncMark mark = ValueOrDie(SyncMark::Open(fs_, layout_.synced()));
      mark.SetBoot(ValueOrDie(SyncMark::CurrentBoot(fs_)));
      if (poisoned) mark.Poison(3);
    }
    Flip(15, 30);
    if (poisoned) {
      // Forget what a failed sync left in memory; the disk may have anything.
      ExpectTorn(14);
    } else {
      ExpectDamage(15, "has not stopped");
    }
  }
}

TEST_F(RecoveryTest, AfterARecoveryNothingIsTornWhileTheMachineRuns) {
  Write();
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  GoOn(recovered);
  std::string segment = ReadFileBytes(layout_.segment(4));
  segment[kDataOffset + 90] ^= 1;
  WriteFileBytes(layout_.segment(4), segment);
  EXPECT_THAT(Recover(fs_, dir_.path()).status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("has not stopped")));
}

TEST_F(RecoveryTest, TornSegmentsAreMovedAside) {
  made_.Begin(2);
  Append();
  made_.Begin(2);
  Append();
  for (const bool header_lost : {false, true}) {
    std::filesystem::remove_all(dir_.path());
    Write();
    const std::string third = ReadFileBytes(layout_.segment(5));
    Flip(15, 30);
    if (header_lost) WriteFileBytes(layout_.segment(4), std::string(ChannelFileBytes(kCapacityMin), '\0'));
    const Recovered recovered = ExpectTorn(14);
    ASSERT_THAT(recovered.outcome.aside, SizeIs(3));
    EXPECT_EQ(recovered.outcome.next_segment, 4u);
    EXPECT_EQ(ReadFileBytes(recovered.outcome.aside[1]), third);
    EXPECT_THAT(recovered.report.ToString(), AllOf(HasSubstr("a torn tail"), HasSubstr(recovered.outcome.aside[2])));
  }
}

// The names of new segments reach the disk in any order, too.
TEST_F(RecoveryTest, ASegmentWhoseNameWasLostIsTorn) {
  made_.Begin(2);
  Append();
  made_.Begin(2);
  Append();
  Write();
  std::filesystem::remove(layout_.segment(4));
  ExpectTorn(18);
}

TEST_F(RecoveryTest, AFirstSegmentThatNeverReachedTheDiskIsTorn) {
  for (const size_t size : {size_t{0}, size_t{500}, size_t{ChannelFileBytes(kCapacityMin)}}) {
    std::filesystem::remove_all(dir_.path());
    WriteImage(dir_.path(), {{TornJournal::SegmentName(1), std::string(size, '\0')}});
    ExpectTorn(0);
  }
}

TEST_F(RecoveryTest, AnUnknownKindOfFrameIsNeverCut) {
  Write();
  std::string path = layout_.segment(3);
  std::string segment = ReadFileBytes(path);
  // A whole frame, of a kind that a later version has.
  const uint64_t at = kDataOffset + FrameOf(18).offset + kLengthBytes;
  FrameHeader header = LoadUnaligned<FrameHeader>(reinterpret_cast<const uint8_t*>(segment.data()) + at);
  header.kind = 6;
  ChainLink before = {.position = {.epoch = 2, .seq = 17}, .crc32c = 0, .time_ns = 1};
  const uint64_t previous = kDataOffset + FrameOf(17).offset + kLengthBytes;
  before.crc32c = LoadUnaligned<uint32_t>(reinterpret_cast<const uint8_t*>(segment.data()) + previous);
  const size_t length = kFrameHeaderBytes + FrameOf(18).text.size();
  SealFrame(header, before, MutableBytes(reinterpret_cast<uint8_t*>(segment.data()) + at, length));
  WriteFileBytes(path, segment);
  const Image image = ReadImage(dir_.path());
  EXPECT_THAT(Recover(fs_, dir_.path()).status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReadImage(dir_.path()), image);
}

TEST_F(RecoveryTest, ALivingWriterIsWaitedFor) {
  Write();
  {
    const auto file = ValueOrDie(FileSystem::Posix().Open(layout_.segment(3), Access::kReadWrite));
    ASSERT_TRUE(ValueOrDie(file->TryLock()));
    EXPECT_THAT(Recover(fs_, dir_.path()).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("living writer")));
  }
  EXPECT_THAT(Recover(fs_, dir_.path()).status, IsOk());
}

TEST_F(RecoveryTest, WhatAWriterPublishedSinceTheReaderLookedIsReadOn) {
  Write();
  SyncMark mark = ValueOrDie(SyncMark::Open(fs_, layout_.synced()));
  mark.SetBoot(ValueOrDie(SyncMark::CurrentBoot(fs_)));
  const std::string length = ReadFileBytes(layout_.segment(3)).substr(kDataOffset + FrameOf(18).offset, kLengthBytes);
  Put(18, 0, std::string(reinterpret_cast<const char*>(&kWatermark), kLengthBytes));
  JournalReader reader = ValueOrDie(ReadJournal(fs_, layout_, kTestDataFormat));
  ReadTexts(reader);
  ASSERT_EQ(reader.last().position.seq, 17u);
  // A writer without its lease publishes one more, and dies.
  Put(18, 0, length);
  const RecoveryOutcome first = ValueOrDie(RecoverTail(fs_, layout_, reader, mark, {}));
  EXPECT_TRUE(first.read_on);
  EXPECT_THAT(ReadTexts(reader), ElementsAre(FrameOf(18).text));
  const RecoveryOutcome second = ValueOrDie(RecoverTail(fs_, layout_, reader, mark, {}));
  EXPECT_FALSE(second.read_on);
  EXPECT_FALSE(second.torn);
}

TEST_F(RecoveryTest, APoisonedSegmentIsWrittenAgain) {
  Write();
  {
    SyncMark mark = ValueOrDie(SyncMark::Open(fs_, layout_.synced()));
    mark.Poison(2);
  }
  fs_.FailCall(0, absl::OkStatus());
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  const std::vector<std::string> calls = fs_.calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "WriteAt"), 2);
  EXPECT_EQ(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).poisoned(), 0u);
  EXPECT_EQ(GoOn(recovered), WithNew(18));
}

// Another process's sync may fail at any time.
TEST_F(RecoveryTest, NothingIsRecoveredWhileASyncIsInDoubt) {
  Write();
  SyncMark mark = ValueOrDie(SyncMark::Open(fs_, layout_.synced()));
  JournalReader reader = ValueOrDie(ReadJournal(fs_, layout_, kTestDataFormat));
  ReadTexts(reader);
  mark.Poison(2);
  EXPECT_THAT(RecoverTail(fs_, layout_, reader, mark, {}).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("sync")));
  EXPECT_EQ(mark.poisoned(), 2u);
  ASSERT_THAT(SettlePoison(fs_, layout_, mark, WriterIs::kAsLocked), IsOk());
  EXPECT_EQ(mark.poisoned(), 2u);  // to others
  mark.Poison(1);
  EXPECT_THAT(RecoverTail(fs_, layout_, reader, mark, {}).status(), StatusIs(absl::StatusCode::kUnavailable, _));
  ASSERT_THAT(SettlePoison(fs_, layout_, mark, WriterIs::kAsLocked), IsOk());
  EXPECT_THAT(RecoverTail(fs_, layout_, reader, mark, {}), IsOk());
  EXPECT_EQ(mark.poisoned(), 0u);
}

// The process that made that sync died in it, maybe of an error that nobody is told of again.
TEST_F(RecoveryTest, WhatAnUnfinishedSyncCoveredIsWrittenAgain) {
  Write();
  {
    SyncMark mark = ValueOrDie(SyncMark::Open(fs_, layout_.synced()));
    mark.Begin(2, 0);
  }
  fs_.FailCall(0, absl::OkStatus());
  const Recovered recovered = Recover(fs_, dir_.path());
  ASSERT_THAT(recovered.status, IsOk());
  const std::vector<std::string> calls = fs_.calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "WriteAt"), 2);  // segment 2, and 3; no page of zeros
  EXPECT_FALSE(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).unfinished().has_value());
  EXPECT_EQ(GoOn(recovered), WithNew(18));
}

TEST_F(RecoveryTest, ASyncThatFailsPoisonsTheSegment) {
  Write();
  fs_.FailCalls("MappedFile::Sync", absl::AbortedError("planted"));
  EXPECT_THAT(Recover(fs_, dir_.path()).status, StatusIs(absl::StatusCode::kAborted, HasSubstr("planted")));
  fs_.Heal();
  EXPECT_NE(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).poisoned(), 0u);
  EXPECT_THAT(Recover(fs_, dir_.path()).status, IsOk());
  EXPECT_EQ(ValueOrDie(SyncMark::Open(fs_, layout_.synced())).poisoned(), 0u);
}

// P3: after the first crash the tail was cut, a new epoch has begun; a second crash brings the old
// tail back, since the seal had not reached the disk. The new epoch says what it follows.
TEST_F(RecoveryTest, OldBytesDoNotComeBackAfterASecondCrash) {
  Write();
  const Image whole = ReadImage(dir_.path());
  for (Seq torn = kSynced + 1; torn <= 18; ++torn) {
    std::filesystem::remove_all(dir_.path());
    WriteImage(dir_.path(), whole);
    Flip(torn, 30);
    const std::string old_tail = ReadFileBytes(layout_.segment(3));
    ExpectTorn(torn - 1);
    ValueOrDie(SyncMark::Open(fs_, layout_.synced())).SetBoot(1);  // the machine has stopped in between
    WriteFileBytes(layout_.segment(3), old_tail);
    const Recovered again = Recover(fs_, dir_.path());
    ASSERT_THAT(again.status, IsOk());
    ASSERT_EQ(again.texts, WithNew(torn - 1));
    std::vector<std::string> twice = WithNew(torn - 1);
    twice.emplace_back("new");
    ASSERT_EQ(GoOn(again), twice);
  }
}

class InterruptedRecoveryTest : public RecoveryTest {
 protected:
  // Returns a torn tail with two later segments.
  Image TornImage() {
    made_.Begin(2);
    Append();
    made_.Begin(2);
    Append();
    Write();
    Flip(15, 30);
    return ReadImage(dir_.path());
  }
};

TEST_F(InterruptedRecoveryTest, WhicheverCallFailsTheNextRunDoesWhatIsLeft) {
  const Image torn = TornImage();
  for (const bool dies : {false, true}) {
    uint64_t n = 1;
    for (;; ++n) {
      std::filesystem::remove_all(dir_.path());
      WriteImage(dir_.path(), torn);
      fs_.FailCall(n, absl::UnavailableError("planted"), /*for_good=*/dies);
      const Recovered first = Recover(fs_, dir_.path());
      const bool failed = fs_.failed();
      const std::string call = fs_.failed_call();
      fs_.Heal();
      if (!failed) break;
      const Recovered second = Recover(fs_, dir_.path());
      ASSERT_THAT(second.status, IsOk()) << n << " " << call << ", before: " << first.status;
      ASSERT_EQ(second.texts, made_.TextsUpTo(14)) << n << " " << call;
      ASSERT_EQ(GoOn(second), WithNew(14)) << n << " " << call;
      // What was truncated is kept, whatever came in between.
      std::string kept;
      for (const auto& [name, bytes] : ReadImage(layout_.aside())) kept += bytes;
      for (Seq seq = 16; seq <= 20; ++seq) ASSERT_THAT(kept, HasSubstr(FrameOf(seq).text)) << n << " " << call;
    }
    EXPECT_GT(n, 60u);
  }
}

TEST_F(InterruptedRecoveryTest, ASecondRunChangesNothingMore) {
  TornImage();
  ASSERT_THAT(Recover(fs_, dir_.path()).status, IsOk());
  const Image once = ReadImage(dir_.path());
  const Recovered again = Recover(fs_, dir_.path());
  ASSERT_THAT(again.status, IsOk());
  EXPECT_FALSE(again.outcome.torn);
  EXPECT_EQ(again.outcome.next_segment, 4u);
  EXPECT_EQ(ReadImage(dir_.path()), once);
}

}  // namespace
}  // namespace kekbit
