// A reader of the journal: where it begins, how it gets there, and what it says when it can't. P7:
// a reader never skips silently.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/channel_seal.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Place says where a frame stands.
struct Place {
  ChainLink before;
  ChainLink link;
  SegmentNumber segment;
  uint64_t offset;  // of the frame, and of the frame after
  uint64_t end;
};

class JournalSeekTest : public testing::Test {
 protected:
  // Three epochs, each of some segments, the last of which holds some frames.
  void Write(size_t segments) {
    for (size_t epoch = 1; epoch <= 3; ++epoch) {
      JournalWriter writer = journal_.Begin();
      for (size_t i = 0; i < 10 || journal_.Segments().size() < epoch * segments / 3; ++i) {
        ValueOrDie(Append(writer, std::string(i % 70, 'x')));
      }
      for (size_t i = 0; i < 10; ++i) ValueOrDie(Append(writer, "in the same segment"));
    }
    JournalReader reader = journal_.OpenReader();
    ChainLink before = reader.last();
    while (reader.Next()) {
      // The offset after the last frame is not where this frame began, if that was in another
      // segment.
      const bool same = !places_.empty() && places_.back().segment == reader.segment();
      places_.push_back({.before = before,
                         .link = reader.last(),
                         .segment = reader.segment(),
                         .offset = same ? places_.back().end : 0,
                         .end = reader.offset()});
      before = reader.last();
    }
    ASSERT_THAT(reader.status(), IsOk());
  }

  // The seqs that the reader gives, which are to begin with `from` and reach to the end.
  void ExpectAllFrom(JournalReader& reader, Seq from) const {
    Seq next = from;
    while (const std::optional<Frame> frame = reader.Next()) {
      ASSERT_EQ(frame->header.seq, next);
      ASSERT_EQ(reader.last(), places_[next - 1].link);
      ++next;
    }
    ASSERT_THAT(reader.status(), IsOk()) << "from " << from;
    ASSERT_EQ(next, places_.size() + 1) << "from " << from;
  }

  absl::StatusOr<JournalReader> OpenAfter(const ChainLink& link) {
    return ReadJournalAfter(fs_, journal_.layout(), kTestDataFormat, link);
  }

  FaultyFileSystem fs_;
  TempDir dir_ = TempDir::InMemory();
  TestJournal journal_{dir_.path()};
  std::vector<Place> places_;  // of each frame, by its seq - 1
};

TEST_F(JournalSeekTest, OpensAtEveryFrame) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  for (Seq from = 1; from <= places_.size() + 1; ++from) {
    KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(fs_, journal_.layout(), kTestDataFormat, from));
    ASSERT_NO_FATAL_FAILURE(ExpectAllFrom(reader, from));
  }
  EXPECT_THAT(ReadJournal(fs_, journal_.layout(), kTestDataFormat, places_.size() + 2).status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("not reached yet")));
}

TEST_F(JournalSeekTest, OpensBehindEveryFrame) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  for (const Place& place : places_) {
    KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, OpenAfter(place.before));
    ASSERT_EQ(reader.last(), place.before);  // with its time, also where only a segment tells of that frame
    ASSERT_NO_FATAL_FAILURE(ExpectAllFrom(reader, place.link.position.seq));
    KB_ASSERT_OK_AND_ASSIGN(
        reader, JournalReader::At(fs_, journal_.layout(), kTestDataFormat,
                                  {.segment = place.segment, .offset = place.offset, .link = place.before}));
    ASSERT_NO_FATAL_FAILURE(ExpectAllFrom(reader, place.link.position.seq));
  }
}

TEST_F(JournalSeekTest, OpensOnlyTheSegmentsThatABinarySearchLooksAt) {
  ASSERT_NO_FATAL_FAILURE(Write(64));
  ASSERT_GE(journal_.Segments().size(), 64u);
  for (const Seq from : {Seq{1}, Seq{2}, places_.size() / 2, places_.size() - 1, places_.size() + 1}) {
    fs_.FailCall(0, absl::OkStatus());
    KB_ASSERT_OK_AND_ASSIGN(const JournalReader reader, ReadJournal(fs_, journal_.layout(), kTestDataFormat, from));
    const std::vector<std::string> calls = fs_.calls();
    EXPECT_LE(std::count(calls.begin(), calls.end(), "Open"), 7) << from;
  }
}

TEST_F(JournalSeekTest, AnotherHistoryIsDataLoss) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  for (ChainLink link : {places_[1].link, places_[places_.size() / 2].link, places_.back().link}) {
    ASSERT_THAT(OpenAfter(link), IsOk());
    ++link.crc32c;
    EXPECT_THAT(OpenAfter(link).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another history")));
    --link.crc32c;
    ++link.position.epoch;
    EXPECT_THAT(OpenAfter(link).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another history")));
  }
}

TEST_F(JournalSeekTest, AFrameBeyondTheEndIsDataLoss) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  ChainLink link = places_.back().link;
  ++link.position.seq;
  EXPECT_THAT(OpenAfter(link).status(),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("not reached"), HasSubstr("is missing"))));
}

TEST_F(JournalSeekTest, AFrameThatIsNoLongerKeptIsOutOfRangeWithTheFirstThatIs) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  std::filesystem::remove(journal_.layout().segment(1));
  std::filesystem::remove(journal_.layout().segment(2));
  const auto kept = std::find_if(places_.begin(), places_.end(), [](const Place& place) { return place.segment == 3; });
  const Seq first = kept->link.position.seq;
  const auto gone = StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(absl::StrCat("the first one is ", first)));
  EXPECT_THAT(OpenAfter(places_[3].link).status(), gone);
  EXPECT_THAT(OpenAfter((kept - 1)->before).status(), gone);
  // The frame before is gone, too, but the segment says what it was.
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, OpenAfter(kept->before));
  ExpectAllFrom(reader, first);
}

TEST_F(JournalSeekTest, AWrongPlaceShowsAsAFrameThatDoesNotFit) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  const Place& place = places_[5];
  const auto continued = [&](uint64_t offset) {
    return JournalReader::At(fs_, journal_.layout(), kTestDataFormat,
                             {.segment = place.segment, .offset = offset, .link = place.before});
  };
  EXPECT_THAT(continued(place.offset + 4).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(continued(kCapacityMin + 8).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(continued(0).status(), StatusIs(absl::StatusCode::kDataLoss));
  for (const uint64_t offset : {places_[4].offset, place.end, place.offset + 8}) {
    KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, continued(offset));
    EXPECT_FALSE(reader.Next().has_value());
    EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss)) << offset;
    EXPECT_EQ(reader.offset(), offset);
  }
}

TEST_F(JournalSeekTest, OpensBeforeAFirstSegmentThatCantBeRead) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  WriteFileBytes(journal_.layout().segment(1), std::string(ChannelFileBytes(kCapacityMin), '\0'));
  JournalReader reader = journal_.OpenReader();
  EXPECT_EQ(reader.segment(), 0u);
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(journal_.layout().segment(1))));
  // The content of that segment can't be found.
  EXPECT_THAT(ReadJournal(fs_, journal_.layout(), kTestDataFormat, 2).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(journal_.layout().segment(1))));
}

// A look at the only segment that failed once, and not the next time, used to open a reader before seq 1.
TEST_F(JournalSeekTest, P7ALookThatFailsOnceMovesNoPlace) {
  JournalWriter writer = journal_.Begin();
  for (int i = 0; i < 10; ++i) ValueOrDie(Append(writer, "in the one segment"));
  const Seq from = writer.last().position.seq;
  for (uint64_t call = 1;; ++call) {
    fs_.FailCall(call, absl::DataLossError("planted"));
    const absl::StatusOr<JournalReader> reader = ReadJournal(fs_, journal_.layout(), kTestDataFormat, from);
    if (!fs_.failed()) break;
    if (reader.ok()) {
      EXPECT_EQ(reader->last().position.seq + 1, from) << fs_.failed_call();
    }
  }
}

// Segments after the last whole one never got their first page onto the disk.
TEST_F(JournalSeekTest, OpensBehindTheLastWholeSegment) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  const SegmentNumber last = journal_.Segments().back();
  const auto lost =
      std::find_if(places_.begin(), places_.end(), [last](const Place& place) { return place.segment + 1 == last; });
  for (const SegmentNumber number : {last - 1, last}) {
    WriteFileBytes(journal_.layout().segment(number), std::string(ChannelFileBytes(kCapacityMin), '\0'));
  }
  const Seq from = lost->link.position.seq;
  for (const Place& place : places_) {
    if (place.link.position.seq >= from) {
      EXPECT_THAT(OpenAfter(place.link).status(), StatusIs(absl::StatusCode::kDataLoss));
      continue;
    }
    KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, OpenAfter(place.link));
    while (reader.Next()) {
    }
    ASSERT_EQ(reader.last(), lost->before);
    ASSERT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(journal_.layout().segment(last - 1))));
    ASSERT_EQ(reader.segment(), last - 2);
  }
  // Nothing before them is kept: a snapshot is where the state is from.
  for (SegmentNumber number = 1; number + 1 < last; ++number)
    std::filesystem::remove(journal_.layout().segment(number));
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, OpenAfter(lost->before));
  EXPECT_EQ(reader.segment(), last - 2);
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(journal_.layout().segment(last - 1))));
}

class BehindDamageTest : public JournalSeekTest {
 protected:
  std::string PathOf(const Place& place) const { return journal_.layout().segment(place.segment); }
  void Patch(const Place& place, uint64_t at, uint64_t word) {
    std::string bytes = ReadFileBytes(PathOf(place));
    bytes.replace(kDataOffset + at, sizeof word, reinterpret_cast<const char*>(&word), sizeof word);
    WriteFileBytes(PathOf(place), bytes);
  }
};

// A snapshot holds the effects of what was damaged.
TEST_F(BehindDamageTest, WhatIsDamagedBeforeDoesNotMatter) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  const Place damaged = places_[3];
  const std::string whole = ReadFileBytes(PathOf(damaged));
  for (const uint64_t word : {uint64_t{0}, kWatermark, uint64_t{0x123456789}, uint64_t{80}}) {
    Patch(damaged, damaged.offset, word);
    size_t behind = 0;
    for (const Place& place : places_) {
      if (place.segment != damaged.segment || place.link.position.seq < damaged.link.position.seq) continue;
      KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, OpenAfter(place.link));
      ASSERT_NO_FATAL_FAILURE(ExpectAllFrom(reader, place.link.position.seq + 1));
      ++behind;
    }
    EXPECT_GT(behind, 10u);
    EXPECT_THAT(OpenAfter(damaged.before), IsOk());
    WriteFileBytes(PathOf(damaged), whole);
  }
}

// A journal that was truncated at a torn place is closed there; later bytes are no part of the
// journal.
TEST_F(BehindDamageTest, NothingBehindAClosedPlaceIsFound) {
  JournalWriter writer = journal_.Begin();
  for (int i = 0; i < 100; ++i) ValueOrDie(Append(writer, "in the one segment"));
  JournalReader all = journal_.OpenReader();
  ChainLink before = all.last();
  uint64_t begin = 0;
  while (all.Next()) {
    places_.push_back({.before = before, .link = all.last(), .segment = 1, .offset = begin, .end = all.offset()});
    before = all.last();
    begin = all.offset();
  }
  const ChainLink cut = places_[70].link;
  ASSERT_THAT(OpenAfter(cut), IsOk());
  Patch(places_[60], places_[60].offset, kClose);
  EXPECT_THAT(OpenAfter(cut).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is missing")));
  Patch(places_[50], places_[50].offset, 0);
  EXPECT_THAT(OpenAfter(cut).status(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(OpenAfter(places_[55].link), IsOk());
}

class WaitingReaderTest : public JournalSeekTest {
 protected:
  // Sets the length of a frame in the middle of segment 2 to `word`, and reads up to it.
  JournalReader ReadUpTo(uint64_t word) {
    const auto place = std::find_if(places_.begin(), places_.end(), [](const Place& p) { return p.segment == 2; }) + 3;
    std::string bytes = ReadFileBytes(journal_.layout().segment(2));
    bytes.replace(kDataOffset + place->offset, sizeof word, reinterpret_cast<const char*>(&word), sizeof word);
    WriteFileBytes(journal_.layout().segment(2), bytes);
    JournalReader reader = journal_.OpenReader();
    while (reader.Next()) {
    }
    EXPECT_THAT(reader.status(), IsOk());
    EXPECT_EQ(reader.last(), place->before);
    EXPECT_EQ(reader.offset(), place->offset);
    return reader;
  }
};

TEST_F(WaitingReaderTest, FindsThatItWaitsForWhatIsLost) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  for (const uint64_t word : {kHeartbeat, kWatermark}) {
    JournalReader reader = ReadUpTo(word);
    const auto lost = StatusIs(absl::StatusCode::kDataLoss,
                               AllOf(HasSubstr(journal_.layout().segment(2)), HasSubstr(journal_.layout().segment(3)),
                                     HasSubstr(absl::StrCat("at offset ", reader.offset()))));
    EXPECT_THAT(reader.CheckWaiting(), lost);
    EXPECT_FALSE(reader.Next().has_value());
    EXPECT_THAT(reader.status(), lost);
  }
}

TEST_F(WaitingReaderTest, FindsItByLookingAgainAndAgain) {
  ASSERT_NO_FATAL_FAILURE(Write(6));
  JournalReader reader = ReadUpTo(kHeartbeat);
  for (int i = 0; i < 100 && reader.status().ok(); ++i) EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(WaitingReaderTest, WaitsWhereNothingIsWrong) {
  JournalWriter writer = journal_.Begin();
  JournalReader reader = journal_.OpenReader();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(reader.CheckWaiting(), IsOk());
    for (int n = 0; n < 3; ++n) ValueOrDie(Append(writer, "x"));
    // There are frames now, perhaps in a next segment.
    ASSERT_THAT(reader.CheckWaiting(), IsOk());
    while (reader.Next()) {
    }
    ASSERT_EQ(reader.last(), writer.last());
  }
  EXPECT_GT(reader.segment(), 2u);
}

TEST_F(WaitingReaderTest, LooksAgainAtWhatWasMended) {
  ASSERT_NO_FATAL_FAILURE(Write(3));
  const Place place = places_[places_.size() - 2];
  const std::string path = journal_.layout().segment(place.segment);
  const std::string whole = ReadFileBytes(path);
  std::string damaged = whole;
  damaged[kDataOffset + place.offset + kLengthBytes + 20] ^= 1;
  WriteFileBytes(path, damaged);
  JournalReader reader = journal_.OpenReader();
  while (reader.Next()) {
  }
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(reader.offset(), place.offset);
  EXPECT_EQ(reader.last(), place.before);
  ASSERT_THAT(reader.LookAgain(), IsOk());
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss));
  WriteFileBytes(path, whole);
  ASSERT_THAT(reader.LookAgain(), IsOk());
  EXPECT_EQ(ReadTexts(reader).size(), 2u);
  EXPECT_THAT(reader.status(), IsOk());
}

}  // namespace
}  // namespace kekbit
