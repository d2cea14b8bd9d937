// Each byte of a segment's header, changed: verify finds it, unless the byte means nothing; repair
// has a way out, and a replica opens what that leaves.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

// After the extension block nothing is written.
constexpr uint64_t kHeaderAndExtension = 128 + 56;
constexpr uint64_t kVersionMajor = 14;

class HeaderDamageTest : public ReplicaTest {
 protected:
  // Segments 1 and 2 are of epoch 1, 3 to 5 of epoch 2; the snapshot, if there is one, stands in
  // segment 3.
  void Write(bool snapshot) {
    ReplicaOptions options = Polled();
    options.segment_bytes = kCapacityMin;
    options.snapshots.on_primary = true;
    for (const SegmentNumber last : {SegmentNumber{2}, SegmentNumber{5}}) {
      const auto replica = Open(options);
      ASSERT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
      Fill(*replica, last == 5 ? 3 : 1);
      if (snapshot && last == 5) {
        ASSERT_THAT(replica->TakeSnapshot(), IsOk());
      }
      Fill(*replica, last);
    }
    ASSERT_EQ(JournalLayout(dir_.path()).ListSegments(fs_)->size(), 5u);
  }
  void Fill(TapeReplica& replica, SegmentNumber last) {
    const auto command = [&] {
      commands_.push_back(absl::StrCat("command ", commands_.size(), std::string(60, ' ')));
      ASSERT_THAT(replica.Execute(commands_.back()), IsOk());
    };
    const JournalLayout layout(dir_.path());
    while (JournalLayout(dir_.path()).ListSegments(fs_)->back() < last) command();
    for (int i = 0; i < 10; ++i) command();
  }

  // Leaves the journal as if the last primary had been killed.
  void Unclose() {
    const std::string path = JournalLayout(dir_.path()).segment(5);
    std::string bytes = ReadFileBytes(path);
    const size_t close = bytes.rfind(std::string(8, '\xFF'));
    ASSERT_NE(close, std::string::npos);
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + close, kWatermark);
    WriteFileBytes(path, bytes);
  }

  // A fresh copy, with one byte of that segment changed.
  void Damage(SegmentNumber segment, uint64_t at, uint8_t mask) {
    std::filesystem::remove_all(copy());
    std::filesystem::copy(dir_.path(), copy(), std::filesystem::copy_options::recursive);
    path_ = JournalLayout(copy()).segment(segment);
    std::string bytes = ReadFileBytes(path_);
    bytes[at] = static_cast<char>(static_cast<uint8_t>(bytes[at]) ^ mask);
    WriteFileBytes(path_, bytes);
  }

  bool Verified() {
    testing::internal::CaptureStdout();
    Output output;
    const auto sound = Verify({.path = copy()}, output);
    said_ = testing::internal::GetCapturedStdout();
    EXPECT_THAT(sound, IsOk()) << said_;
    return sound.value_or(false);
  }
  bool Repaired(bool apply, std::optional<uint64_t> lose_from = std::nullopt) {
    testing::internal::CaptureStdout();
    Output output;
    const auto done = Repair({.path = copy(), .apply = apply, .lose_from = lose_from}, output);
    said_ = testing::internal::GetCapturedStdout();
    EXPECT_THAT(done, IsOk()) << said_;
    return done.value_or(false);
  }
  // The seq that repair wants to be told.
  std::optional<uint64_t> LoseFrom() const {
    const std::string option = "--lose-from ";
    const size_t at = said_.rfind(option);
    if (at == std::string::npos) return std::nullopt;
    const std::string rest = said_.substr(at + option.size());
    uint64_t seq = 0;
    return absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &seq) ? std::optional(seq)
                                                                                        : std::nullopt;
  }
  // Returns how many commands a replica reads there: a beginning of what was written.
  size_t OpenedCommands() {
    ReplicaOptions options = Polled();
    options.segment_bytes = kCapacityMin;
    options.directory = copy();
    const auto replica = Open(options);
    if (replica == nullptr) return 0;
    EXPECT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
    EXPECT_THAT(replica->Execute("goes on"), IsOk());
    std::vector<std::string> read = CommandsOf(*replica);
    read.pop_back();
    EXPECT_TRUE(read.size() <= commands_.size() && std::equal(read.begin(), read.end(), commands_.begin()));
    return read.size();
  }

  // Returns true if the byte may be changed without harm.
  static bool MeansNothing(SegmentNumber segment, uint64_t at) {
    if (at >= 8 && at < 12) return true;    // the patch level of the version
    if (at >= 40 && at < 56) return true;   // timeout, creation time: unused
    if (at >= 57 && at < 128) return true;  // zeros
    // The epoch counts only where one begins: the frames have it, too.
    if (at >= 16 && at < 24) return segment == 2 || segment >= 4;
    return at >= 32 && at < 40;  // capacity, longest payload: where the frames keep to them all the same
  }

  // Each byte, but for most of the zeros.
  void CheckEach(SegmentNumber segment, uint8_t mask) {
    for (uint64_t at = 0; at < kHeaderAndExtension && !HasFailure(); ++at) {
      if (at <= 60 || at >= 124) Check(segment, at, mask);
    }
  }

  void Check(SegmentNumber segment, uint64_t at, uint8_t mask) {
    SCOPED_TRACE(absl::StrCat("segment ", segment, ", byte ", at, ", mask ", mask));
    Damage(segment, at, mask);
    if (Verified()) {
      EXPECT_TRUE(MeansNothing(segment, at));
      EXPECT_EQ(OpenedCommands(), commands_.size());
      return;
    }
    EXPECT_TRUE(absl::StrContains(said_, absl::StrCat("damage: ", path_))) << said_;
    ++found_;
    if (Repaired(/*apply=*/false)) {
      // Its frames are needed, from the snapshot's place on, and what is damaged stands before
      // that.
      EXPECT_TRUE(absl::StrContains(said_, absl::StrCat("left: ", path_))) << said_;
      EXPECT_EQ(OpenedCommands(), commands_.size());
      return;
    }
    EXPECT_TRUE(Repaired(/*apply=*/true, LoseFrom())) << said_;
    EXPECT_TRUE(Verified()) << said_;
    EXPECT_TRUE(Repaired(/*apply=*/false)) << said_;
    OpenedCommands();
    EXPECT_TRUE(Verified()) << said_;
  }

  std::string copy() const { return copies_.File("journal"); }

  const TempDir copies_ = TempDir::InMemory();
  std::vector<std::string> commands_;
  std::string path_;  // of the damaged segment
  std::string said_;
  int found_ = 0;
};

TEST_F(HeaderDamageTest, EachByteWithASnapshot) {
  Write(/*snapshot=*/true);
  for (SegmentNumber segment = 1; segment <= 5; segment += 2) {
    CheckEach(segment, 0x01);
    for (uint64_t at = 8; at < 40; ++at) Check(segment, at, 0xFF);
  }
  EXPECT_GT(found_, 3 * 85);
}

TEST_F(HeaderDamageTest, EachByteWithoutASnapshotAfterAKill) {
  Write(/*snapshot=*/false);
  Unclose();
  for (const SegmentNumber segment : {SegmentNumber{4}, SegmentNumber{5}}) CheckEach(segment, 0x08);
  for (const uint64_t at : {uint64_t{0}, kVersionMajor, kHeaderAndExtension - 1}) Check(1, at, 0x01);
}

// Nothing that a newer kekbit wrote is ever truncated without an operator's word, and nothing at
// all is lost.
TEST_F(HeaderDamageTest, ASegmentOfANewerVersionIsGivenUpOnlyByItsSeq) {
  Write(/*snapshot=*/false);
  // Nothing shows that any of it was synced.
  ASSERT_THAT(fs_.Unlink(JournalLayout(dir_.path()).synced()), IsOk());
  Damage(5, kVersionMajor, 0x03);
  const std::string newer = ReadFileBytes(path_);
  ReplicaOptions options = Polled();
  options.directory = copy();
  absl::Status status = TapeReplica::Open(options).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2.0.0")));
  EXPECT_FALSE(Verified());
  EXPECT_THAT(said_,
              HasSubstr("either a newer kekbit wrote the segment, which is needed to read it, or its header is"));
  for (const bool apply : {false, true}) {
    EXPECT_FALSE(Repaired(apply));
    EXPECT_THAT(said_, HasSubstr("either a newer kekbit wrote the segment"));
    EXPECT_THAT(said_, HasSubstr("11 whole frame(s) were found behind it, up to seq 430"));
    EXPECT_EQ(LoseFrom(), 420u);
    EXPECT_EQ(ReadFileBytes(path_), newer);
  }
  EXPECT_TRUE(Repaired(/*apply=*/true, 420));
  const std::string kept = JoinPath(JournalLayout(copy()).aside(), "segments.0000_0000.0000_0005.kekbit.moved_1");
  EXPECT_EQ(ReadFileBytes(kept), newer);
  EXPECT_TRUE(Verified()) << said_;
  EXPECT_EQ(OpenedCommands(), commands_.size() - 11);
}

}  // namespace
}  // namespace kekbit
