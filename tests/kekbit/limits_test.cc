// Channels at their limits: filled to the last byte, the smallest and the largest that are
// possible.

#include <sys/statvfs.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/channel_format.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/checked_payload.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

class LimitsTest : public testing::Test {
 protected:
  WriterOptions options_ = QuietWriter();
  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.File("channel.kekbit");
};

// Fills a channel with the longest records and, at the end, one that takes just what is left.
void FillToTheLastByte(ShmWriter& writer, size_t longest, uint64_t* records) {
  std::vector<uint8_t> payload(longest);
  const auto write = [&](size_t size) {
    FillCheckedPayload(*records, MutableBytes(payload.data(), size));
    ASSERT_THAT(writer.Write(Bytes(payload.data(), size)), IsOk());
    ++*records;
  };
  while (writer.available() >= RecordBytes(longest)) write(longest);
  if (writer.available() > kLengthBytes) write(writer.available() - kLengthBytes);
  if (writer.available() == kLengthBytes) {
    ASSERT_THAT(writer.Heartbeat(), IsOk());
  }
  ASSERT_EQ(writer.available(), 0u);
}

// For each length of the last records the channel is full to its last byte, with WATERMARK and then
// CLOSE in the footer.
TEST_F(LimitsTest, FilledToTheVeryLastByte) {
  options_.first_heartbeat = false;
  for (size_t longest = 8; longest <= 120; longest += 8) {
    SCOPED_TRACE(longest);
    const std::string path = dir_.File(std::to_string(longest));
    uint64_t written = 0;
    std::shared_ptr<MappedFile> mapping;
    {
      ShmWriter writer = MakeWriter(path, kSmallChannel, options_);
      mapping = writer.mapping();
      FillToTheLastByte(writer, longest, &written);
      EXPECT_EQ(PeekWord(mapping->data() + kDataOffset + kCapacityMin), kWatermark);
      ShmReader reader = MakeReader(path);
      EXPECT_EQ(ReadAll(reader).size(), written);
      EXPECT_EQ(reader.position(), kCapacityMin);
      // The CLOSE still comes: nothing more fits, but the channel is not at its end yet.
      EXPECT_THAT(reader.status(), IsOk());
      EXPECT_THAT(reader.MoveTo(kCapacityMin), IsOk());
    }
    EXPECT_EQ(PeekWord(mapping->data() + kDataOffset + kCapacityMin), kClose);
    // Nothing went beyond that word.
    for (size_t i = 8; i < kFooterBytes; ++i) EXPECT_EQ(mapping->data()[kDataOffset + kCapacityMin + i], 0);
    ShmReader reader = MakeReader(path);
    EXPECT_EQ(ReadAll(reader).size(), written);
    EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
    EXPECT_THAT(reader.status(), IsOk());
  }
}

TEST_F(LimitsTest, RecordsOfEachLength) {
  for (const size_t longest : {1, 2, 7, 8, 9, 119, 120}) {
    const std::string path = dir_.File(std::to_string(longest));
    ShmWriter writer = MakeWriter(path, kSmallChannel, options_);
    ASSERT_THAT(writer.Write({}), StatusIs(StatusCode::kInvalidArgument));
    const std::string payload(longest, 'p');
    uint64_t written = 0;
    while (writer.Write(AsBytes(payload)).ok()) ++written;
    EXPECT_EQ(written, (kCapacityMin - 8) / RecordBytes(longest));
    ShmReader reader = MakeReader(path);
    EXPECT_EQ(ReadAll(reader), std::vector<std::string>(written, payload));
  }
}

TEST_F(LimitsTest, HeartbeatsOnly) {
  ShmWriter writer = MakeWriter(path_, kSmallChannel, options_);
  while (writer.Heartbeat().ok()) {
  }
  EXPECT_EQ(writer.write_offset(), kCapacityMin);
  ShmReader reader = MakeReader(path_);
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_EQ(reader.position(), kCapacityMin);
}

// Just under 4 GiB: offsets need all 32 bits and more, and must not wrap.
TEST_F(LimitsTest, TheLargestChannelFilledToItsLastByte) {
  struct statvfs stat;
  ASSERT_EQ(::statvfs(dir_.path().c_str(), &stat), 0);
  if (stat.f_bavail * stat.f_frsize < 6ull << 30) GTEST_SKIP() << "less than 6 GiB free at " << dir_.path();
  uint64_t written = 0;
  {
    const HeaderOptions header = {.capacity = kCapacityMax, .max_msg_len = 0xFFFF'FFFF, .creation_time = 1};
    ShmWriter writer = MakeWriter(path_, header, options_);
    const size_t longest = writer.header().max_msg_len();
    EXPECT_EQ(longest, 33'554'424u);
    // Leave the bytes unspecified except a word at each end: filling 4 GiB of payload is not the
    // point here.
    const auto publish = [&](size_t size) {
      KB_ASSERT_OK_AND_ASSIGN(const MutableBytes claim, writer.Claim(size));
      StoreUnaligned(claim.data(), written);
      StoreUnaligned(claim.data() + size - 8, ~written);
      writer.Publish(size);
      ++written;
    };
    while (writer.available() >= RecordBytes(longest)) publish(longest);
    ASSERT_GT(writer.available(), 16u);
    publish(writer.available() - kLengthBytes);
    EXPECT_EQ(writer.write_offset(), uint64_t{kCapacityMax});
    EXPECT_THAT(writer.Write(AsBytes("x")), StatusIs(StatusCode::kResourceExhausted));
    EXPECT_THAT(writer.Heartbeat(), StatusIs(StatusCode::kResourceExhausted));
  }
  ShmReader reader = MakeReader(path_);
  uint64_t read = 0;
  for (const Bytes payload : reader) {
    EXPECT_EQ(LoadUnaligned<uint64_t>(payload.data()), read);
    EXPECT_EQ(LoadUnaligned<uint64_t>(payload.data() + payload.size() - 8), ~read);
    ++read;
  }
  EXPECT_EQ(read, written);
  EXPECT_EQ(read, 128u);
  EXPECT_EQ(reader.position(), uint64_t{kCapacityMax});
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
  EXPECT_THAT(reader.MoveTo(uint64_t{kCapacityMax}), IsOk());
  EXPECT_THAT(reader.MoveTo(uint64_t{1} << 32), StatusIs(StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace kekbit
