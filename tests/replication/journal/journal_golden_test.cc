// P13: journals that earlier versions wrote are read, followed and gone on with.
//
// They are in tests/testdata/journals, each as it was left by a primary that was killed. To write
// that of a new version of the format:
//   KEKBIT_GOLDEN_OUT=DIR bazel-bin/tests/replication/journal_golden_test
// Those that are there are never written again. v1 is of a version whose frames had zeros in the
// place of FrameHeader::unsynced, and which knew no snapshots. v1 and v2 have no name of the state.

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/channel_file.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/registered_reader.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

using TapeReplica = Replica<Tape, TextCodec>;

// Each of the journals holds commands of two epochs, over several segments.
constexpr size_t kCommands = 400;
constexpr size_t kOfFirstEpoch = 250;
// Only journals of versions that know snapshots and readers have these.
constexpr Seq kSnapshotSeq = 302;
constexpr Seq kReaderSeq = 150;

std::string CommandText(size_t number) { return absl::StrCat("command ", number, " ", std::string(50, '.')); }

// Returns where the command stands: in front of each epoch's commands there is the epoch's own
// frame.
Position CommandPosition(size_t number) {
  return number < kOfFirstEpoch ? Position{.epoch = 1, .seq = number + 2} : Position{.epoch = 2, .seq = number + 3};
}

class JournalGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  // A copy that can be written to.
  void SetUp() override {
    namespace fs = std::filesystem;
    fs::copy(absl::StrCat("tests/testdata/journals/", GetParam()), dir_.path(), fs::copy_options::recursive);
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    }
  }

  bool marked() const { return GetParam() != "v1"; }
  bool named() const { return marked() && GetParam() != "v2"; }

  ReplicaOptions Polled() {
    ReplicaOptions options;
    options.directory = dir_.path();
    options.segment_bytes = 16 << 10;
    options.threads = false;
    options.clock = &clock_;
    return options;
  }
  // A replica that has become primary.
  std::unique_ptr<TapeReplica> OpenPrimary() {
    auto replica = TapeReplica::Open(Polled());
    EXPECT_THAT(replica, IsOk());
    if (!replica.ok()) return nullptr;
    for (int polls = 0; polls < 100 && (*replica)->role() != Role::kPrimary; ++polls) {
      clock_.Advance(1'000'000'000);
      EXPECT_THAT((*replica)->Poll(), IsOk());
    }
    EXPECT_EQ((*replica)->role(), Role::kPrimary);
    return *std::move(replica);
  }

  static void ExpectCommands(const Tape& tape, size_t count) {
    ASSERT_THAT(tape.commands, SizeIs(count));
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(tape.commands[i], CommandText(i));
      ASSERT_EQ(tape.positions[i], CommandPosition(i));
    }
  }

  std::optional<Extension> ExtensionOf(SegmentNumber number) const {
    auto channel = OpenChannelFile(FileSystem::Posix(), layout_.segment(number));
    EXPECT_THAT(channel, IsOk());
    return channel.ok() ? channel->extension : std::nullopt;
  }
  bool CountsUnsynced(SegmentNumber number) const { return SegmentCountsUnsynced(ExtensionOf(number)); }

  TempDir dir_ = TempDir::InMemory();
  JournalLayout layout_{dir_.path()};
  FakeClock clock_;
};

TEST_P(JournalGoldenTest, AReaderReadsAllOfIt) {
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader, ReadJournal(FileSystem::Posix(), layout_, TextCodec::kDataFormat));
  size_t commands = 0;
  int64_t time_ns = 0;
  while (const std::optional<Frame> frame = reader.Next()) {
    EXPECT_GE(frame->header.time_ns, time_ns);
    time_ns = frame->header.time_ns;
    if (frame->kind() != FrameKind::kCommand) continue;
    ASSERT_EQ(AsText(frame->payload), CommandText(commands));
    ASSERT_EQ(frame->position(), CommandPosition(commands));
    ++commands;
  }
  EXPECT_THAT(reader.status(), IsOk());
  EXPECT_EQ(commands, kCommands);
  EXPECT_GE(reader.segment(), 4u);
}

TEST_P(JournalGoldenTest, AReplicaHoldsItAndGoesOn) {
  const auto replica = OpenPrimary();
  ASSERT_NE(replica, nullptr);
  replica->Read([](const Tape& tape) { ExpectCommands(tape, kCommands); });
  EXPECT_EQ(replica->recovery().bytes_cut, 0u);
  EXPECT_THAT(replica->recovery().skipped, IsEmpty());
  EXPECT_EQ(replica->recovery().snapshot_seq, marked() ? kSnapshotSeq : 0);
  EXPECT_EQ(replica->recovery().frames, kCommands + 2 - replica->recovery().snapshot_seq);
  KB_ASSERT_OK_AND_ASSIGN(const auto done, replica->Execute("more", Ack::kSynced));
  EXPECT_EQ(done.position, (Position{.epoch = 3, .seq = kCommands + 4}));
  KB_ASSERT_OK_AND_ASSIGN(JournalReader reader,
                          ReadJournal(FileSystem::Posix(), layout_, TextCodec::kDataFormat, done.position.seq));
  const std::optional<Frame> frame = reader.Next();
  ASSERT_TRUE(frame.has_value()) << reader.status();
  EXPECT_EQ(AsText(frame->payload), "more");
}

// The first version's zeros must not pass for frames that claim that all frames before were synced.
TEST_P(JournalGoldenTest, WhatIsTornIsCutAndClaimsNoSyncs) {
  KB_ASSERT_OK_AND_ASSIGN(const auto segments, layout_.ListSegments(FileSystem::Posix()));
  EXPECT_EQ(CountsUnsynced(segments.back()), marked());
  // The last frame but one is not what was written: a page may be missing, as after a power loss.
  const std::string path = layout_.segment(segments.back());
  std::string bytes = ReadFileBytes(path);
  const size_t at = bytes.find(CommandText(kCommands - 2));
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'C';
  WriteFileBytes(path, bytes);
  const auto replica = OpenPrimary();
  ASSERT_NE(replica, nullptr);
  replica->Read([](const Tape& tape) { ExpectCommands(tape, kCommands - 2); });
  EXPECT_GT(replica->recovery().bytes_cut, 0u);
  EXPECT_TRUE(CountsUnsynced(segments.back() + 1));
}

struct Diary : Tape {
  static constexpr absl::string_view kStateName = "diary";
};

// Only a journal that says whose it is can be refused to others.
TEST_P(JournalGoldenTest, AnotherServiceIsRefusedByName) {
  EXPECT_EQ(SegmentStateName(ExtensionOf(1)), named() ? "tape" : "");
  ReplicaOptions options = Polled();
  options.may_lead = false;
  const auto diary = Replica<Diary, TextCodec>::Open(options).status();
  if (named()) {
    EXPECT_THAT(diary,
                StatusIs(absl::StatusCode::kFailedPrecondition, testing::HasSubstr("\"tape\", not of \"diary\"")));
  } else {
    EXPECT_THAT(diary, IsOk());
  }
}

TEST_P(JournalGoldenTest, ARegisteredReaderGoesOn) {
  if (!marked()) GTEST_SKIP() << "there were none";
  KB_ASSERT_OK_AND_ASSIGN(auto reader, RegisteredReader::Open(FileSystem::Posix(), layout_, "golden"));
  EXPECT_FALSE(reader.cursor().is_new());
  const std::optional<Frame> frame = reader.Next();
  ASSERT_TRUE(frame.has_value()) << reader.status();
  EXPECT_EQ(frame->header.seq, kReaderSeq + 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, JournalGoldenTest, testing::Values("v1", "v2", "v3"),
                         [](const auto& version) { return version.param; });

TEST(JournalGoldenFileTest, WritesOneWhereItIsTold) {
  const char* const directory = std::getenv("KEKBIT_GOLDEN_OUT");
  if (directory == nullptr) GTEST_SKIP() << "not told";
  const TempDir dir;
  ReplicaOptions options;
  options.directory = dir.path();
  options.segment_bytes = 16 << 10;
  options.snapshots.on_primary = true;
  size_t number = 0;
  for (const size_t end : {kOfFirstEpoch, kCommands}) {
    KB_ASSERT_OK_AND_ASSIGN(const auto replica, TapeReplica::Open(options));
    ASSERT_TRUE(replica->WaitForRole(Role::kPrimary, absl::Minutes(1)));
    for (; number < end; ++number) {
      ASSERT_THAT(replica->Execute(CommandText(number)), IsOk());
      if (CommandPosition(number).seq == kSnapshotSeq) {
        ASSERT_THAT(replica->TakeSnapshot(), IsOk());
      }
    }
    if (end != kCommands) continue;
    KB_ASSERT_OK_AND_ASSIGN(
        auto reader, RegisteredReader::Open(FileSystem::Posix(), JournalLayout(dir.path()), "golden", std::nullopt,
                                            CommandPosition(kReaderSeq - 2)));
    std::filesystem::copy(dir.path(), directory, std::filesystem::copy_options::recursive);
    // The machine has been started since, wherever this is read.
    KB_ASSERT_OK_AND_ASSIGN(SyncMark mark, SyncMark::Open(FileSystem::Posix(), JournalLayout(directory).synced()));
    mark.SetBoot(1);
  }
}

}  // namespace
}  // namespace kekbit
