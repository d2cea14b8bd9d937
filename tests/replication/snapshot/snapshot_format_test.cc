#include "kekbit/replication/snapshot/snapshot_format.h"

#include <limits>
#include <optional>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(SnapshotFormatTest, AHeaderComesBack) {
  for (const SnapshotCompression compression : {SnapshotCompression::kNone, SnapshotCompression::kZstd}) {
    const SnapshotHeader header = HeaderOf(std::numeric_limits<Seq>::max(), compression, 4096);
    EXPECT_THAT(FromFile(ToFile(header)), IsOkAndHolds(header));
  }
}

TEST(SnapshotFormatTest, ChunksOutOfRangeAreDamage) {
  for (const uint32_t chunk_bytes : {0u, kSnapshotChunkBytesMax + 1}) {
    SnapshotFileHeader file = ToFile(HeaderOf(1));
    file.chunk_bytes = chunk_bytes;
    file.crc32c = HeaderChecksum(file);
    EXPECT_THAT(FromFile(file), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(SnapshotFormatTest, AnUnknownCompressionIsOfANewerProgram) {
  SnapshotFileHeader file = ToFile(HeaderOf(1));
  file.compression = 2;
  file.crc32c = HeaderChecksum(file);
  EXPECT_THAT(FromFile(file), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("compression 2")));
}

TEST(SnapshotFormatTest, NamesAreOfSixteenDigits) {
  EXPECT_EQ(SnapshotName(0), "0000000000000000.snapshot");
  EXPECT_EQ(SnapshotName(0xABC), "0000000000000abc.snapshot");
  EXPECT_EQ(SnapshotName(std::numeric_limits<Seq>::max()), "ffffffffffffffff.snapshot");
  for (const Seq seq : {Seq{0}, Seq{1}, Seq{0xABC}, std::numeric_limits<Seq>::max()}) {
    EXPECT_EQ(ParseSnapshotName(SnapshotName(seq)), seq);
  }
}

TEST(SnapshotFormatTest, OtherNamesAreNoSnapshots) {
  for (const absl::string_view name : {"", ".snapshot", "1.snapshot", "000000000000000A.snapshot",
                                       "00000000000000001.snapshot", "0000000000000001.snapshot.old",
                                       "0000000000000001", "-000000000000001.snapshot", "0x00000000000001.snapshot"}) {
    EXPECT_EQ(ParseSnapshotName(name), std::nullopt) << name;
  }
}

TEST(SnapshotFormatTest, OnlyTheSameTypeOfNoNewerVersionFits) {
  const SnapshotType known = {.data_format = 17, .type_id = 4, .type_version = 2};
  EXPECT_THAT(CheckSnapshotType(known, known), IsOk());
  EXPECT_THAT(CheckSnapshotType({.data_format = 17, .type_id = 4, .type_version = 0}, known), IsOk());
  EXPECT_THAT(
      CheckSnapshotType({.data_format = 17, .type_id = 4, .type_version = 3}, known),
      StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("version 3"), HasSubstr("up to version 2"))));
  EXPECT_THAT(
      CheckSnapshotType({.data_format = 2, .type_id = 4, .type_version = 2}, known),
      StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("data format 2"), HasSubstr("data format 17"))));
  EXPECT_THAT(CheckSnapshotType({.data_format = 17, .type_id = 5, .type_version = 2}, known),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("type 5"), HasSubstr("type 4"))));
}

}  // namespace
}  // namespace kekbit
