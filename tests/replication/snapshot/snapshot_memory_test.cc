// A snapshot of many chunks takes the memory of a few, on its way out and back.

#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

constexpr uint64_t kStateBytes = 100 << 20;

// 100 MB that are never in memory at once.
uint64_t WordAt(uint64_t i) { return (i * 0x9E37'79B9'7F4A'7C15) >> (i % 48); }

class SnapshotMemoryTest : public testing::TestWithParam<SnapshotCompression> {};

TEST_P(SnapshotMemoryTest, AHundredMegabytesAreStreamedInTheMemoryOfAFewChunks) {
  const TempDir dir;
  FileSystem& fs = FileSystem::Posix();
  {
    const AllocationMeter meter;
    KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs, dir.path(), HeaderOf(1, GetParam())));
    for (uint64_t i = 0; i < kStateBytes / 8; ++i) {
      const uint64_t word = WordAt(i);
      ASSERT_TRUE(writer->Write(Bytes(reinterpret_cast<const uint8_t*>(&word), sizeof word)).ok());
    }
    ASSERT_THAT(writer->Complete(), IsOk());
    ASSERT_THAT(writer->Publish(), IsOk());
    EXPECT_LT(meter.total_bytes(), 8u << 20);
  }
  const AllocationMeter meter;
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs, dir.path() + "/" + SnapshotName(1)));
  ASSERT_EQ(reader->left(), kStateBytes);
  for (uint64_t i = 0; i < kStateBytes / 8; ++i) {
    uint64_t word = 0;
    ASSERT_TRUE(reader->Read(MutableBytes(reinterpret_cast<uint8_t*>(&word), sizeof word)).ok());
    ASSERT_EQ(word, WordAt(i));
  }
  ASSERT_THAT(reader->Finish(), IsOk());
  EXPECT_LT(meter.total_bytes(), 4u << 20);
}

INSTANTIATE_TEST_SUITE_P(All, SnapshotMemoryTest,
                         testing::Values(SnapshotCompression::kNone, SnapshotCompression::kZstd),
                         [](const auto& tested) {
                           return std::string(tested.param == SnapshotCompression::kNone ? "Plain" : "Zstd");
                         });

}  // namespace
}  // namespace kekbit
