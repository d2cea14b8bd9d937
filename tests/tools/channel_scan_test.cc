// ChannelScan shows what ShmReader reads, and says the same of the end, whatever bytes the file
// holds.

#include "kekbit/channel_scan.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kekbit/channel_format.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

struct Seen {
  std::vector<std::string> payloads;
  ChannelItem last;
};

Seen ScanAll(ChannelScan& scan) {
  Seen seen;
  for (;;) {
    const ChannelItem item = scan.Next();
    if (item.is_last()) {
      seen.last = item;
      return seen;
    }
    if (item.kind == ChannelItemKind::kRecord) seen.payloads.emplace_back(item.payload.begin(), item.payload.end());
  }
}

// Fails the test unless a scan and a reader of the file agree. Returns how the file ends.
ChannelItemKind ExpectAgreement(const std::string& path, bool heartbeats) {
  absl::StatusOr<ChannelFile> file = OpenChannelFile(FileSystem::Posix(), path);
  EXPECT_TRUE(file.ok()) << file.status();
  ChannelScan scan(*std::move(file), heartbeats);
  const Seen seen = ScanAll(scan);
  ShmReader reader = MakeReader(path, {.heartbeats = heartbeats});
  EXPECT_EQ(seen.payloads, ReadAll(reader));
  EXPECT_EQ(seen.last.offset, reader.position());
  EXPECT_EQ(seen.last.status.ok(), reader.status().ok()) << seen.last.status << reader.status();
  EXPECT_EQ(seen.last.kind == ChannelItemKind::kDamage, reader.channel_end() == ChannelEnd::kDamaged);
  EXPECT_EQ(seen.last.kind == ChannelItemKind::kCloseMarker, reader.channel_end() == ChannelEnd::kClosed);
  return seen.last.kind;
}

TEST(ChannelScanTest, AgreesWithTheReaderOnAnyBytes) {
  const TempDir dir;
  const std::string path = dir.File("channel");
  {
    ShmWriter writer = MakeWriter(path);
    while (writer.Write(AsBytes("some record")).ok()) {
    }
  }
  const std::string whole = ReadFileBytes(path);
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  std::vector<int> ends(6);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    for (uint64_t changes = below(4); changes > 0; --changes) {
      const uint64_t words[] = {below(200), kWatermark, kClose, kHeartbeat, uint64_t{random()} << 32 | random()};
      const uint64_t at = kDataOffset + 8 * below((bytes.size() - kDataOffset) / 8);
      StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + at, words[below(5)]);
    }
    if (below(3) == 0) bytes.resize(kHeaderBytes + below(bytes.size() - kHeaderBytes));
    WriteFileBytes(path, bytes);
    ++ends[static_cast<size_t>(ExpectAgreement(path, below(2) == 0))];
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(ends[static_cast<size_t>(ChannelItemKind::kWatermarkMarker)], 0);
  EXPECT_GT(ends[static_cast<size_t>(ChannelItemKind::kCloseMarker)], 0);
  EXPECT_GT(ends[static_cast<size_t>(ChannelItemKind::kFileEnd)], 0);
  EXPECT_GT(ends[static_cast<size_t>(ChannelItemKind::kDamage)], 0);
}

TEST(ChannelScanTest, GoesOnWhereAWatermarkWas) {
  const TempDir dir;
  ShmWriter writer = MakeWriter(dir.File("channel"));
  absl::StatusOr<ChannelScan> scan = ChannelScan::OpenAt(dir.File("channel"));
  ASSERT_TRUE(scan.ok()) << scan.status();
  EXPECT_EQ(scan->Next().kind, ChannelItemKind::kHeartbeatRecord);
  EXPECT_EQ(scan->Next().kind, ChannelItemKind::kWatermarkMarker);
  EXPECT_EQ(scan->Next().kind, ChannelItemKind::kWatermarkMarker);
  ASSERT_TRUE(writer.Write(AsBytes("hello")).ok());
  const ChannelItem item = scan->Next();
  EXPECT_EQ(item.offset, 8);
  EXPECT_EQ(AsText(item.payload), "hello");
  EXPECT_EQ(*scan->WriterAlive(), true);
}

}  // namespace
}  // namespace kekbit
