// JournalView: the journal and its replicas as seen from outside, live, dead and damaged.

#include "kekbit/replication/journal_view.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_file.h"
#include "kekbit/header.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "kekbit/replication/stats/replica_stats.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class JournalViewTest : public testing::Test {
 protected:
  // Reads until it is at the frame with this seq, and says so.
  static void ApplyUpTo(Seq seq, JournalReader& reader, ReplicaStats& stats) {
    while (reader.last().position.seq < seq) {
      const std::optional<Frame> frame = reader.Next();
      ASSERT_TRUE(frame.has_value()) << reader.status();
      stats.SetApplied(frame->position(), frame->header.time_ns, reader.segment(), reader.offset());
    }
  }
  std::unique_ptr<ReplicaStats> Stats() {
    clock_.Advance(1);
    return ReplicaStats::Create(FileSystem::Posix(), journal_.layout(), true, clock_);
  }
  JournalFacts Look() { return ValueOrDie(view_.Look()); }

  TempDir dir_ = TempDir::InMemory();
  TestJournal journal_{dir_.path()};
  FakeClock clock_;
  JournalView view_{FileSystem::Posix(), dir_.path()};
};

TEST_F(JournalViewTest, ShowsTheJournalAsItGrows) {
  JournalWriter writer = journal_.Begin(1000);
  ASSERT_THAT(Append(writer, "one", 2000), IsOk());
  JournalFacts facts = Look();
  EXPECT_EQ(facts.directory, dir_.path());
  EXPECT_EQ(facts.segments, 1u);
  EXPECT_EQ(facts.first_seq, 1u);
  EXPECT_EQ(facts.last, (Position{.epoch = 1, .seq = 2}));
  EXPECT_EQ(facts.last_time_ns, 2000);
  EXPECT_EQ(facts.epoch, 1u);
  EXPECT_FALSE(facts.lease_held);
  EXPECT_FALSE(facts.synced.has_value());
  EXPECT_THAT(facts.end_status, IsOk());

  while (journal_.Segments().size() < 3) ASSERT_THAT(Append(writer, "more", 3000), IsOk());
  facts = Look();
  EXPECT_EQ(facts.segments, 3u);
  EXPECT_EQ(facts.last_segment, 3u);
  EXPECT_EQ(facts.last, writer.last().position);
  EXPECT_EQ(facts.last_time_ns, 3000);
  EXPECT_EQ(facts.bytes, 3 * ValueOrDie(FileSystem::Posix().Info(journal_.layout().segment(1))).allocated);
}

TEST_F(JournalViewTest, FindsTheLastFrameBeforeSegmentsThatHaveNone) {
  std::optional<JournalWriter> writer = journal_.Begin(1000);
  ASSERT_THAT(Append(*writer, "one", 2000), IsOk());
  writer.reset();
  // Leave the journal as a primary does that dies before its first frame.
  const ChainLink last = [&] {
    JournalReader reader = journal_.OpenReader();
    ReadTexts(reader);
    return reader.last();
  }();
  KB_ASSERT_OK_AND_ASSIGN(const Header header, Header::Make({.channel_id = 2, .capacity = kCapacityMin}));
  KB_ASSERT_OK_AND_ASSIGN(PreparedChannelFile prepared,
                          PrepareChannelFile(FileSystem::Posix(), journal_.layout().segment(2), header.capacity()));
  ASSERT_THAT(NameChannelFile(std::move(prepared), journal_.layout().segment(2), header,
                              SegmentExtension(kTestDataFormat, last)),
              IsOk());
  const JournalFacts facts = Look();
  EXPECT_EQ(facts.segments, 2u);
  EXPECT_EQ(facts.last, (Position{.epoch = 1, .seq = 2}));
  EXPECT_EQ(facts.last_time_ns, 2000);
}

TEST_F(JournalViewTest, ShowsTheLeaseAndTheMarks) {
  JournalWriter writer = journal_.Begin();
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease,
                          Lease::TryAcquire(FileSystem::Posix(), journal_.layout().lease()));
  KB_ASSERT_OK_AND_ASSIGN(SyncMark mark, SyncMark::Open(FileSystem::Posix(), journal_.layout().synced()));
  mark.Advance(1);
  mark.Poison(7);
  JournalFacts facts = Look();
  EXPECT_TRUE(facts.lease_held);
  EXPECT_EQ(facts.holder, ProcessId::Self(FileSystem::Posix()));
  EXPECT_EQ(facts.synced, 1u);
  EXPECT_EQ(facts.poisoned, 7u);
  lease.reset();
  facts = Look();
  EXPECT_FALSE(facts.lease_held);
}

TEST_F(JournalViewTest, ShowsAPrimaryThatHangs) {
  JournalWriter writer = journal_.Begin();
  JournalView view(FileSystem::Posix(), dir_.path(), clock_);
  KB_ASSERT_OK_AND_ASSIGN(std::optional<Lease> lease,
                          Lease::TryAcquire(FileSystem::Posix(), journal_.layout().lease()));
  JournalFacts facts = ValueOrDie(view.Look());
  EXPECT_EQ(facts.silent, std::nullopt);
  EXPECT_FALSE(facts.primary_hangs());
  lease->Beat(clock_.MonotonicNanos());
  clock_.Advance(absl::ToInt64Nanoseconds(kHangsAfter) - 1);
  facts = ValueOrDie(view.Look());
  EXPECT_EQ(facts.silent, kHangsAfter - absl::Nanoseconds(1));
  EXPECT_FALSE(facts.primary_hangs());
  clock_.Advance(1);
  facts = ValueOrDie(view.Look());
  EXPECT_EQ(facts.silent, kHangsAfter);
  EXPECT_TRUE(facts.primary_hangs());
  EXPECT_FALSE(facts.holder_stopped);
  // The primary goes on.
  lease->Beat(clock_.MonotonicNanos());
  EXPECT_FALSE(ValueOrDie(view.Look()).primary_hangs());
  // Nobody's sign of life means anything.
  clock_.Advance(absl::ToInt64Nanoseconds(kHangsAfter));
  lease.reset();
  facts = ValueOrDie(view.Look());
  EXPECT_EQ(facts.silent, std::nullopt);
  EXPECT_FALSE(facts.primary_hangs());
}

TEST_F(JournalViewTest, MeasuresLagInFramesBytesAndTime) {
  JournalWriter writer = journal_.Begin(1'000'000);
  const auto primary = Stats();
  const auto follower = Stats();
  JournalReader reader = journal_.OpenReader();
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(Append(writer, "12345678", 2'000'000 + 1000 * i), IsOk());
    primary->SetPublished(writer.last().position, writer.last().time_ns);
  }
  ApplyUpTo(10, reader, *follower);
  JournalFacts facts = Look();
  ASSERT_THAT(facts.replicas, SizeIs(2));
  EXPECT_EQ(facts.replicas[0].facts.path, follower->path());  // the youngest first
  for (const ReplicaView& replica : facts.replicas) {
    EXPECT_EQ(replica.lag.frames, 0u);
    EXPECT_EQ(replica.lag.bytes, 0u);
    EXPECT_EQ(replica.lag.time_ns, 0);
  }
  // A record: length 8, header 40, payload 8.
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Append(writer, "12345678", 5'000'000), IsOk());
  primary->SetPublished(writer.last().position, writer.last().time_ns);
  facts = Look();
  EXPECT_EQ(facts.replicas[0].lag.frames, 3u);
  EXPECT_EQ(facts.replicas[0].lag.bytes, 3u * 56);
  EXPECT_EQ(facts.replicas[0].lag.time_ns, 5'000'000 - 2'008'000);
  EXPECT_EQ(facts.replicas[1].lag.frames, 0u);
}

TEST_F(JournalViewTest, MeasuresLagAcrossSegments) {
  JournalWriter writer = journal_.Begin();
  const auto follower = Stats();
  JournalReader reader = journal_.OpenReader();
  ApplyUpTo(1, reader, *follower);
  uint64_t frames = 0;
  while (journal_.Segments().size() < 4) {
    ASSERT_THAT(Append(writer, "12345678"), IsOk());
    ++frames;
  }
  // Each is in one of the segments, whose ends hold none.
  EXPECT_EQ(Look().replicas[0].lag.frames, frames);
  EXPECT_EQ(Look().replicas[0].lag.bytes, frames * 56);
  ApplyUpTo(frames / 2, reader, *follower);
  EXPECT_EQ(Look().replicas[0].lag.bytes, (frames + 1 - frames / 2) * 56);
  // Its place is gone.
  follower->SetApplied({.epoch = 1, .seq = 2}, 1, 1, 100);
  ASSERT_THAT(FileSystem::Posix().Unlink(journal_.layout().segment(1)), IsOk());
  const JournalFacts facts = Look();
  EXPECT_EQ(facts.segments, 3u);
  EXPECT_GT(facts.first_seq, 1u);
  EXPECT_EQ(facts.replicas[0].lag.frames, frames - 1);
  EXPECT_EQ(facts.replicas[0].lag.bytes, std::nullopt);
}

TEST_F(JournalViewTest, PlacesThatAreNoneGiveNoBytes) {
  JournalWriter writer = journal_.Begin();
  ASSERT_THAT(Append(writer, "one"), IsOk());
  const auto follower = Stats();
  constexpr uint64_t kMost = ~uint64_t{0};
  for (const auto& [segment, offset] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 0}, {0, kMost}, {1, kMost}, {1, 1 << 20}, {2, 0}, {kMost, 0}, {kMost, kMost}}) {
    follower->SetApplied({.epoch = kMost, .seq = 1}, INT64_MIN, segment, offset);
    const ReplicaLag lag = Look().replicas[0].lag;
    EXPECT_EQ(lag.frames, 1u);
    EXPECT_EQ(lag.bytes, std::nullopt) << segment << " " << offset;
    EXPECT_EQ(lag.time_ns, 0);
  }
  follower->SetApplied({.epoch = 1, .seq = kMost}, INT64_MAX, 1, 0);
  EXPECT_EQ(Look().replicas[0].lag.frames, 0u);
}

TEST_F(JournalViewTest, LiveReplicasComeBeforeDeadOnes) {
  JournalWriter writer = journal_.Begin();
  const auto alive = Stats();
  auto dead = Stats();
  const std::string path = dead->path();
  dead.reset();
  WriteFileBytes(journal_.layout().replicas() + "/1-2-3.stats", "not that");
  const JournalFacts facts = Look();
  ASSERT_THAT(facts.replicas, SizeIs(2));
  EXPECT_EQ(facts.replicas[0].facts.path, alive->path());
  EXPECT_EQ(facts.replicas[1].facts.path, path);
  EXPECT_THAT(facts.unreadable, ElementsAre(AllOf(HasSubstr("1-2-3.stats"), HasSubstr("has 8 bytes"))));
}

TEST_F(JournalViewTest, ShowsRegisteredReaders) {
  JournalWriter writer = journal_.Begin();
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Append(writer, "12345678"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(ReaderCursor cursor, ReaderCursor::Register(FileSystem::Posix(), journal_.layout(), "audit"));
  ASSERT_THAT(cursor.Advance({.epoch = 1, .seq = 2}), IsOk());
  const JournalFacts facts = Look();
  ASSERT_THAT(facts.readers, SizeIs(1));
  EXPECT_EQ(facts.readers[0].name, "audit");
  EXPECT_EQ(facts.readers[0].done, (Position{.epoch = 1, .seq = 2}));
  EXPECT_TRUE(facts.readers[0].owned);
}

TEST_F(JournalViewTest, ShowsWhatADeadReaderHolds) {
  JournalWriter writer = journal_.Begin(1000);
  while (journal_.Segments().size() < 5) {
    ASSERT_THAT(Append(writer, "12345678", static_cast<int64_t>(1000 + writer.last().position.seq)), IsOk());
  }
  { KB_ASSERT_OK_AND_ASSIGN(const auto dead, ReaderCursor::Register(FileSystem::Posix(), journal_.layout(), "dead")); }
  EXPECT_THAT(Look().holds, IsEmpty());  // without snapshots nothing would be cut
  const SnapshotStore store(FileSystem::Posix(), journal_.layout().snapshots());
  ASSERT_THAT(FileSystem::Posix().CreateDirectories(store.directory()), IsOk());
  for (const uint64_t less : {1, 0}) WriteFileBytes(store.PathOf(writer.last().position.seq - less), "a snapshot");
  KB_ASSERT_OK_AND_ASSIGN(SyncMark mark, SyncMark::Open(FileSystem::Posix(), journal_.layout().synced()));
  mark.Advance(writer.last().position.seq);
  for (int looks = 0; looks < 2; ++looks) {
    const JournalFacts facts = Look();
    ASSERT_THAT(facts.holds, SizeIs(1));
    EXPECT_EQ(facts.holds[0].name, "dead");
    EXPECT_FALSE(facts.holds[0].owned);
    EXPECT_EQ(facts.holds[0].bytes, facts.bytes / 5 * 4);
    EXPECT_EQ(facts.holds[0].since_ns, 1000);
  }
}

TEST_F(JournalViewTest, ListsSnapshots) {
  JournalWriter writer = journal_.Begin();
  EXPECT_THAT(Look().snapshots, IsEmpty());
  const SnapshotStore store(FileSystem::Posix(), journal_.layout().snapshots());
  ASSERT_THAT(FileSystem::Posix().CreateDirectories(store.directory()), IsOk());
  WriteFileBytes(store.PathOf(200), std::string(300, 'x'));
  WriteFileBytes(store.PathOf(30), "shorter");
  WriteFileBytes(store.directory() + "/notes", "not ours");
  const JournalFacts facts = Look();
  ASSERT_THAT(facts.snapshots, SizeIs(2));
  EXPECT_EQ(facts.snapshots[0].seq, 30u);
  EXPECT_EQ(facts.snapshots[0].bytes, 7u);
  EXPECT_EQ(facts.snapshots[1].seq, 200u);
}

TEST_F(JournalViewTest, SaysWhereDamageEndsTheJournal) {
  JournalWriter writer = journal_.Begin();
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Append(writer, "12345678"), IsOk());
  const std::string path = journal_.layout().segment(1);
  std::string bytes = ReadFileBytes(path);
  // The payload of seq 3; the epoch's first frame has 24 bytes of payload.
  bytes[1024 + 72 + 56 + 8 + 40] ^= 1;
  WriteFileBytes(path, bytes);
  JournalFacts facts = Look();
  EXPECT_THAT(facts.end_status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  EXPECT_EQ(facts.last.seq, 2u);
  // Again, since it may be repaired.
  bytes[1024 + 72 + 56 + 8 + 40] ^= 1;
  WriteFileBytes(path, bytes);
  facts = Look();
  EXPECT_THAT(facts.end_status, IsOk());
  EXPECT_EQ(facts.last.seq, 4u);
}

TEST_F(JournalViewTest, WithoutAJournalThereIsNothingToShow) {
  EXPECT_THAT(view_.Look(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("without a journal")));
  JournalView nowhere(FileSystem::Posix(), dir_.File("nowhere"));
  EXPECT_THAT(nowhere.Look(), StatusIs(absl::StatusCode::kNotFound));
  // A replica that waits for its primary is one.
  const auto follower = Stats();
  const JournalFacts facts = Look();
  EXPECT_EQ(facts.segments, 0u);
  EXPECT_THAT(facts.replicas, SizeIs(1));
}

TEST_F(JournalViewTest, LookingChangesNothingAndALookThatFailedAnywhereIsNoneTheWorse) {
  JournalWriter writer = journal_.Begin();
  ASSERT_THAT(Append(writer, "one"), IsOk());
  const auto stats = Stats();
  FaultyFileSystem fs;
  const std::string before = dir_.Listing();
  for (uint64_t n = 1;; ++n) {
    JournalView view(fs, dir_.path());
    fs.FailCall(n, absl::UnavailableError("planted"));
    view.Look().status().IgnoreError();
    if (!fs.failed()) break;
    fs.Heal();
    // The next look finds all.
    const JournalFacts healed = ValueOrDie(view.Look());
    EXPECT_EQ(healed.last.seq, 2u) << n;
    EXPECT_EQ(healed.first_seq, 1u) << n;
  }
  EXPECT_EQ(dir_.Listing(), before);
}

}  // namespace
}  // namespace kekbit
