// The example in snapshot_format.md is true: its bytes read as the page says, and the calls that
// the page names make them.

#include <sstream>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

const SnapshotHeader kHeader = {
    .last = {.position = {.epoch = 3, .seq = 42}, .crc32c = 0xBC36'FBF6, .time_ns = 1'700'000'000'000'000'000},
    .type = {.data_format = 2, .type_id = 7, .type_version = 1},
    .compression = SnapshotCompression::kNone,
    .chunk_bytes = 8};
constexpr absl::string_view kState = "hello, ada";

// The bytes that the document's block of hexadecimal digits shows; what it leaves out is zero.
std::string BytesOfTheDocument() {
  std::istringstream document(ReadFileBytes("replication/snapshot/snapshot_format.md"));
  std::string line;
  while (std::getline(document, line) && line != "```hex") {
  }
  std::string bytes;
  while (std::getline(document, line) && line != "```") {
    // Columns: offset up to 5, bytes from 7 to 55.
    const size_t at = std::stoul(line.substr(0, 5));
    bytes.resize(at, '\0');
    std::istringstream digits(line.substr(7, 48));
    for (std::string byte; digits >> byte;) bytes += static_cast<char>(std::stoul(byte, nullptr, 16));
  }
  return bytes;
}

TEST(SnapshotFormatDocTest, TheBytesReadAsTheDocumentSays) {
  const TempDir dir = TempDir::InMemory();
  const std::string path = dir.File("000000000000002a.snapshot");
  EXPECT_EQ(SnapshotName(42), "000000000000002a.snapshot");
  WriteFileBytes(path, BytesOfTheDocument());
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(FileSystem::Posix(), path));
  EXPECT_EQ(reader->header(), kHeader);
  EXPECT_THAT(ReadState(*reader), IsOkAndHolds(kState));
}

TEST(SnapshotFormatDocTest, TheCallsMakeTheBytes) {
  const TempDir dir = TempDir::InMemory();
  ASSERT_THAT(WriteSnapshot(FileSystem::Posix(), dir.path(), kHeader, kState), IsOk());
  const std::string written = ReadFileBytes(dir.File(SnapshotName(42)));
  const std::string documented = BytesOfTheDocument();
  ASSERT_EQ(written.size(), documented.size());
  for (size_t i = 0; i < written.size(); ++i) {
    ASSERT_EQ(static_cast<int>(written[i]), static_cast<int>(documented[i])) << "byte " << i;
  }
}

}  // namespace
}  // namespace kekbit
