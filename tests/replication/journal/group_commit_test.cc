#include "kekbit/replication/journal/group_commit.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kSegmentBytes = 64 << 10;

// Notes each sync, and lets it return only while the gate is open.
class GatedMapping final : public MappedFile {
 public:
  GatedMapping() : MappedFile(bytes_, sizeof bytes_) {}

  absl::Status Sync(uint64_t offset, uint64_t size) override {
    absl::MutexLock lock(&mutex_);
    ++begun_;
    mutex_.Await(absl::Condition(&open_));
    ranges_.emplace_back(offset, size);
    if (clock_ != nullptr) clock_->Advance(nanos_);
    return error_;
  }
  absl::Status Touch(uint64_t, uint64_t) override { return absl::OkStatus(); }

  void SetOpen(bool open) {
    absl::MutexLock lock(&mutex_);
    open_ = open;
  }
  void SetError(const absl::Status& error) {
    absl::MutexLock lock(&mutex_);
    error_ = error;
  }
  // From now on each sync takes so long.
  void SetDuration(FakeClock* clock, int64_t nanos) {
    absl::MutexLock lock(&mutex_);
    clock_ = clock;
    nanos_ = nanos;
  }
  // Waits until that many syncs were begun.
  void AwaitBegun(int count) {
    absl::MutexLock lock(&mutex_);
    const auto begun = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return begun_ >= count; };
    mutex_.Await(absl::Condition(&begun));
  }
  std::vector<std::pair<uint64_t, uint64_t>> ranges() {
    absl::MutexLock lock(&mutex_);
    return ranges_;
  }

 private:
  uint8_t bytes_[kSegmentBytes] = {};
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  int begun_ ABSL_GUARDED_BY(mutex_) = 0;
  FakeClock* clock_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int64_t nanos_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<uint64_t, uint64_t>> ranges_ ABSL_GUARDED_BY(mutex_);
};

class GroupCommitTest : public testing::Test {
 protected:
  GroupCommitTest() {
    EXPECT_THAT(fs_.CreateDirectories(DirectoryOf(layout_.segment(1))), IsOk());
    mark_ = std::make_unique<SyncMark>(SyncMark::Open(fs_, layout_.synced()).value());
    GroupCommit::Options options;
    options.file_system = &fs_;
    options.layout = layout_;
    options.mark = mark_.get();
    options.epoch = 3;
    options.clock = &clock_;
    options.synced = 10;
    options.on_error = [this](const absl::Status& error) { errors_.push_back(error); };
    options.on_put_off = [this](const absl::Status&) { ++put_offs_; };
    options.on_sync = [this](Seq synced, uint64_t frames, int64_t) {
      EXPECT_EQ(synced, commit_->synced());
      groups_.push_back(frames);
    };
    commit_ = std::make_unique<GroupCommit>(std::move(options));
    commit_->AddSegment(1, mapping_);
  }

  static absl::Time Never() { return absl::InfiniteFuture(); }

  // Has frame 11 synced by one thread, and frame 12 by a second that slept meanwhile; each sync
  // takes 4 us. Then both are on their way back, for all that the next leader knows.
  void SyncForTwo() {
    mapping_->SetDuration(&clock_, 4'000);
    mapping_->SetOpen(false);
    commit_->Published(11, 1'000);
    std::thread leader([this] { EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk()); });
    mapping_->AwaitBegun(1);
    commit_->Published(12, 2'000);
    std::thread sleeper([this] { EXPECT_THAT(commit_->WaitFor(12, Never()), IsOk()); });
    while (commit_->waiting() == 0) std::this_thread::yield();
    mapping_->SetOpen(true);
    leader.join();
    sleeper.join();
    ASSERT_THAT(groups_, ElementsAre(1, 1));
  }

  FakeClock clock_;
  TempDir dir_;
  FaultyFileSystem fs_;
  const JournalLayout layout_{dir_.path()};
  std::unique_ptr<SyncMark> mark_;
  std::shared_ptr<GatedMapping> mapping_ = std::make_shared<GatedMapping>();
  std::vector<absl::Status> errors_;
  std::atomic<int> put_offs_ = 0;
  std::vector<uint64_t> groups_;
  std::unique_ptr<GroupCommit> commit_;
};

TEST_F(GroupCommitTest, ASingleCallerSyncsWhatIsNewAndNoMore) {
  commit_->Published(11, 5'000);
  EXPECT_THAT(commit_->WaitFor(10, Never()), IsOk());
  EXPECT_THAT(mapping_->ranges(), ElementsAre());
  EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk());
  EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk());
  commit_->Published(13, 9'000);
  EXPECT_THAT(commit_->WaitFor(12, Never()), IsOk());
  EXPECT_THAT(commit_->WaitFor(13, Never()), IsOk());
  EXPECT_THAT(mapping_->ranges(), ElementsAre(std::pair(0, 5'000), std::pair(4'096, 4'904)));
  EXPECT_THAT(groups_, ElementsAre(1, 2));
  EXPECT_EQ(mark_->synced(), 13u);
}

// The power-loss simulator found an acknowledged frame gone whose length was the last word of its
// page.
TEST_F(GroupCommitTest, ALengthThatIsTheLastWordOfASyncedPageIsSyncedWithItsFrame) {
  commit_->Published(11, 8'192);
  EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk());
  commit_->Published(12, 8'300);
  EXPECT_THAT(commit_->WaitFor(12, Never()), IsOk());
  EXPECT_THAT(mapping_->ranges(), ElementsAre(std::pair(0, 8'192), std::pair(4'096, 4'204)));
}

// A process that finds the mark so, and nobody alive, can't know what became of the sync.
TEST_F(GroupCommitTest, TheMarkTellsOfASyncUntilItHasSucceeded) {
  EXPECT_FALSE(mark_->unfinished().has_value());
  mapping_->SetOpen(false);
  commit_->Published(11, 5'000);
  std::thread first([&] { EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk()); });
  mapping_->AwaitBegun(1);
  ASSERT_TRUE(mark_->unfinished().has_value());
  EXPECT_EQ(mark_->unfinished()->segment, 1u);
  EXPECT_EQ(mark_->unfinished()->from, 0u);
  mapping_->SetOpen(true);
  first.join();
  EXPECT_FALSE(mark_->unfinished().has_value());
  mapping_->SetError(absl::AbortedError("planted"));
  commit_->Published(12, 9'000);
  EXPECT_THAT(commit_->WaitFor(12, Never()), StatusIs(StatusCode::kAborted));
  ASSERT_TRUE(mark_->unfinished().has_value());
  EXPECT_EQ(mark_->unfinished()->from, 4'096u);
}

TEST_F(GroupCommitTest, WhoComesDuringASyncSharesTheNext) {
  mapping_->SetOpen(false);
  commit_->Published(11, 5'000);
  std::thread first([&] { EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk()); });
  mapping_->AwaitBegun(1);
  std::vector<std::thread> callers;
  for (Seq seq = 12; seq < 20; ++seq) {
    commit_->Published(seq, 5'000 + seq);
    callers.emplace_back([&, seq] { EXPECT_THAT(commit_->WaitFor(seq, Never()), IsOk()); });
  }
  EXPECT_EQ(commit_->synced(), 10u);
  mapping_->SetOpen(true);
  first.join();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(commit_->synced(), 19u);
  // The first alone, then all the others, whoever led them.
  EXPECT_EQ(mapping_->ranges().size(), 2u);
}

TEST_F(GroupCommitTest, ALeaderWaitsForThoseJustReleased) {
  ASSERT_NO_FATAL_FAILURE(SyncForTwo());
  commit_->Published(13, 3'000);
  std::thread leader([this] { EXPECT_THAT(commit_->WaitFor(13, Never()), IsOk()); });
  absl::SleepFor(absl::Milliseconds(20));  // in which one that did not wait would have synced
  EXPECT_EQ(commit_->synced(), 12u);
  commit_->Published(14, 4'000);
  leader.join();
  EXPECT_THAT(groups_, ElementsAre(1, 1, 2));
}

TEST_F(GroupCommitTest, ALeaderWaitsAQuarterOfASync) {
  ASSERT_NO_FATAL_FAILURE(SyncForTwo());
  commit_->Published(13, 3'000);
  std::thread leader([this] { EXPECT_THAT(commit_->WaitFor(13, Never()), IsOk()); });
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(commit_->synced(), 12u);
  clock_.Advance(1'000);
  leader.join();
  EXPECT_THAT(groups_, ElementsAre(1, 1, 1));
}

TEST_F(GroupCommitTest, SegmentsAreSyncedInOrderWithTheirNames) {
  auto second = std::make_shared<GatedMapping>();
  commit_->Published(11, 5'000);
  commit_->AddSegment(2, second);
  commit_->Published(12, 2'000);
  mapping_->SetOpen(false);
  fs_.FailCall(0, absl::OkStatus());  // counts from here
  std::thread caller([&] { EXPECT_THAT(commit_->WaitFor(12, Never()), IsOk()); });
  mapping_->AwaitBegun(1);
  EXPECT_THAT(second->ranges(), ElementsAre());
  EXPECT_EQ(commit_->open_segments(), 2u);
  mapping_->SetOpen(true);
  caller.join();
  EXPECT_THAT(mapping_->ranges(), ElementsAre(std::pair(0, kSegmentBytes)));
  EXPECT_THAT(second->ranges(), ElementsAre(std::pair(0, 2'000)));
  EXPECT_THAT(fs_.calls(), testing::Contains("SyncDirectory").Times(testing::Ge(2)));
  EXPECT_EQ(commit_->open_segments(), 1u);
}

// P3. A segment whose name is lost is lost with all that was synced in it.
TEST_F(GroupCommitTest, NothingIsSyncedBeforeTheNameIs) {
  commit_->Published(11, 5'000);
  fs_.FailCalls("SyncDirectory", absl::AbortedError("planted"));
  EXPECT_THAT(commit_->WaitFor(11, Never()), StatusIs(StatusCode::kAborted, HasSubstr("planted")));
  EXPECT_EQ(mark_->synced(), 0u);
}

// P3. The kernel says OK the second time, and the bytes are gone.
TEST_F(GroupCommitTest, AnErrorIsFinal) {
  commit_->Published(11, 5'000);
  ASSERT_THAT(commit_->WaitFor(11, Never()), IsOk());
  mapping_->SetError(absl::AbortedError("planted"));
  commit_->Published(12, 6'000);
  EXPECT_THAT(commit_->WaitFor(12, Never()), StatusIs(StatusCode::kAborted, HasSubstr("unknown")));
  mapping_->SetError(absl::OkStatus());
  EXPECT_THAT(commit_->WaitFor(12, Never()), StatusIs(StatusCode::kAborted, HasSubstr("planted")));
  commit_->Published(13, 7'000);
  EXPECT_THAT(commit_->WaitFor(13, Never()), StatusIs(StatusCode::kAborted, HasSubstr("seq 11")));
  EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk());
  EXPECT_EQ(errors_.size(), 1u);
  EXPECT_EQ(mark_->synced(), 11u);
  EXPECT_EQ(mark_->poisoned(), 1u);
}

// One EMFILE ended the primary and every standby.
TEST_F(GroupCommitTest, ACallThatCouldNotBeMadeIsNoFailedSync) {
  for (const absl::Status& error : FaultyFileSystem::ErrorsOf("SyncDirectory")) {
    commit_->AddSegment(2, std::make_shared<GatedMapping>());
    commit_->Published(commit_->published() + 1, 5'000);
    fs_.FailCall(1, error);
    EXPECT_THAT(commit_->Sync(), IsOk());
    EXPECT_TRUE(fs_.failed());
  }
  EXPECT_EQ(mark_->poisoned(), 0u);
  EXPECT_FALSE(mark_->unfinished().has_value());
  EXPECT_EQ(commit_->synced(), commit_->published());
  EXPECT_THAT(errors_, ElementsAre());
  EXPECT_EQ(put_offs_, 0);
}

TEST_F(GroupCommitTest, ASyncThatIsPutOffIsToldToAllWhoWaitAndMadeLater) {
  fs_.FailCalls("SyncDirectory", absl::ResourceExhaustedError("planted"));
  commit_->Published(14, 5'000);
  std::vector<std::thread> callers;
  for (Seq seq = 11; seq <= 14; ++seq) {
    callers.emplace_back([&, seq] {
      EXPECT_THAT(commit_->WaitFor(seq, Never()), StatusIs(StatusCode::kUnavailable, HasSubstr("planted")));
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(commit_->synced(), 10u);
  EXPECT_EQ(mark_->poisoned(), 0u);
  EXPECT_FALSE(mark_->unfinished().has_value());
  EXPECT_THAT(errors_, ElementsAre());
  EXPECT_GE(put_offs_, 1);
  EXPECT_TRUE(commit_->IsDue());
  fs_.Heal();
  EXPECT_THAT(commit_->SyncDue(), IsOk());
  EXPECT_EQ(commit_->synced(), 14u);
  EXPECT_FALSE(commit_->IsDue());
}

// One mapping for each segment that is not synced came to the system's limit.
TEST_F(GroupCommitTest, FewOfManySegmentsStayMapped) {
  constexpr SegmentNumber kSegments = 100;
  std::vector<std::shared_ptr<GatedMapping>> mappings;
  for (SegmentNumber number = 2; number <= kSegments; ++number) {
    WriteFileBytes(layout_.segment(number), std::string(kSegmentBytes, 'x'));
    mappings.push_back(std::make_shared<GatedMapping>());
    commit_->AddSegment(number, mappings.back());
    commit_->Published(commit_->published() + 1, 1'000);
  }
  const auto in_use =
      std::count_if(mappings.begin(), mappings.end(), [](const auto& each) { return each.use_count() > 1; });
  EXPECT_LE(in_use, 32);
  EXPECT_GT(mappings.back().use_count(), 1);
  fs_.LimitMappings(2);
  fs_.LimitFiles(1);
  fs_.FailCall(0, absl::OkStatus());
  EXPECT_THAT(commit_->Sync(), IsOk());
  const std::vector<std::string> calls = fs_.calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "MappedFile::Sync"), static_cast<int64_t>(kSegments - 1) - in_use);
  EXPECT_EQ(commit_->open_segments(), 1u);
}

TEST_F(GroupCommitTest, AnErrorReachesAllWhoWait) {
  mapping_->SetOpen(false);
  mapping_->SetError(absl::AbortedError("planted"));
  commit_->Published(15, 5'000);
  std::vector<std::thread> callers;
  for (Seq seq = 11; seq <= 15; ++seq) {
    callers.emplace_back([&, seq] { EXPECT_THAT(commit_->WaitFor(seq, Never()), StatusIs(StatusCode::kAborted)); });
  }
  mapping_->AwaitBegun(1);
  mapping_->SetOpen(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(errors_.size(), 1u);
}

TEST_F(GroupCommitTest, ADeadlineEndsAWaitAndNothingElse) {
  mapping_->SetOpen(false);
  commit_->Published(12, 5'000);
  std::thread leader([&] { EXPECT_THAT(commit_->WaitFor(11, Never()), IsOk()); });
  mapping_->AwaitBegun(1);
  EXPECT_THAT(commit_->WaitFor(12, absl::Now() + absl::Milliseconds(1)),
              StatusIs(StatusCode::kUnavailable, HasSubstr("seq 12")));
  mapping_->SetOpen(true);
  leader.join();
  EXPECT_THAT(commit_->WaitFor(12, absl::InfinitePast()), IsOk());
}

TEST_F(GroupCommitTest, WhatIsNotPublishedCanNotBeAwaited) {
  EXPECT_THAT(commit_->WaitFor(11, Never()), StatusIs(StatusCode::kInvalidArgument, HasSubstr("10")));
}

TEST_F(GroupCommitTest, ManyCallersAllComeThrough) {
  std::atomic<Seq> next = 10;
  absl::Mutex publishing;
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        Seq seq;
        {
          absl::MutexLock lock(&publishing);
          seq = ++next;
          commit_->Published(seq, seq);
        }
        // Some give up, and come again.
        while (i % 2 == 0 && !commit_->WaitFor(seq, absl::Now() + absl::Microseconds(20)).ok()) {
        }
        ASSERT_THAT(commit_->WaitFor(seq, Never()), IsOk());
        ASSERT_GE(commit_->synced(), seq);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(commit_->synced(), 10u + 8 * 200);
}

}  // namespace
}  // namespace kekbit
