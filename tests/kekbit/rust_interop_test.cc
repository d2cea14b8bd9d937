// Interoperation with the Rust library kekbit: its files read as its own reader read them, and ours
// have the bytes that its writer makes. P13 begins here: these files open in every version.

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/rust_samples.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

TickUnit UnitNamed(const std::string& name) {
  return std::map<std::string, TickUnit>{{"Nanos", TickUnit::kNanos},
                                         {"Micros", TickUnit::kMicros},
                                         {"Millis", TickUnit::kMillis},
                                         {"Secs", TickUnit::kSecs}}
      .at(name);
}

// Returns where each record begins: a heartbeat's position is seen by MoveTo alone, a record's by
// position() before.
std::vector<uint64_t> Positions(ShmReader& reader) {
  std::vector<uint64_t> positions;
  while (const std::optional<Bytes> payload = reader.TryRead()) {
    positions.push_back(reader.position() - RecordBytes(payload->size()));
  }
  return positions;
}

class RustSampleTest : public testing::TestWithParam<RustSample> {};

INSTANTIATE_TEST_SUITE_P(Each, RustSampleTest, testing::ValuesIn(RustSamples()), [](const auto& param) {
  std::string name = param.param.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

TEST(RustSamplesTest, TheManifestNamesAllOfThem) {
  EXPECT_EQ(RustSamples().size(), 10u);
  size_t records = 0;
  for (const RustSample& sample : RustSamples()) records += sample.records.size();
  EXPECT_EQ(records, 13u + 0u + 0u + 10u + 14u + 3u + 14u + 1u + 12u + 16u);
}

TEST_P(RustSampleTest, HeaderIsThatOfTheManifest) {
  const RustSample& sample = GetParam();
  const ShmReader reader = MakeReader(sample.path);
  EXPECT_EQ(reader.header().version(), (Version{1, 0, 0}));
  EXPECT_EQ(reader.header().writer_id(), sample.writer_id);
  EXPECT_EQ(reader.header().channel_id(), sample.channel_id);
  EXPECT_EQ(reader.header().capacity(), sample.capacity);
  EXPECT_EQ(reader.header().max_msg_len(), sample.max_msg_len);
  EXPECT_EQ(reader.header().timeout(), sample.timeout);
  EXPECT_EQ(reader.header().creation_time(), sample.creation_time);
  EXPECT_EQ(reader.header().tick_unit(), UnitNamed(sample.tick_unit));
  EXPECT_FALSE(reader.extension().has_value());
  EXPECT_EQ(ReadFileBytes(sample.path).size(), sample.file_length);
}

TEST_P(RustSampleTest, RecordsAreThoseOfTheManifest) {
  const RustSample& sample = GetParam();
  ShmReader reader = MakeReader(sample.path);
  EXPECT_EQ(ReadAll(reader), sample.Payloads());
  EXPECT_EQ(reader.position(), sample.end);
  EXPECT_EQ(reader.channel_end(), sample.closed ? ChannelEnd::kClosed : ChannelEnd::kNone);
  EXPECT_THAT(reader.status(), IsOk());
}

TEST_P(RustSampleTest, PositionsAreThoseOfTheManifest) {
  const RustSample& sample = GetParam();
  std::vector<uint64_t> expected;
  for (const RustSample::Record& record : sample.records) {
    if (!record.payload.empty()) expected.push_back(record.position);
  }
  ShmReader reader = MakeReader(sample.path);
  EXPECT_EQ(Positions(reader), expected);
  // Heartbeats are places, too, and so is the end; nothing else is.
  size_t next = 0;
  for (uint64_t position = 0; position <= sample.end; ++position) {
    const bool is_place = position == sample.end ||
                          (next < sample.records.size() && sample.records[next].position == position && ++next != 0);
    EXPECT_EQ(reader.MoveTo(position).ok(), is_place) << position;
  }
}

// At each length, what is read is a prefix of the records. Then the channel waits, ends, or is in
// error.
TEST_P(RustSampleTest, CutAnywhereItGivesAPrefix) {
  const RustSample& sample = GetParam();
  const std::vector<std::string> payloads = sample.Payloads();
  const std::string whole = ReadFileBytes(sample.path);
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("cut");
  // All lengths where there is something, and some of the rest.
  std::vector<size_t> sizes;
  for (size_t size = 0; size < kDataOffset + sample.end + 40; ++size) sizes.push_back(size);
  std::mt19937 random(301);
  for (int i = 0; i < 200; ++i) sizes.push_back(random() % whole.size());
  for (const size_t size : sizes) {
    WriteFileBytes(path, absl::string_view(whole).substr(0, size));
    absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path);
    if (size < kHeaderBytes) {
      EXPECT_THAT(reader, StatusIs(absl::StatusCode::kDataLoss));
      continue;
    }
    ASSERT_THAT(reader, IsOk());
    const std::vector<std::string> read = ReadAll(*reader);
    ASSERT_LE(read.size(), payloads.size());
    EXPECT_TRUE(std::equal(read.begin(), read.end(), payloads.begin())) << "cut to " << size;
    const bool all = size >= kDataOffset + sample.end + kLengthBytes;
    if (all) {
      EXPECT_EQ(read.size(), payloads.size());
      EXPECT_THAT(reader->status(), IsOk());
    } else {
      EXPECT_EQ(reader->channel_end(), ChannelEnd::kFileEnd) << "cut to " << size;
      EXPECT_THAT(reader->status(), StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

// The file after the same calls as the sample's: after its closing, or before.
std::string WrittenByUs(const RustSample& sample, const std::string& path, bool close) {
  HeaderOptions options = {.writer_id = sample.writer_id,
                           .channel_id = sample.channel_id,
                           .capacity = sample.capacity,
                           .max_msg_len = sample.max_msg_len - 8,  // the hint of the caller
                           .timeout = sample.timeout,
                           .tick_unit = UnitNamed(sample.tick_unit),
                           .creation_time = sample.creation_time};
  std::string abandoned;
  {
    ShmWriter writer = MakeWriter(path, options);
    // The first heartbeat is the writer's own.
    for (size_t i = 1; i < sample.records.size(); ++i) {
      const std::string& payload = sample.records[i].payload;
      EXPECT_EQ(writer.write_offset(), sample.records[i].position);
      const absl::StatusOr<uint64_t> written = payload.empty() ? writer.Heartbeat() : writer.Write(AsBytes(payload));
      EXPECT_THAT(written, IsOk());
    }
    EXPECT_EQ(writer.write_offset(), sample.end);
    abandoned = ReadFileBytes(path);
  }
  return close ? ReadFileBytes(path) : abandoned;
}

TEST(RustInteropTest, ForTheSameCallsTheBytesAreThoseOfVersion022) {
  const TempDir dir = TempDir::InMemory();
  int compared = 0;
  for (const RustSample& sample : RustSamples()) {
    if (!absl::StartsWith(sample.name, "v0.2.2/")) continue;
    SCOPED_TRACE(sample.name);
    std::string ours = WrittenByUs(sample, dir.File(absl::StrCat(sample.channel_id)), sample.closed);
    const std::string theirs = ReadFileBytes(sample.path);
    ASSERT_GE(ours.size(), theirs.size());
    EXPECT_EQ(ours.size(), ChannelFileBytes(sample.capacity));
    // The one difference that is meant: see extension.h.
    EXPECT_EQ(theirs.substr(kHeaderBytes, kDataOffset - kHeaderBytes), std::string(kDataOffset - kHeaderBytes, '\0'));
    ours.replace(kHeaderBytes, kDataOffset - kHeaderBytes, kDataOffset - kHeaderBytes, '\0');
    for (size_t i = 0; i < theirs.size(); ++i) {
      ASSERT_EQ(static_cast<int>(ours[i]), static_cast<int>(theirs[i])) << "byte " << i;
    }
    EXPECT_EQ(ours.substr(theirs.size()), std::string(ours.size() - theirs.size(), '\0'));
    ++compared;
  }
  EXPECT_EQ(compared, 4);
}

// Our file as the Rust library would have made it: the reader takes the short file for full, not
// for cut.
TEST(RustInteropTest, AFullFileOfTheRustLibraryEndsWhereItsFileDoes) {
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("full");
  {
    ShmWriter writer = MakeWriter(path);
    while (writer.Write(AsBytes("0123456789")).ok()) {
    }
  }
  std::string bytes = ReadFileBytes(path);
  bytes.replace(kHeaderBytes, kDataOffset - kHeaderBytes, kDataOffset - kHeaderBytes, '\0');
  bytes.resize(kHeaderBytes + kCapacityMin + kFooterBytes);
  WriteFileBytes(path, bytes);
  ShmReader reader = MakeReader(path);
  EXPECT_EQ(ReadAll(reader).size(), (kCapacityMin - 864 - 8) / 24);
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kFull);
  EXPECT_THAT(reader.status(), IsOk());
  bytes.resize(bytes.size() - 1);
  WriteFileBytes(path, bytes);
  ShmReader cut = MakeReader(path);
  ReadAll(cut);
  EXPECT_EQ(cut.channel_end(), ChannelEnd::kFileEnd);
}

}  // namespace
}  // namespace kekbit
