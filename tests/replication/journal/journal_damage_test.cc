// Each byte of a journal of three segments changed: found where it matters, and never a wrong
// frame.

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/shm_reader.h"
#include "tests/support/checked_payload.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr size_t kLongest = 80;

// Use says what a byte of a segment's file is for.
enum class Use { kBlock, kUnused, kLength, kFrame, kPadding, kClose };

class JournalDamageTest : public testing::Test {
 protected:
  JournalDamageTest() {
    JournalWriter writer = journal_.Begin();
    for (uint64_t i = 0; journal_.Segments().size() < 3 || i % 7 != 0; ++i) {
      const std::vector<uint8_t> command = CheckedPayload(i, kLongest);
      ValueOrDie(Append(writer, AsText(command)));
      commands_.emplace_back(AsText(command));
      // The second and third segment begin with a command.
      first_seq_.resize(journal_.Segments().size() + 1, writer.last().position.seq);
    }
  }

  // The use of each byte of a segment's file, found by a plain walk over its records.
  std::vector<Use> UsesOf(SegmentNumber number) const {
    std::vector<Use> uses(ReadFileBytes(journal_.layout().segment(number)).size(), Use::kUnused);
    const auto mark = [&uses](uint64_t from, uint64_t to, Use use) {
      for (uint64_t i = from; i < to; ++i) uses[i] = use;
    };
    mark(0, kExtensionOffset + 120, Use::kBlock);  // the fields, and the label
    ShmReader reader = ValueOrDie(ShmReader::OpenAt(journal_.layout().segment(number), {.heartbeats = false}));
    uint64_t at = kDataOffset;
    while (const std::optional<Bytes> record = reader.TryRead()) {
      mark(at, at + kLengthBytes, Use::kLength);
      mark(at + kLengthBytes, at + kLengthBytes + record->size(), Use::kFrame);
      mark(at + kLengthBytes + record->size(), kDataOffset + reader.position(), Use::kPadding);
      at = kDataOffset + reader.position();
    }
    EXPECT_TRUE(reader.exhausted() && reader.status().ok());
    mark(at, at + kLengthBytes, Use::kClose);
    return uses;
  }

  struct ReadBack {
    size_t read;  // how many commands, with those before `from`
    bool equal = true;
    absl::Status status = absl::OkStatus();
    friend bool operator==(const ReadBack&, const ReadBack&) = default;
  };

  ReadBack Read(Seq from, bool in_batches) const {
    ReadBack back = {.read = from - 2};  // the first frame is the epoch's, the next one the first command
    auto reader = ReadJournal(FileSystem::Posix(), journal_.layout(), kTestDataFormat, from);
    if (!reader.ok()) {
      back.status = reader.status();
      return back;
    }
    const auto take = [this, &back](const Frame& frame) {
      back.equal = back.equal && back.read < commands_.size() && AsText(frame.payload) == commands_[back.read++];
    };
    if (in_batches) {
      for (auto batch = reader->NextBatch(); !batch.empty(); batch = reader->NextBatch()) {
        for (const Frame& frame : batch) take(frame);
      }
    } else {
      while (const std::optional<Frame> frame = reader->Next()) take(*frame);
    }
    back.status = reader->status();
    return back;
  }

  // Reads all with `mask` over the byte at `offset` of the segment's file, and checks what comes of
  // it.
  void Check(SegmentNumber number, uint64_t offset, Use use, uint8_t mask) {
    const std::string path = journal_.layout().segment(number);
    Flip(path, offset, mask);
    const Seq from = first_seq_[number];
    const ReadBack back = Read(from, /*in_batches=*/false);
    const auto& [read, equal, status] = back;
    const bool same_in_batches = Read(from, /*in_batches=*/true) == back;
    Flip(path, offset, mask);
    const std::string where = absl::StrCat("segment ", number, ", byte ", offset, ", mask ", mask);
    // Never a frame that was not written, or in another place.
    ASSERT_TRUE(equal) << where;
    ASSERT_TRUE(same_in_batches) << where;
    if (status.ok()) {
      ASSERT_EQ(read, commands_.size()) << where << " ends the journal early";
      ASSERT_TRUE(use != Use::kFrame && use != Use::kLength && use != Use::kClose) << where << " is not found";
      return;
    }
    ++found_;
    ASSERT_TRUE(use != Use::kUnused && use != Use::kPadding) << where << ": " << status;
    ASSERT_THAT(status.message(), HasSubstr(path)) << where;
    if (use == Use::kBlock) return;
    // The record that it is in, or its length.
    ASSERT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at offset "))) << where;
  }

  void CheckAll(SegmentNumber number) {
    const std::vector<Use> uses = UsesOf(number);
    for (uint64_t offset = 0; offset < uses.size(); offset += DamageStride()) {
      // Where nothing stands, a few bytes stand for all.
      if (uses[offset] == Use::kUnused && offset % 13 != 0) continue;
      ASSERT_NO_FATAL_FAILURE(Check(number, offset, uses[offset], offset % 2 == 0 ? 0xFF : 0x01));
    }
    EXPECT_GT(found_, 100u / DamageStride());
  }

  static void Flip(const std::string& path, uint64_t offset, uint8_t mask) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    if (::pread(fd, &byte, 1, static_cast<off_t>(offset)) != 1) std::abort();
    byte = static_cast<uint8_t>(byte ^ mask);
    if (::pwrite(fd, &byte, 1, static_cast<off_t>(offset)) != 1) std::abort();
    ::close(fd);
  }

  TempDir dir_ = TempDir::InMemory();
  TestJournal journal_{dir_.path()};
  std::vector<std::string> commands_;
  std::vector<Seq> first_seq_ = {0, 2};  // from which on the journal is read to get at a segment, by its number
  uint64_t found_ = 0;
};

TEST_F(JournalDamageTest, EachByteOfTheFirstSegment) { CheckAll(1); }
TEST_F(JournalDamageTest, EachByteOfTheSecondSegment) { CheckAll(2); }
TEST_F(JournalDamageTest, EachByteOfTheLastSegment) { CheckAll(3); }

TEST_F(JournalDamageTest, TheMessageNamesFileOffsetAndSeq) {
  ShmReader segment = ValueOrDie(ShmReader::OpenAt(journal_.layout().segment(2), {.heartbeats = false}));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(segment.TryRead().has_value());
  const uint64_t offset = segment.position();
  const auto header = LoadUnaligned<FrameHeader>(segment.TryRead()->data());
  Flip(journal_.layout().segment(2), kDataOffset + offset + kLengthBytes + kFrameHeaderBytes, 1);
  JournalReader reader = journal_.OpenReader();
  ReadTexts(reader);
  EXPECT_THAT(reader.status(),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(journal_.layout().segment(2)),
                                                          HasSubstr(absl::StrCat("at offset ", offset, ":")),
                                                          HasSubstr(absl::StrCat("behind seq ", header.seq - 1)))));
}

// The power-loss simulator found the first frame of a wholly truncated journal in the file that
// took its place, on space of the device that had not been written anew. That frame follows
// nothing, so it fitted.
TEST_F(JournalDamageTest, AnEpochInASegmentOfAnotherEpochDoesNotFit) {
  Flip(journal_.layout().segment(1), 16, 2);  // the writer's id
  JournalReader reader = journal_.OpenReader();
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_EQ(reader.last(), ChainLink());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss,
                                        AllOf(HasSubstr(journal_.layout().segment(1)), HasSubstr("at offset 0:"),
                                              HasSubstr("a frame of {epoch 1, seq 1} in a segment of epoch 3"))));
}

TEST_F(JournalDamageTest, EachTruncationOfTheLastSegmentIsFound) {
  const std::string path = journal_.layout().segment(3);
  const std::string whole = ReadFileBytes(path);
  const std::vector<Use> uses = UsesOf(3);
  uint64_t used = 0;
  for (uint64_t i = 0; i < uses.size(); ++i) used = uses[i] == Use::kUnused ? used : i + 1;
  for (uint64_t size = 0; size < used; size += (size < kDataOffset ? 61 : 7) * DamageStride()) {
    WriteFileBytes(path, absl::string_view(whole).substr(0, size));
    auto reader = ReadJournal(FileSystem::Posix(), journal_.layout(), kTestDataFormat);
    absl::Status status = reader.status();
    if (reader.ok()) {
      const std::vector<std::string> texts = ReadTexts(*reader);
      ASSERT_TRUE(std::equal(texts.begin(), texts.end(), commands_.begin())) << size;
      status = reader->status();
    }
    ASSERT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path))) << size;
  }
}

}  // namespace
}  // namespace kekbit
