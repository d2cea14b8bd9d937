// P8: every byte of a small journal is changed, and its files are truncated everywhere. Recovery
// finds each change, and what was synced is never truncated like a torn tail.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/recovery/recovery.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/torn_journal.h"

namespace kekbit {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr Seq kSynced = 10;
constexpr Seq kLast = 14;

// Bytes of the extension block that have a meaning: its fields, and the label with its checksum.
constexpr uint64_t kExtensionUsed = 120;

// Use says to what a byte of a segment's file belongs: kSafe, a frame that was synced; kLoose, a
// frame that was not.
enum class Use { kBlock, kUnused, kSafe, kLoose, kEnd };

// Case says whether the sync mark exists, and whether the machine has stopped since.
struct Case {
  const char* name;
  Seq mark;
  bool stopped;
};

class RecoveryDamageTest : public testing::TestWithParam<Case> {
 protected:
  RecoveryDamageTest() {
    made_.Begin(1);
    for (int i = 0; i < 3; ++i) Append();
    made_.Begin(1);
    for (int i = 0; i < 3; ++i) Append();
    made_.Begin(2);
    for (int i = 0; i < 6; ++i) Append();
    EXPECT_EQ(made_.last().position.seq, kLast);
    image_ = made_.Files(GetParam().mark);
    const uint64_t boot = GetParam().stopped ? 0 : ValueOrDie(SyncMark::CurrentBoot(FileSystem::Posix()));
    image_["synced"].replace(24, 8, reinterpret_cast<const char*>(&boot), 8);
    all_ = made_.TextsUpTo(kLast);
  }

  void Append() {
    const Seq seq = made_.last().position.seq + 1;
    made_.Append(absl::StrCat("command ", seq, std::string(seq % 5, '.')), std::min(seq - 1, kSynced));
  }

  std::vector<Use> UsesOf(SegmentNumber number) const {
    std::vector<Use> uses(ChannelFileBytes(kCapacityMin), Use::kUnused);
    std::fill(uses.begin(), uses.begin() + kExtensionOffset + kExtensionUsed, Use::kBlock);
    uint64_t end = kDataOffset;
    for (const TornFrame& frame : made_.frames()) {
      if (frame.segment != number) continue;
      const auto at = uses.begin() + static_cast<std::ptrdiff_t>(kDataOffset + frame.offset);
      const size_t payload = frame.text.empty() ? sizeof(EpochStart) : frame.text.size();
      std::fill_n(at, kLengthBytes + kFrameHeaderBytes + payload, frame.seq <= kSynced ? Use::kSafe : Use::kLoose);
      end = kDataOffset + frame.offset + frame.bytes;
    }
    std::fill_n(uses.begin() + static_cast<std::ptrdiff_t>(end), kLengthBytes, Use::kEnd);
    return uses;
  }

  // Recovers the image with `bytes` in the place of that segment.
  void Check(SegmentNumber number, const std::string& bytes, Use use, const std::string& where) {
    std::filesystem::remove_all(dir_.path());
    Image image = image_;
    image[TornJournal::SegmentName(number)] = bytes;
    WriteImage(dir_.path(), image);
    const Recovered recovered = Recover(FileSystem::Posix(), dir_.path());
    if (!recovered.status.ok()) {
      ++refused_;
      ASSERT_THAT(recovered.status,
                  AnyOf(StatusIs(absl::StatusCode::kDataLoss), StatusIs(absl::StatusCode::kFailedPrecondition)))
          << where;
      ASSERT_NE(use, Use::kUnused) << where << ": " << recovered.status;
      ASSERT_THAT(recovered.status.message(), HasSubstr(dir_.path())) << where;
      if (use == Use::kSafe) {
        ASSERT_THAT(recovered.status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is damaged"))) << where;
      }
      ASSERT_EQ(ReadImage(dir_.path()), image) << where << ": refused, but something was changed";
      return;
    }
    ASSERT_NE(use, Use::kSafe) << where << " is not found";
    if (use == Use::kLoose) {
      ASSERT_TRUE(GetParam().stopped) << where << " is cut, though nothing can be torn";
      ASSERT_TRUE(recovered.outcome.torn) << where << " is not found";
    }
    const Seq last = recovered.last.position.seq;
    ASSERT_EQ(recovered.texts, made_.TextsUpTo(last)) << where;
    ASSERT_GE(last, kSynced) << where << ": what was synced is cut";
    if (last == kLast) return;
    ++torn_;
    ASSERT_TRUE(recovered.outcome.torn) << where;
    // All that was cut and is whole is kept.
    std::string kept;
    for (const std::string& path : recovered.outcome.aside) kept += ReadFileBytes(path);
    for (Seq seq = last + 2; seq <= kLast; ++seq) {
      const std::string& text = made_.frames()[seq - 1].text;
      if (bytes.find(text) == std::string::npos) continue;
      ASSERT_THAT(kept, HasSubstr(text)) << where;
    }
  }

  void CheckEachByte(SegmentNumber number) {
    const std::vector<Use> uses = UsesOf(number);
    const std::string& whole = image_.at(TornJournal::SegmentName(number));
    for (uint64_t at = 0; at < uses.size(); at += DamageStride()) {
      if (uses[at] == Use::kUnused && at % 61 != 0) continue;
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (at % 2 == 0 ? 0xFF : 0x01));
      ASSERT_NO_FATAL_FAILURE(Check(number, bytes, uses[at], absl::StrCat("byte ", at)));
    }
    EXPECT_GT(refused_, 200u / DamageStride());
  }

  TornJournal made_;
  Image image_;
  std::vector<std::string> all_;
  TempDir dir_ = TempDir::InMemory();
  uint64_t refused_ = 0;
  uint64_t torn_ = 0;
};

TEST_P(RecoveryDamageTest, EachByteOfTheFirstSegment) { CheckEachByte(1); }
TEST_P(RecoveryDamageTest, EachByteOfTheSecondSegment) { CheckEachByte(2); }
TEST_P(RecoveryDamageTest, EachByteOfTheLastSegment) {
  CheckEachByte(3);
  EXPECT_EQ(torn_ > 0, GetParam().stopped);
}

// Lost bytes leave nothing that would show the loss, except the mark.
class RecoveryLossTest : public RecoveryDamageTest {};

TEST_P(RecoveryLossTest, EachTruncation) {
  for (SegmentNumber number = 1; number <= 3; ++number) {
    const std::vector<Use> uses = UsesOf(number);
    const std::string& whole = image_.at(TornJournal::SegmentName(number));
    // Find the most valuable bytes that the truncation takes, from the end.
    Use lost = Use::kUnused;
    for (uint64_t size = whole.size(); size-- > 0;) {
      if (uses[size] == Use::kEnd && lost == Use::kUnused) lost = Use::kEnd;
      if (uses[size] == Use::kLoose) lost = Use::kLoose;
      if (uses[size] == Use::kSafe) lost = Use::kSafe;
      const bool between = size > kExtensionOffset + kExtensionUsed && size < kDataOffset;
      if (lost == Use::kUnused || (between && size % 61 != 0) || size % DamageStride() != 0) continue;
      ASSERT_NO_FATAL_FAILURE(
          Check(number, whole.substr(0, size), lost, absl::StrCat("segment ", number, " cut at ", size)));
    }
  }
  EXPECT_GT(refused_, 300u / DamageStride());
}

// Whole pages that never came, or came from elsewhere.
TEST_P(RecoveryLossTest, EachPairOfPlacesZeroedBetween) {
  const std::vector<Use> uses = UsesOf(3);
  const std::string& whole = image_.at(TornJournal::SegmentName(3));
  const TornFrame& last = made_.frames().back();
  const uint64_t end = kDataOffset + last.offset + last.bytes + 8;
  for (uint64_t from = kDataOffset; from < end; from += 24 * DamageStride()) {
    for (uint64_t to = from + 8; to <= end; to += 40) {
      std::string bytes = whole;
      bytes.replace(from, to - from, to - from, '\0');
      Use lost = Use::kEnd;
      for (uint64_t at = from; at < to; ++at) {
        if (bytes[at] == whole[at]) continue;
        if (uses[at] == Use::kLoose && lost != Use::kSafe) lost = Use::kLoose;
        if (uses[at] == Use::kSafe) lost = Use::kSafe;
      }
      ASSERT_NO_FATAL_FAILURE(Check(3, bytes, lost, absl::StrCat("zeros from ", from, " to ", to)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, RecoveryDamageTest,
                         testing::Values(Case{"AfterPowerLoss", kSynced, true},
                                         Case{"AfterPowerLossWithoutMark", 0, true},
                                         Case{"WhileTheMachineRuns", kSynced, false}),
                         [](const auto& of) { return of.param.name; });

INSTANTIATE_TEST_SUITE_P(Cases, RecoveryLossTest,
                         testing::Values(Case{"AfterPowerLoss", kSynced, true},
                                         Case{"WhileTheMachineRuns", kSynced, false}),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace kekbit
