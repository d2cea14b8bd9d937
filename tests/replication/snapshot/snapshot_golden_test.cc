// P13: snapshots that released versions wrote are loaded, byte for byte what they were.
//
// The files are in tests/testdata/snapshots. To write those of a new version of the format into a
// directory:
//   KEKBIT_GOLDEN_OUT=DIR bazel-bin/tests/replication/snapshot_golden_test
// Those that are there are never written again.

#include <cereal/types/map.hpp>
#include <cereal/types/string.hpp>
#include <cstdlib>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/state_archive.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

constexpr Seq kSeq = 0x1234'5678'9ABC;

struct Accounts {
  static constexpr uint32_t kSnapshotTypeId = 12;
  static constexpr uint32_t kSnapshotVersion = 4;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(balances);
  }

  std::map<std::string, int64_t> balances;
};

Accounts SomeAccounts() {
  Accounts accounts;
  for (int i = 0; i < 40; ++i) accounts.balances[absl::StrCat("account ", i)] = i % 2 == 0 ? i * 1'000'000'000'007 : -i;
  return accounts;
}

SnapshotHeader GoldenHeader(SnapshotCompression compression) {
  SnapshotHeader header = HeaderOf(kSeq, compression, 300);
  header.type = StateType<Accounts>();
  header.type.state.clear();  // version 1 had no names
  return header;
}

absl::Status WriteGolden(const std::string& directory, SnapshotCompression compression) {
  KB_ASSIGN_OR_RETURN(auto writer, SnapshotWriter::Begin(FileSystem::Posix(), directory, GoldenHeader(compression)));
  KB_RETURN_IF_ERROR(SaveState(SomeAccounts(), *writer));
  KB_RETURN_IF_ERROR(writer->Complete());
  return writer->Publish();
}

std::string PathOf(const std::string& version, SnapshotCompression compression) {
  return absl::StrCat("tests/testdata/snapshots/", version,
                      compression == SnapshotCompression::kNone ? "_plain" : "_zstd", "/", SnapshotName(kSeq));
}

class SnapshotGoldenTest : public testing::TestWithParam<SnapshotCompression> {};

TEST_P(SnapshotGoldenTest, Version1Loads) {
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(FileSystem::Posix(), PathOf("v1", GetParam())));
  EXPECT_EQ(reader->header(), GoldenHeader(GetParam()));
  Accounts loaded;
  ASSERT_THAT(LoadState(*reader, &loaded), IsOk());
  EXPECT_EQ(loaded.balances, SomeAccounts().balances);
}

// The output of zstd for the same bytes may change with its version.
TEST(SnapshotGoldenFileTest, ThePlainOneIsWrittenTheSameWay) {
  const TempDir dir = TempDir::InMemory();
  ASSERT_THAT(WriteGolden(dir.path(), SnapshotCompression::kNone), IsOk());
  EXPECT_EQ(ReadFileBytes(dir.File(SnapshotName(kSeq))), ReadFileBytes(PathOf("v1", SnapshotCompression::kNone)));
}

INSTANTIATE_TEST_SUITE_P(All, SnapshotGoldenTest,
                         testing::Values(SnapshotCompression::kNone, SnapshotCompression::kZstd));

TEST(SnapshotGoldenFileTest, WritesThemWhereItIsTold) {
  const char* const directory = std::getenv("KEKBIT_GOLDEN_OUT");
  if (directory == nullptr) GTEST_SKIP() << "not told";
  ASSERT_THAT(WriteGolden(absl::StrCat(directory, "/v1_plain"), SnapshotCompression::kNone), IsOk());
  ASSERT_THAT(WriteGolden(absl::StrCat(directory, "/v1_zstd"), SnapshotCompression::kZstd), IsOk());
}

}  // namespace
}  // namespace kekbit
