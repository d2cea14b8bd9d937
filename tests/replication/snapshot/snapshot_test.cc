// Writing a snapshot and reading it back; damage; whatever fails or stops a writer.

#include <sched.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"
#include "kekbit/replication/snapshot/snapshot_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr SnapshotCompression kBoth[] = {SnapshotCompression::kNone, SnapshotCompression::kZstd};

class SnapshotTest : public testing::Test {
 protected:
  std::string PathOf(Seq seq) const { return directory_ + "/" + SnapshotName(seq); }

  TempDir dir_ = TempDir::InMemory();
  std::string directory_ = dir_.File("snapshots");
  FaultyFileSystem fs_;
};

TEST_F(SnapshotTest, ComesBackInEverySizeAndCompression) {
  for (const SnapshotCompression compression : kBoth) {
    for (const size_t size : {0, 1, 9, 63, 64, 65, 127, 128, 129, 1000, 64 * 64, 100'000}) {
      for (const bool noise : {false, true}) {
        const std::string state = noise ? NoiseOf(size) : TextOfSize(size);
        const SnapshotHeader header = HeaderOf(1000 + size, compression, 64);
        const std::string path = PathOf(1000 + size);
        ASSERT_THAT(WriteSnapshot(fs_, directory_, header, state), IsOk());
        for (const size_t step : {size_t{1}, size_t{64}, size + 1}) {
          EXPECT_EQ(ReadSnapshot(path, step).value(), state) << size << " in steps of " << step;
        }
        KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs_, path));
        EXPECT_EQ(reader->header(), header);
        EXPECT_EQ(reader->left(), size);
        ASSERT_THAT(fs_.Unlink(path), IsOk());
      }
    }
  }
}

TEST_F(SnapshotTest, ManySmallWritesGiveTheBytesOfOneLargeOne) {
  const std::string state = NoiseOf(10'000);
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(5, SnapshotCompression::kNone, 256), state), IsOk());
  const std::string at_once = ReadFileBytes(PathOf(5));
  ASSERT_THAT(fs_.Unlink(PathOf(5)), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(
      auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(5, SnapshotCompression::kNone, 256), NoThread()));
  for (size_t at = 0, step = 0; at < state.size(); at += step, step = (step + 7) % 600) {
    ASSERT_THAT(writer->Write(AsBytes(absl::string_view(state).substr(at, step))), IsOk());
  }
  ASSERT_THAT(writer->Complete(), IsOk());
  ASSERT_THAT(writer->Publish(), IsOk());
  EXPECT_EQ(ReadFileBytes(PathOf(5)), at_once);
}

TEST_F(SnapshotTest, ZstdMakesItSmallerAndLeavesAloneWhatItCannot) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kZstd), TextOfSize(100'000)), IsOk());
  EXPECT_LT(ReadFileBytes(PathOf(1)).size(), 5000u);
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(2, SnapshotCompression::kZstd), NoiseOf(100'000)), IsOk());
  EXPECT_EQ(ReadFileBytes(PathOf(2)).size(), 100'000u + 128 + 16 + 48);
}

TEST_F(SnapshotTest, HasNoNameBeforeItIsPublished) {
  KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1)));
  ASSERT_THAT(writer->Write(AsBytes("state")), IsOk());
  EXPECT_EQ(dir_.Listing(), "snapshots");
  ASSERT_THAT(writer->Complete(), IsOk());
  EXPECT_EQ(dir_.Listing(), "snapshots");
  ASSERT_THAT(writer->Publish(), IsOk());
  EXPECT_EQ(dir_.Listing(), "snapshots snapshots/0000000000000001.snapshot");
}

TEST_F(SnapshotTest, IsSyncedAndReadBackFromTheDeviceBeforeItHasItsName) {
  fs_.Heal();
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "state"), IsOk());
  const std::vector<std::string> calls = fs_.calls();
  const auto place = [&calls](const std::string& name) {
    return std::find(calls.rbegin(), calls.rend(), name).base() - calls.begin();
  };
  ASSERT_THAT(calls, Contains("ReadAt"));
  EXPECT_LT(place("WriteAt"), place("File::Sync"));
  EXPECT_LT(place("File::Sync"), std::find(calls.begin(), calls.end(), "DropCache") - calls.begin() + 1);
  EXPECT_LT(std::find(calls.begin(), calls.end(), "DropCache") - calls.begin() + 1, place("ReadAt"));
  EXPECT_LT(place("ReadAt"), place("LinkTo"));
  EXPECT_LT(place("LinkTo"), place("SyncDirectory"));
}

TEST_F(SnapshotTest, EveryFlippedByteIsFound) {
  for (const SnapshotCompression compression : kBoth) {
    ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, compression, 64), TextOfSize(300)), IsOk());
    const std::string good = ReadFileBytes(PathOf(1));
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ flip);
        WriteFileBytes(PathOf(1), bad);
        EXPECT_THAT(ReadSnapshot(PathOf(1)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PathOf(1))))
            << "byte " << at << " of " << good.size();
        KB_ASSERT_OK_AND_ASSIGN(const auto file, fs_.Open(PathOf(1), Access::kRead));
        EXPECT_THAT(VerifySnapshot(*file), StatusIs(absl::StatusCode::kDataLoss)) << "byte " << at;
      }
    }
    ASSERT_THAT(fs_.Unlink(PathOf(1)), IsOk());
  }
}

TEST_F(SnapshotTest, EveryTruncationAndEveryExtraByteIsFound) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 64), NoiseOf(300)), IsOk());
  const std::string good = ReadFileBytes(PathOf(1));
  for (size_t size = 0; size < good.size(); ++size) {
    WriteFileBytes(PathOf(1), good.substr(0, size));
    // Before a byte of it is read.
    EXPECT_THAT(SnapshotReader::Open(fs_, PathOf(1)).status(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PathOf(1))))
        << size;
    // The length is the same, but the rest never reached the device.
    WriteFileBytes(PathOf(1), good.substr(0, size) + std::string(good.size() - size, '\0'));
    EXPECT_THAT(ReadSnapshot(PathOf(1)), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  for (const std::string& extra : {std::string(1, '\0'), std::string(48, '\0'), good}) {
    WriteFileBytes(PathOf(1), good + extra);
    EXPECT_THAT(ReadSnapshot(PathOf(1)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PathOf(1))));
  }
}

TEST_F(SnapshotTest, ChunksThatAreExchangedMissingOrOfAnotherSnapshotAreFound) {
  constexpr size_t kStep = 16 + 64;
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 64), NoiseOf(192)), IsOk());
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(2, SnapshotCompression::kNone, 64), NoiseOf(192)), IsOk());
  const std::string one = ReadFileBytes(PathOf(1));
  const std::string two = ReadFileBytes(PathOf(2));
  const auto chunk = [](const std::string& file, size_t n) { return file.substr(128 + n * kStep, kStep); };
  const std::string head = one.substr(0, 128);
  const std::string tail = one.substr(128 + 3 * kStep);
  ASSERT_EQ(head + chunk(one, 0) + chunk(one, 1) + chunk(one, 2) + tail, one);
  for (const std::string& bad :
       {head + chunk(one, 1) + chunk(one, 0) + chunk(one, 2) + tail, head + chunk(one, 0) + chunk(one, 2) + tail,
        head + chunk(two, 0) + chunk(two, 1) + chunk(two, 2) + tail, head + two.substr(128)}) {
    WriteFileBytes(PathOf(1), bad);
    EXPECT_THAT(ReadSnapshot(PathOf(1)), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(SnapshotTest, ATrailerThatPromisesMoreThanTheFileCanHoldIsDamage) {
  const std::string state = NoiseOf(100);
  const auto open = [&](uint32_t raw_bytes, uint64_t claimed, uint64_t chunks) {
    WriteFileBytes(dir_.File("file"), SnapshotAround(AsBytes(state), {}, 64, raw_bytes, claimed, chunks));
    return SnapshotReader::Open(fs_, dir_.File("file")).status();
  };
  EXPECT_THAT(open(0, 100, 2), IsOk());
  EXPECT_THAT(open(0, 101, 2), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("101 bytes of the state")));
  EXPECT_THAT(open(0, 84, 3), IsOk());  // for whom reads on
  EXPECT_THAT(open(64, 128, 2), IsOk());
  EXPECT_THAT(open(64, 129, 2), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(open(64, uint64_t{1} << 63, uint64_t{1} << 58), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SnapshotTest, DamageIsReportedWithPathOffsetAndBothNumbers) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 64), NoiseOf(192)), IsOk());
  std::string bytes = ReadFileBytes(PathOf(1));
  bytes[128 + 80 + 20] ^= 1;
  WriteFileBytes(PathOf(1), bytes);
  EXPECT_THAT(ReadSnapshot(PathOf(1)), StatusIs(absl::StatusCode::kDataLoss,
                                                AllOf(HasSubstr(PathOf(1)), HasSubstr("damaged at offset 208"),
                                                      HasSubstr("chunk 2 has the checksum 0x"), HasSubstr("not 0x"))));
}

TEST_F(SnapshotTest, NoByteOfADamagedChunkIsHandedOut) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 64), NoiseOf(192)), IsOk());
  std::string bytes = ReadFileBytes(PathOf(1));
  bytes[128 + 80 + 79] ^= 1;
  WriteFileBytes(PathOf(1), bytes);
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs_, PathOf(1)));
  uint8_t byte = 0;
  for (int i = 0; i < 64; ++i) ASSERT_THAT(reader->Read(MutableBytes(&byte, 1)), IsOk());
  EXPECT_THAT(reader->Read(MutableBytes(&byte, 1)), StatusIs(absl::StatusCode::kDataLoss));
  // The error stays for good.
  EXPECT_THAT(reader->Read(MutableBytes(&byte, 1)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(reader->Finish(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SnapshotTest, ReadingBeyondTheEndAndStoppingBeforeItAreErrors) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "four"), IsOk());
  uint8_t bytes[5];
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs_, PathOf(1)));
  EXPECT_THAT(reader->Read(MutableBytes(bytes)), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                          AllOf(HasSubstr("5 more bytes"), HasSubstr("4 are left"))));
  KB_ASSERT_OK_AND_ASSIGN(reader, SnapshotReader::Open(fs_, PathOf(1)));
  ASSERT_THAT(reader->Read(MutableBytes(bytes, 3)), IsOk());
  EXPECT_THAT(reader->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1 of 4 bytes")));
}

TEST_F(SnapshotTest, ANewerFormatIsNoDamage) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "state"), IsOk());
  std::string bytes = ReadFileBytes(PathOf(1));
  auto header = LoadUnaligned<SnapshotFileHeader>(AsBytes(bytes).data());
  header.version = 2;
  header.crc32c = HeaderChecksum(header);
  StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()), header);
  WriteFileBytes(PathOf(1), bytes);
  EXPECT_THAT(ReadSnapshot(PathOf(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(PathOf(1)), HasSubstr("version 2"), HasSubstr("up to version 1"))));
}

// P9: whatever call fails, no bad snapshot has a good name, and nothing is left that takes room.
TEST_F(SnapshotTest, EveryCallThatFailsLeavesNoBadSnapshot) {
  const std::string state = NoiseOf(1000);
  const SnapshotHeader header = HeaderOf(1, SnapshotCompression::kNone, 64);
  SnapshotWriterOptions options = NoThread();
  options.free_bytes_min = 1;
  for (uint64_t n = 1;; ++n) {
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"));
    const absl::Status written = WriteSnapshot(fs_, directory_, header, state, options);
    if (!fs_.failed()) {
      ASSERT_THAT(written, IsOk());
      EXPECT_GT(n, 60u);
      break;
    }
    EXPECT_THAT(written, StatusIs(absl::StatusCode::kResourceExhausted)) << fs_.failed_call();
    EXPECT_THAT(dir_.Listing(), AnyOf("", "snapshots")) << fs_.failed_call();
  }
  EXPECT_EQ(ReadSnapshot(PathOf(1)).value(), state);
}

TEST_F(SnapshotTest, AnErrorThatNobodyLookedAtIsNotForgotten) {
  KB_ASSERT_OK_AND_ASSIGN(
      auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 64), NoThread()));
  fs_.FailCall(1, absl::ResourceExhaustedError("planted"));  // once
  writer->Write(AsBytes(NoiseOf(200))).IgnoreError();
  ASSERT_TRUE(fs_.failed());
  EXPECT_THAT(writer->Write(AsBytes("more")), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  EXPECT_THAT(writer->Complete(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(writer->Publish(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(dir_.Listing(), "snapshots");
}

TEST_F(SnapshotTest, AnErrorOfTheThreadIsAnErrorOfTheWriter) {
  const std::string state(SnapshotFlusher::kStepBytes / 4, 'x');
  fs_.FailCalls("File::Sync", absl::DataLossError("planted"));
  KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1)));
  absl::Status status;
  // Write more than a writer may be ahead of the thread, so that it must have heard of the error.
  for (int i = 0; i < 24 && status.ok(); ++i) status = writer->Write(AsBytes(state));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("planted")));
  fs_.Heal();
  EXPECT_THAT(writer->Complete(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(fs_.calls(), Not(Contains("File::Sync"))) << "a sync was tried again";
  EXPECT_THAT(writer->Publish(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(dir_.Listing(), "snapshots");
}

// By the thread that reads back.
TEST_F(SnapshotTest, WhatIsNotReadBackAsItWasWrittenIsNotPublished) {
  fs_.FailCalls("ReadAt", absl::DataLossError("planted"));
  EXPECT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), NoiseOf(100), SnapshotWriterOptions()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("planted")));
  EXPECT_EQ(dir_.Listing(), "snapshots");
}

TEST_F(SnapshotTest, AFailedSyncIsNotTriedAgainAtTheEnd) {
  std::atomic<bool> written = false;
  fs_.FailCalls("File::Sync", absl::DataLossError("planted"));
  fs_.BeforeCall("File::Sync", [&] {
    while (!written) ::sched_yield();
  });
  KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1)));
  // One step, whose sync fails when the writer does not look.
  ASSERT_THAT(writer->Write(AsBytes(std::string(SnapshotFlusher::kStepBytes, 'x'))), IsOk());
  written = true;
  while (!fs_.failed()) ::sched_yield();
  fs_.Heal();
  EXPECT_THAT(writer->Complete(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("planted")));
  EXPECT_THAT(fs_.calls(), Not(Contains("File::Sync")));
}

TEST_F(SnapshotTest, TheWriterWaitsForASlowDevice) {
  std::atomic<uint64_t> file_bytes = 0;
  std::atomic<uint64_t> ahead_max = 0;
  fs_.BeforeCall("File::Sync", [&] {
    // The first sync takes as long as the writer gets on, and a while longer.
    while (file_bytes < SnapshotFlusher::kAheadBytesMax - 2 * kSnapshotChunkBytes) ::sched_yield();
    for (int i = 0; i < 10'000; ++i) ::sched_yield();
    ahead_max = file_bytes.load();
  });
  SnapshotWriterOptions options;
  options.progress = [&](const SnapshotProgress& progress) { file_bytes = progress.file_bytes; };
  ASSERT_THAT(
      WriteSnapshot(fs_, directory_, HeaderOf(1),
                    std::string(SnapshotFlusher::kAheadBytesMax + 4 * SnapshotFlusher::kStepBytes, 'x'), options),
      IsOk());
  EXPECT_LE(ahead_max, SnapshotFlusher::kAheadBytesMax + 2 * kSnapshotChunkBytes);
}

TEST_F(SnapshotTest, CancelStopsItWhereverItIs) {
  for (const int when : {0, 1, 2, 3}) {
    KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1), {}));
    if (when == 0) writer->Cancel();
    absl::Status status = writer->Write(AsBytes(NoiseOf(3 << 20)));
    if (when == 1) writer->Cancel();
    if (status.ok()) status = writer->Write(AsBytes(NoiseOf(3 << 20)));
    if (when == 2) writer->Cancel();
    if (status.ok()) status = writer->Complete();
    if (when == 3) writer->Cancel();
    if (status.ok()) status = writer->Publish();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled, HasSubstr(PathOf(1)))) << when;
    writer.reset();
    EXPECT_EQ(dir_.Listing(), "snapshots");
  }
}

TEST_F(SnapshotTest, CancelWithinTheStateStopsItAtTheNextChunk) {
  SnapshotWriter* to_cancel = nullptr;
  uint64_t seen = 0;
  SnapshotWriterOptions options;
  options.progress = [&](const SnapshotProgress& progress) {
    seen = progress.raw_bytes;
    if (seen >= 5 * kSnapshotChunkBytes) to_cancel->Cancel();
  };
  KB_ASSERT_OK_AND_ASSIGN(auto writer, SnapshotWriter::Begin(fs_, directory_, HeaderOf(1), options));
  to_cancel = writer.get();
  EXPECT_THAT(writer->Write(AsBytes(NoiseOf(20 << 20))), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(seen, 5 * kSnapshotChunkBytes);
}

TEST_F(SnapshotTest, ReportsProgress) {
  std::vector<SnapshotProgress> reports;
  SnapshotWriterOptions options = NoThread();
  options.progress = [&reports](const SnapshotProgress& progress) { reports.push_back(progress); };
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 1000), NoiseOf(2500), options),
              IsOk());
  ASSERT_EQ(reports.size(), 5u);  // three chunks, complete, published
  EXPECT_EQ(reports[0].raw_bytes, 1000u);
  EXPECT_EQ(reports[2].raw_bytes, 2500u);
  EXPECT_FALSE(reports[3].done);
  EXPECT_EQ(reports[3].verified_bytes, reports[3].file_bytes);
  EXPECT_EQ(reports[3].file_bytes, ReadFileBytes(PathOf(1)).size());
  EXPECT_TRUE(reports[4].done);
}

TEST_F(SnapshotTest, AKilledWriterLeavesNothing) {
  ASSERT_THAT(fs_.CreateDirectories(directory_), IsOk());
  for (uint64_t n = 0; n < 8; ++n) {
    SharedWords words(1);
    ChildProcess child([&] {
      SnapshotWriterOptions options;
      options.progress = [&](const SnapshotProgress& progress) {
        words.Set(0, progress.raw_bytes >> 20);
        if (progress.raw_bytes >> 20 == n + 1) ::pause();
      };
      return WriteSnapshot(fs_, directory_, HeaderOf(1), NoiseOf(10 << 20), options).ok() ? 0 : 1;
    });
    words.AwaitAtLeast(0, n + 1);
    child.Kill();
    EXPECT_EQ(dir_.Listing(), "snapshots");
  }
}

TEST_F(SnapshotTest, AGoodSnapshotOfTheSameSeqStaysAndADamagedOneIsReplaced) {
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "first"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const FileInfo first, fs_.Info(PathOf(1)));
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "first"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(const FileInfo still, fs_.Info(PathOf(1)));
  EXPECT_TRUE(still.SameFile(first));

  WriteFileBytes(PathOf(1), "rubbish");
  ASSERT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "second"), IsOk());
  EXPECT_EQ(ReadSnapshot(PathOf(1)).value(), "second");

  // The seq is the same, in another history.
  SnapshotHeader other = HeaderOf(1);
  other.last.position.epoch += 1;
  ASSERT_THAT(WriteSnapshot(fs_, directory_, other, "third"), IsOk());
  EXPECT_EQ(ReadSnapshot(PathOf(1)).value(), "third");
}

TEST_F(SnapshotTest, ASnapshotGivesUpBeforeItFillsTheDisk) {
  SnapshotWriterOptions options = NoThread();
  options.free_bytes_min = uint64_t{1} << 60;
  EXPECT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1), "state", options),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr(PathOf(1)), HasSubstr("are free"), HasSubstr(absl::StrCat(uint64_t{1} << 60)))));
  EXPECT_EQ(dir_.Listing(), "snapshots");
}

TEST_F(SnapshotTest, WrongOptionsAreRefused) {
  EXPECT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, 0), ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kNone, kSnapshotChunkBytesMax + 1), ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  SnapshotWriterOptions options = NoThread();
  options.zstd_level = 1000;
  EXPECT_THAT(WriteSnapshot(fs_, directory_, HeaderOf(1, SnapshotCompression::kZstd), "", options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1000")));
  EXPECT_EQ(dir_.Listing(), "");
}

}  // namespace
}  // namespace kekbit
