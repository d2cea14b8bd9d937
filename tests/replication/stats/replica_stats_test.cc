// ReplicaStats and what reads it: the same process, others, after its death; and from bytes that no
// replica wrote.

#include "kekbit/replication/stats/replica_stats.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/stats/replica_stats_words.h"
#include "kekbit/replication/stats/stats_files.h"
#include "kekbit/replication/stats/versioned_words.h"
#include "tests/support/allocations.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class ReplicaStatsTest : public testing::Test {
 protected:
  std::unique_ptr<ReplicaStats> Create(bool may_lead = true) {
    return ReplicaStats::Create(fs_, layout_, may_lead, clock_);
  }
  std::vector<std::string> Files() { return ListStatsFiles(FileSystem::Posix(), layout_); }
  static absl::StatusOr<ReplicaFacts> Read(const std::string& path) {
    return ReadReplicaStats(FileSystem::Posix(), path);
  }

  TempDir dir_ = TempDir::InMemory();
  JournalLayout layout_{dir_.path()};
  FaultyFileSystem fs_;
  FakeClock clock_;
};

TEST_F(ReplicaStatsTest, ShowsWhoItIs) {
  const auto stats = Create(/*may_lead=*/false);
  ASSERT_THAT(stats->file_status(), IsOk());
  EXPECT_THAT(Files(), ElementsAre(stats->path()));
  const ProcessId self = ProcessId::Self(fs_);
  EXPECT_THAT(stats->path(), HasSubstr(absl::StrCat("/replicas/", self.pid, "-", self.start_time, "-")));
  KB_ASSERT_OK_AND_ASSIGN(const ReplicaFacts facts, Read(stats->path()));
  EXPECT_EQ(facts.path, stats->path());
  EXPECT_TRUE(facts.alive);
  EXPECT_EQ(facts.process, self);
  EXPECT_EQ(facts.created_ns, clock_.RealtimeNanos());
  EXPECT_FALSE(facts.may_lead);
  EXPECT_EQ(facts.role, Role::kFollower);
  EXPECT_EQ(facts.ended_ns, 0);
  EXPECT_EQ(facts.applied, Position());
  EXPECT_FALSE(facts.last_error.has_value());
}

TEST_F(ReplicaStatsTest, ShowsHowFarItIs) {
  const auto stats = Create();
  stats->SetApplied({.epoch = 1, .seq = 10}, 1000, 3, 512);
  KB_ASSERT_OK_AND_ASSIGN(ReplicaFacts facts, Read(stats->path()));
  EXPECT_EQ(facts.applied, (Position{.epoch = 1, .seq = 10}));
  EXPECT_EQ(facts.applied_time_ns, 1000);
  EXPECT_EQ(std::make_pair(facts.segment, facts.offset), std::make_pair(SegmentNumber{3}, uint64_t{512}));
  EXPECT_EQ(facts.published, Position());

  clock_.Advance(5);
  stats->SetRole(Role::kPrimary, 2);
  stats->SetPublished({.epoch = 2, .seq = 11}, 2000);
  stats->SetPublished({.epoch = 2, .seq = 12}, 3000);
  stats->AddSync(11, 2, 90'000);
  KB_ASSERT_OK_AND_ASSIGN(facts, Read(stats->path()));
  EXPECT_EQ(facts.role, Role::kPrimary);
  EXPECT_EQ(facts.epoch, 2u);
  EXPECT_EQ(facts.role_since_ns, clock_.RealtimeNanos());
  EXPECT_EQ(facts.published, (Position{.epoch = 2, .seq = 12}));
  EXPECT_EQ(facts.published_time_ns, 3000);
  // A primary has applied what it published.
  EXPECT_EQ(facts.applied, facts.published);
  EXPECT_EQ(facts.applied_time_ns, 3000);
  EXPECT_EQ(facts.segment, 0u);
  EXPECT_EQ(facts.synced, 11u);
  EXPECT_EQ(facts.sync_ns.count(), 1u);
  EXPECT_EQ(facts.sync_ns.max(), 90'000u);
  EXPECT_EQ(facts.group.max(), 2u);
}

TEST_F(ReplicaStatsTest, ShowsWhatHappened) {
  const auto stats = Create();
  TakeoverReport report = {.epoch = 4,
                           .follows = 50,
                           .lease = absl::Nanoseconds(1),
                           .drained = absl::Nanoseconds(20),
                           .recovered = absl::Nanoseconds(300),
                           .synced = absl::Nanoseconds(4000),
                           .first_append = absl::Nanoseconds(50'000)};
  stats->AddTakeover(report);
  clock_.Advance(7);
  report.epoch = 6;
  report.lease = absl::Nanoseconds(2);
  stats->AddTakeover(report);
  stats->AddSnapshot({.position = {.epoch = 6, .seq = 99}, .bytes = 1 << 20, .took_ns = 1234});
  stats->SetError(absl::OkStatus());
  stats->SetError(absl::UnavailableError("first"));
  stats->SetError(absl::DataLossError(std::string(10'000, 'x')));
  KB_ASSERT_OK_AND_ASSIGN(ReplicaFacts facts, Read(stats->path()));
  EXPECT_EQ(facts.takeovers.count, 2u);
  EXPECT_EQ(facts.takeovers.total_ns, 2 * 54'320 + 3);
  EXPECT_EQ(facts.takeovers.at_ns, clock_.RealtimeNanos());
  EXPECT_EQ(facts.takeovers.report.ToString(), report.ToString());
  EXPECT_EQ(facts.snapshots.count, 1u);
  EXPECT_EQ(facts.snapshots.taken.position, (Position{.epoch = 6, .seq = 99}));
  EXPECT_EQ(facts.snapshots.taken.bytes, 1u << 20);
  EXPECT_EQ(facts.snapshots.taken.took_ns, 1234);
  ASSERT_TRUE(facts.last_error.has_value());
  EXPECT_EQ(facts.last_error->count, 2u);
  EXPECT_EQ(facts.last_error->at_ns, clock_.RealtimeNanos());
  EXPECT_THAT(facts.last_error->status, StatusIs(absl::StatusCode::kDataLoss, std::string(kErrorTextBytes, 'x')));
}

TEST_F(ReplicaStatsTest, LooksAtTheClockForOneCallInAbout64) {
  const auto stats = Create();
  constexpr int kCalls = 100'000;
  int sampled = 0;
  int gap = 0;
  int longest = 0;
  for (int i = 0; i < kCalls; ++i) {
    const int64_t start = stats->StartSample();
    gap = start == 0 ? gap + 1 : 0;
    longest = std::max(longest, gap);
    if (start == 0) {
      clock_.Advance(1'000'000);
      stats->AddApply(start);
      continue;
    }
    ++sampled;
    clock_.Advance(50);
    stats->AddApply(start);
    stats->AddExecute(start);
  }
  EXPECT_NEAR(sampled, kCalls / 64, kCalls / 64 / 4);
  EXPECT_LT(longest, 128);
  EXPECT_GT(longest, 64);  // not all the same
  const ReplicaFacts facts = ReadReplicaStats(stats->words());
  EXPECT_EQ(facts.apply_ns.count(), static_cast<uint64_t>(sampled));
  EXPECT_EQ(facts.execute_ns.count(), static_cast<uint64_t>(sampled));
  EXPECT_EQ(facts.apply_ns.max(), 50u);
}

TEST_F(ReplicaStatsTest, CallsThatArePassedAtOnceAreSampledAsOneByOne) {
  const auto stats = Create();
  constexpr size_t kCalls = 64'000;
  for (const size_t together : {1, 7, 64, 1000}) {
    size_t sampled = 0;
    size_t calls = 0;
    while (calls < kCalls) {
      const size_t passed = stats->PassUnsampled(together);
      ASSERT_LE(passed, std::min<size_t>(together, 127));
      calls += passed;
      if (passed == together) continue;
      ASSERT_NE(stats->StartSample(), 0);
      ++sampled;
      ++calls;
    }
    EXPECT_NEAR(static_cast<double>(sampled), kCalls / 64, kCalls / 64 / 4) << together;
  }
}

TEST_F(ReplicaStatsTest, TheHotPathAllocatesNothingAndCallsNoSystem) {
  const auto stats = Create();
  fs_.Heal();
  const AllocationMeter meter;
  for (uint64_t seq = 1; seq < 1000; ++seq) {
    const int64_t start = stats->StartSample();
    stats->SetPublished({.epoch = 1, .seq = seq}, 1);
    stats->AddApply(start);
    stats->AddExecute(start);
    stats->SetApplied({.epoch = 1, .seq = seq}, 1, 1, 8 * seq);
    stats->AddSync(seq, 1, 100);
  }
  EXPECT_EQ(meter.count(), 0u);
  EXPECT_THAT(fs_.calls(), IsEmpty());
}

TEST_F(ReplicaStatsTest, SurviveTheDeathOfTheProcess) {
  SharedWords words(1);
  ChildProcess child([&] {
    const auto stats = ReplicaStats::Create(FileSystem::Posix(), layout_, true);
    stats->SetRole(Role::kPrimary, 3);
    stats->SetPublished({.epoch = 3, .seq = 77}, 5);
    stats->SetError(absl::UnavailableError("the last words"));
    words.Set(0, 1);
    for (;;) ::pause();
    return 0;
  });
  words.AwaitAtLeast(0, 1);
  ASSERT_THAT(Files(), SizeIs(1));
  const std::string path = Files()[0];
  KB_ASSERT_OK_AND_ASSIGN(ReplicaFacts facts, Read(path));
  EXPECT_TRUE(facts.alive);
  EXPECT_EQ(facts.process.pid, static_cast<uint64_t>(child.pid()));
  child.Kill();
  KB_ASSERT_OK_AND_ASSIGN(facts, Read(path));
  EXPECT_FALSE(facts.alive);
  EXPECT_EQ(facts.ended_ns, 0);  // it did not end by itself
  EXPECT_EQ(facts.role, Role::kPrimary);
  EXPECT_EQ(facts.published, (Position{.epoch = 3, .seq = 77}));
  EXPECT_THAT(facts.last_error->status, StatusIs(absl::StatusCode::kUnavailable, "the last words"));
}

TEST_F(ReplicaStatsTest, AnEndIsToldFromADeath) {
  auto stats = Create();
  stats->SetRole(Role::kPrimary, 3);
  const std::string path = stats->path();
  clock_.Advance(100);
  stats.reset();
  KB_ASSERT_OK_AND_ASSIGN(const ReplicaFacts facts, Read(path));
  EXPECT_FALSE(facts.alive);
  EXPECT_EQ(facts.role, Role::kPrimary);
  EXPECT_EQ(facts.ended_ns, clock_.RealtimeNanos());
  EXPECT_EQ(facts.role_since_ns, clock_.RealtimeNanos() - 100);
}

TEST_F(ReplicaStatsTest, OldDeadOnesGoWhenAReplicaStarts) {
  const auto oldest_alive = Create();
  std::vector<std::string> dead;
  for (size_t i = 0; i < kDeadStatsKept + 5; ++i) {
    clock_.Advance(1);
    auto stats = Create();
    EXPECT_THAT(Files(), Not(SizeIs(testing::Gt(kDeadStatsKept + 2))));
    dead.push_back(stats->path());
    stats.reset();
  }
  WriteFileBytes(layout_.replicas() + "/notes", "not ours");
  clock_.Advance(1);
  const auto last = Create();
  const std::vector<std::string> files = Files();
  EXPECT_THAT(files, SizeIs(kDeadStatsKept + 2));
  EXPECT_THAT(files, AllOf(Contains(oldest_alive->path()), Contains(last->path())));
  for (size_t i = 0; i < dead.size(); ++i) {
    EXPECT_EQ(std::count(files.begin(), files.end(), dead[i]), i < 5 ? 0 : 1) << i;
  }
  EXPECT_EQ(ReadFileBytes(layout_.replicas() + "/notes"), "not ours");
}

TEST_F(ReplicaStatsTest, ANameThatIsTakenIsPassedOver) {
  const auto first = Create();
  const std::string name = first->path().substr(layout_.replicas().size() + 1);
  auto taken = ParseStatsFileName(name);
  ASSERT_TRUE(taken.has_value());
  ++taken->number;
  WriteFileBytes(JoinPath(layout_.replicas(), taken->ToString()), "of another pid namespace");
  const auto second = Create();
  ASSERT_THAT(second->file_status(), IsOk());
  ++taken->number;
  EXPECT_EQ(second->path(), JoinPath(layout_.replicas(), taken->ToString()));
}

TEST_F(ReplicaStatsTest, NamesAreParsedStrictly) {
  EXPECT_TRUE(ParseStatsFileName("12-3400-1.stats").has_value());
  for (const char* name : {"", ".stats", "1-2.stats", "1-2-3", "1-2-3.stats.", "01-2-3.stats", "1-2-3-4.stats",
                           "1--3.stats", "+1-2-3.stats", " 1-2-3.stats", "99999999999999999999-2-3.stats"}) {
    EXPECT_FALSE(ParseStatsFileName(name).has_value()) << name;
  }
}

TEST_F(ReplicaStatsTest, WithoutAFileTheyAreInMemory) {
  for (uint64_t n = 1;; ++n) {
    fs_.FailCall(n, absl::ResourceExhaustedError("planted"), /*for_good=*/true);
    const auto stats = Create();
    if (!fs_.failed()) break;
    fs_.Heal();
    stats->SetRole(Role::kPrimary, 9);
    stats->SetPublished({.epoch = 9, .seq = 5}, 1);
    stats->SetError(absl::DataLossError("seen"));
    const ReplicaFacts facts = ReadReplicaStats(stats->words());
    EXPECT_EQ(facts.role, Role::kPrimary);
    EXPECT_EQ(facts.published.seq, 5u);
    EXPECT_EQ(facts.last_error->count, 1u);
    if (stats->file_status().ok()) continue;  // only touching its pages failed
    EXPECT_THAT(stats->file_status(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
    EXPECT_EQ(stats->path(), "");
  }
  // None of them left a file to which nobody writes.
  for (const std::string& path : Files()) EXPECT_THAT(Read(path), IsOk());
}

// Every text of which a reader could see two parts together shows that.
std::string SelfVerifying(uint32_t n) { return std::string(20 + n % 400, static_cast<char>('a' + n % 26)); }
bool IsWhole(const absl::Status& error) {
  const std::string text(error.message());
  const auto code = static_cast<size_t>(error.code());
  return code == 1 + text.size() % 16 && std::count(text.begin(), text.end(), text[0]) == std::ssize(text);
}

TEST_F(ReplicaStatsTest, AReaderNeverSeesATornText) {
  const auto stats = Create();
  std::atomic<bool> done = false;
  std::atomic<int> seen = 0;
  std::atomic<int> torn = 0;
  const auto read = [&] {
    uint64_t count = 0;
    while (!done) {
      const ReplicaFacts facts = ReadReplicaStats(stats->words());
      if (facts.published.seq > 100'000 || facts.published_time_ns < static_cast<int64_t>(facts.published.seq)) ++torn;
      if (!facts.last_error) continue;
      if (!IsWhole(facts.last_error->status) || facts.last_error->count < count) ++torn;
      if (facts.last_error->count != count) ++seen;
      count = facts.last_error->count;
    }
  };
  std::thread first(read);
  std::thread second(read);
  // Go on until the readers have seen many different ones.
  for (uint32_t n = 1; n < 2'000 || (seen < 200 && torn == 0); ++n) {
    const std::string text = SelfVerifying(n);
    stats->SetError(absl::Status(static_cast<absl::StatusCode>(1 + text.size() % 16), text));
    stats->SetPublished({.epoch = 1, .seq = n % 100'000}, n);
    stats->AddSync(n % 100'000, n % 100, n);
    stats->SetRole(Role::kPrimary, n);
  }
  done = true;
  first.join();
  second.join();
  EXPECT_EQ(torn, 0);
}

// Write as fast as possible, so that the place that a reader reads is written to meanwhile again
// and again.
TEST_F(ReplicaStatsTest, WordsOfDifferentGenerationsNeverMix) {
  const auto words = std::make_unique<VersionedWords<63>>();
  std::atomic<bool> done = false;
  std::atomic<int> mixed = 0;
  std::thread reader([&] {
    for (int reads = 0, seen = 0; reads < 20'000 || seen < 1'000; ++reads) {
      const auto read = LoadVersioned(*words);
      if (!read) continue;
      if (!std::all_of(read->begin(), read->end(), [&](uint64_t word) { return word == read->front(); })) ++mixed;
      ++seen;
    }
    done = true;
  });
  std::array<uint64_t, 63> values = {};
  while (!done) {
    values.fill(values[0] + 1);
    StoreVersioned(*words, values);
  }
  reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST_F(ReplicaStatsTest, AWriterThatDiesInTheMiddleOfATextLeavesTheOneBefore) {
  ReplicaStatsWords words;
  StoreVersioned(words.role, {1, 7, 0, 0, 0, 0, 0});
  // Stop where StoreVersioned() got: some words of the next generation's place.
  words.role.places[0][0] = 2;
  words.role.places[0][1] = 8;
  EXPECT_EQ(ReadReplicaStats(words).epoch, 7u);
  EXPECT_EQ(ReadReplicaStats(words).role, Role::kFollower);
}

TEST_F(ReplicaStatsTest, WhatIsNoFileOfStatisticsIsRefused) {
  auto stats = Create();
  const std::string path = stats->path();
  stats.reset();
  const std::string whole = ReadFileBytes(path);
  ASSERT_EQ(whole.size(), sizeof(ReplicaStatsWords));
  EXPECT_EQ(whole.substr(0, 8), "KKBTATS1");
  for (const size_t size : {size_t{0}, size_t{7}, size_t{4096}, whole.size() - 1}) {
    WriteFileBytes(path, whole.substr(0, size));
    EXPECT_THAT(Read(path), StatusIs(absl::StatusCode::kDataLoss,
                                     AllOf(HasSubstr(path), HasSubstr(absl::StrCat("has ", size, " bytes")))));
  }
  std::string changed = whole;
  changed[0] = 'x';
  WriteFileBytes(path, changed);
  EXPECT_THAT(Read(path), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no file of statistics")));
  changed = whole;
  changed[8] = 2;
  WriteFileBytes(path, changed);
  EXPECT_THAT(Read(path), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2")));
  WriteFileBytes(path, whole + "what a later version may add");
  EXPECT_THAT(Read(path), IsOk());
  EXPECT_THAT(Read(dir_.File("nowhere")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ReplicaStatsTest, AnyBytesGiveFactsOrAnError) {
  auto stats = Create();
  const std::string path = stats->path();
  stats->SetError(absl::DataLossError("some text"));
  stats.reset();
  const std::string whole = ReadFileBytes(path);
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string bytes = whole;
    // Change everything after the version, or some of it; often with words that are nearly
    // possible.
    const bool all = round % 2 == 0;
    for (size_t at = 16; at + 8 <= bytes.size(); at += 8) {
      if (!all && random() % 16 != 0) continue;
      const uint64_t words[] = {random(), random() % 20, ~uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0} - random() % 9};
      StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + at, words[random() % 5]);
    }
    WriteFileBytes(path, bytes);
    KB_ASSERT_OK_AND_ASSIGN(const ReplicaFacts facts, Read(path));
    EXPECT_FALSE(facts.alive);
    if (facts.last_error) {
      EXPECT_FALSE(facts.last_error->status.ok());
      EXPECT_LE(facts.last_error->status.message().size(), kErrorTextBytes);
    }
    Histogram merged = facts.apply_ns;
    merged.Merge(facts.sync_ns);
    for (const double percent : {0.0, 50.0, 99.9, 100.0}) EXPECT_LE(merged.Percentile(percent), ~uint64_t{0});
  }
}

}  // namespace
}  // namespace kekbit
