#include "kekbit/replication/journal/frame.h"

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

constexpr ChainLink kBefore = {.position = {.epoch = 7, .seq = 41}, .crc32c = 0x1234'5678, .time_ns = 500};

FrameHeader Command(Epoch epoch = 7, Seq seq = 42) {
  FrameHeader header;
  header.kind = static_cast<uint8_t>(FrameKind::kCommand);
  header.epoch = epoch;
  header.seq = seq;
  header.time_ns = 1000;
  return header;
}

FrameHeader Start(Epoch epoch, Seq seq) {
  FrameHeader header = Command(epoch, seq);
  header.kind = static_cast<uint8_t>(FrameKind::kEpochStart);
  return header;
}

std::vector<uint8_t> Seal(const FrameHeader& header, absl::string_view payload, ChainLink link = kBefore) {
  std::vector<uint8_t> record(kFrameHeaderBytes + payload.size());
  std::memcpy(record.data() + kFrameHeaderBytes, payload.data(), payload.size());
  SealFrame(header, link, absl::MakeSpan(record));
  return record;
}

absl::Status ParseStatus(const std::vector<uint8_t>& record, ChainLink link = kBefore) {
  return ParseFrame(record, link).status();
}

TEST(FrameTest, ParsesWhatWasSealed) {
  std::vector<uint8_t> record = Seal(Command(), "payload");
  ChainLink link = kBefore;
  KB_ASSERT_OK_AND_ASSIGN(const Frame frame, ParseFrame(record, link));
  EXPECT_EQ(frame.kind(), FrameKind::kCommand);
  EXPECT_EQ(frame.position(), (Position{.epoch = 7, .seq = 42}));
  EXPECT_EQ(frame.header.time_ns, 1000);
  EXPECT_EQ(AsText(frame.payload), "payload");
  EXPECT_EQ(frame.payload.data(), record.data() + kFrameHeaderBytes);
  // The writer's link and the reader's are the same.
  ChainLink writers = kBefore;
  SealFrame(Command(), writers, absl::MakeSpan(record));
  EXPECT_EQ(link, writers);
  EXPECT_EQ(link.position, frame.position());
  EXPECT_EQ(link.crc32c, frame.header.crc32c);
  EXPECT_EQ(link.time_ns, 1000);
}

TEST(FrameTest, EachFieldOfTheHeaderIsInItsPlace) {
  FrameHeader header;
  header.kind = 0x11;
  header.flags = 0x22;
  header.type_version = 0x3344;
  header.epoch = 0x0102'0304'0506'0708;
  header.seq = 0x1112'1314'1516'1718;
  header.time_ns = 0x2122'2324'2526'2728;
  header.type_id = 0x5566'7788;
  header.unsynced = 0x99AA'BBCC;
  const std::vector<uint8_t> record = Seal(header, "payload");
  header.crc32c = LoadUnaligned<uint32_t>(record.data());
  EXPECT_EQ(std::memcmp(record.data(), &header, sizeof header), 0);
}

TEST(FrameTest, UnsyncedIsAsTheHeaderSays) {
  FrameHeader header = Command();
  EXPECT_EQ(header.unsynced, kUnsyncedMax) << "a writer that says nothing claims nothing";
  header.unsynced = 5;
  const std::vector<uint8_t> record = Seal(header, "payload");
  ChainLink link = kBefore;
  KB_ASSERT_OK_AND_ASSIGN(const Frame frame, ParseFrame(record, link));
  EXPECT_EQ(frame.header.unsynced, 5u);
}

TEST(FrameTest, UnsyncedCountsTheFramesBefore) {
  EXPECT_EQ(UnsyncedBefore(1, 0), 0u);
  EXPECT_EQ(UnsyncedBefore(42, 0), 41u);
  EXPECT_EQ(UnsyncedBefore(42, 40), 1u);
  EXPECT_EQ(UnsyncedBefore(42, 41), 0u);
  EXPECT_EQ(UnsyncedBefore(42, 99), 0u) << "another writer's mark can't be beyond this frame";
  EXPECT_EQ(UnsyncedBefore((Seq{1} << 32) + 1, 1), kUnsyncedMax);
  EXPECT_EQ(UnsyncedBefore(Seq{1} << 40, 7), kUnsyncedMax);
}

TEST(FrameTest, SyncedIsNoMoreThanWasSynced) {
  for (const Seq seq : {Seq{1}, Seq{2}, Seq{42}, (Seq{1} << 32) - 1, Seq{1} << 32, (Seq{1} << 32) + 1, Seq{1} << 40}) {
    for (const Seq synced : {Seq{0}, Seq{1}, Seq{41}, seq - 1}) {
      if (synced >= seq) continue;
      const Seq said = SyncedBefore(seq, UnsyncedBefore(seq, synced));
      EXPECT_TRUE(said == synced || (said == 0 && seq - 1 - synced >= kUnsyncedMax)) << seq << ", " << synced;
    }
  }
  EXPECT_EQ(SyncedBefore(42, kUnsyncedMax), 0u);
  EXPECT_EQ(SyncedBefore(42, 1000), 0u) << "no frame that was written says so";
}

TEST(FrameTest, AFrameMayBeWithoutPayload) {
  ChainLink link = kBefore;
  const std::vector<uint8_t> record = Seal(Command(), "");
  KB_ASSERT_OK_AND_ASSIGN(const Frame frame, ParseFrame(record, link));
  EXPECT_TRUE(frame.payload.empty());
}

TEST(FrameTest, TheChecksumIsOverAllThatFollowsItSeededWithTheOneBefore) {
  const std::vector<uint8_t> record = Seal(Command(), "payload");
  EXPECT_EQ(LoadUnaligned<uint32_t>(record.data()), Crc32c(kBefore.crc32c, Bytes(record).subspan(4)));
}

TEST(FrameTest, EveryChangedBitIsFound) {
  const std::vector<uint8_t> record = Seal(Command(), "some payload");
  for (size_t bit = 0; bit < record.size() * 8; ++bit) {
    std::vector<uint8_t> broken = record;
    broken[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    ChainLink link = kBefore;
    ASSERT_THAT(ParseFrame(broken, link).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")))
        << "bit " << bit;
    ASSERT_EQ(link, kBefore);
  }
}

TEST(FrameTest, EveryOtherByteIsFound) {
  const std::vector<uint8_t> record = Seal(Command(), "some payload");
  for (size_t i = 0; i < record.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::vector<uint8_t> broken = record;
      broken[i] = static_cast<uint8_t>(value);
      ASSERT_EQ(ParseStatus(broken).ok(), broken == record) << "byte " << i << " as " << value;
    }
  }
}

TEST(FrameTest, EveryTruncationIsFound) {
  const std::vector<uint8_t> record = Seal(Command(), "some payload");
  for (size_t size = 0; size < record.size(); ++size) {
    const std::vector<uint8_t> cut(record.begin(), record.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_THAT(ParseStatus(cut),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(size < kFrameHeaderBytes ? "too short" : "checksum")));
  }
}

TEST(FrameTest, ZerosAreNoFrame) {
  for (const size_t size : {kFrameHeaderBytes, kFrameHeaderBytes + 100}) {
    EXPECT_FALSE(ParseStatus(std::vector<uint8_t>(size), ChainLink{}).ok());
  }
}

TEST(FrameTest, AFrameOfAnotherHistoryDoesNotFit) {
  // Take the same position after something else.
  ChainLink other = kBefore;
  other.crc32c ^= 1;
  EXPECT_THAT(ParseStatus(Seal(Command(), "x", other)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("seq 41")));
}

TEST(FrameTest, TheSeqIsTheOneBeforePlusOne) {
  for (const Seq seq : {Seq{0}, Seq{41}, Seq{43}, ~Seq{0}}) {
    EXPECT_THAT(ParseStatus(Seal(Command(7, seq), "x")),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("follows {epoch 7, seq 41}")))
        << seq;
  }
}

TEST(FrameTest, ACommandIsOfTheEpochThatWasBegun) {
  for (const Epoch epoch : {Epoch{6}, Epoch{8}, Epoch{0}}) {
    EXPECT_THAT(ParseStatus(Seal(Command(epoch, 42), "x")), StatusIs(absl::StatusCode::kDataLoss)) << epoch;
  }
}

TEST(FrameTest, AnEpochStartBeginsANewerEpoch) {
  EXPECT_THAT(ParseStatus(Seal(Start(8, 42), "x")), IsOk());
  EXPECT_THAT(ParseStatus(Seal(Start(100, 42), "x")), IsOk());
  for (const Epoch epoch : {Epoch{7}, Epoch{6}}) {
    EXPECT_THAT(ParseStatus(Seal(Start(epoch, 42), "x")), StatusIs(absl::StatusCode::kDataLoss)) << epoch;
  }
  // The first frame there is.
  EXPECT_THAT(ParseStatus(Seal(Start(1, 1), "x", {}), {}), IsOk());
  EXPECT_THAT(ParseStatus(Seal(Command(1, 1), "x", {}), {}), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(FrameTest, WhatANewerVersionWroteIsRefusedNotTakenForDamage) {
  for (const int kind : {0, 3, 6, 255}) {
    FrameHeader header = Command();
    header.kind = static_cast<uint8_t>(kind);
    EXPECT_THAT(ParseStatus(Seal(header, "x")),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("unknown to this version")))
        << kind;
  }
  FrameHeader flags = Command();
  flags.flags = 1;
  EXPECT_THAT(ParseStatus(Seal(flags, "x")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("flags 1")));
  FrameHeader type = Command();
  type.type_id = 5;
  EXPECT_THAT(ParseStatus(Seal(type, "x")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("type 5")));
  FrameHeader version = Command();
  version.type_version = 2;
  EXPECT_THAT(ParseStatus(Seal(version, "x")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2")));
}

}  // namespace
}  // namespace kekbit
