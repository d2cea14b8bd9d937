// Without memory for a chunk a snapshot is an error, of the call or of the thread that reads back: never the end of the
// process.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

constexpr size_t kTooMuch = 64 << 10;  // less than a chunk

class SnapshotNoMemoryTest : public testing::TestWithParam<SnapshotCompression> {
 protected:
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> Begin() {
    SnapshotWriterOptions options;
    options.own_threads = true;
    return SnapshotWriter::Begin(fs_, dir_.path(), HeaderOf(1, GetParam()), std::move(options));
  }
  std::string path() const { return dir_.path() + "/" + SnapshotName(1); }

  const TempDir dir_;
  FileSystem& fs_ = FileSystem::Posix();
  const std::vector<uint8_t> state_ = std::vector<uint8_t>(3 << 20, 7);
};

TEST_P(SnapshotNoMemoryTest, NoneIsBegun) {
  const NoMemoryFrom limit(kTooMuch);
  EXPECT_THAT(Begin(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("no memory")));
}

TEST_P(SnapshotNoMemoryTest, NoneIsPublishedThatCouldNotBeReadBack) {
  KB_ASSERT_OK_AND_ASSIGN(auto writer, Begin());
  {
    const NoMemoryFrom limit(kTooMuch);
    absl::Status status = writer->Write(Bytes(state_));
    status.Update(writer->Complete());
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("no memory")));
  }
  writer.reset();
  EXPECT_THAT(fs_.Info(path()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SnapshotNoMemoryTest, NoneIsCalledDamagedThatCanNotBeRead) {
  {
    KB_ASSERT_OK_AND_ASSIGN(auto writer, Begin());
    ASSERT_THAT(writer->Write(Bytes(state_)), IsOk());
    ASSERT_THAT(writer->Complete(), IsOk());
    ASSERT_THAT(writer->Publish(), IsOk());
  }
  std::vector<uint8_t> read(state_.size());
  KB_ASSERT_OK_AND_ASSIGN(auto file, fs_.Open(path(), Access::kRead));
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs_, path()));
  {
    const NoMemoryFrom limit(kTooMuch);
    EXPECT_THAT(VerifySnapshot(*file), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path())));
    EXPECT_THAT(reader->Read(MutableBytes(read)), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path())));
  }
  EXPECT_THAT(VerifySnapshot(*file), IsOk());
}

INSTANTIATE_TEST_SUITE_P(All, SnapshotNoMemoryTest,
                         testing::Values(SnapshotCompression::kNone, SnapshotCompression::kZstd),
                         [](const auto& tested) {
                           return std::string(tested.param == SnapshotCompression::kNone ? "Plain" : "Zstd");
                         });

}  // namespace
}  // namespace kekbit
