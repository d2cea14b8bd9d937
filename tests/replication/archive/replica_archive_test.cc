// Replicas that archive their journal: of all of them one copies, a follower if there is one, and a store that fails
// stops nobody.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/archive/archive_index.h"
#include "kekbit/replication/archive/directory_store.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::HasSubstr;
using TapeReplica = Replica<Tape>;

class ReplicaArchiveTest : public testing::Test {
 protected:
  ReplicaOptions Options(DirectoryStore& store) {
    ReplicaOptions options;
    options.directory = JoinPath(dir_.path(), "journal");
    options.threads = false;
    options.clock = &clock_;
    options.archive.store = &store;
    options.archive.interval = absl::Milliseconds(500);
    options.logger = [this](LogSeverity severity, absl::string_view text) {
      if (severity != LogSeverity::kInfo) log_.emplace_back(text);
    };
    return options;
  }
  std::unique_ptr<TapeReplica> Open(DirectoryStore& store) { return ValueOrDie(TapeReplica::Open(Options(store))); }

  // Lets the time go by, and each replica do what is due.
  void Run(absl::Duration time, std::vector<TapeReplica*> replicas) {
    for (absl::Duration step = absl::Milliseconds(100); time > absl::ZeroDuration(); time -= step) {
      clock_.Advance(absl::ToInt64Nanoseconds(step));
      for (TapeReplica* replica : replicas) EXPECT_THAT(replica->Poll(), IsOk());
    }
  }
  void Submit(TapeReplica& primary, const std::string& command) {
    last_ = ValueOrDie(primary.Submit(command)).position;
  }
  // The end of the archive, and who put it there.
  Manifest Archived() {
    const auto manifest = FindManifest(stores_[0], std::nullopt);
    return manifest.ok() ? *manifest : Manifest();
  }

  TempDir dir_ = TempDir::InMemory();
  FakeClock clock_;
  FaultyFileSystem fs_[2];
  // The same archive, as two replicas see it.
  DirectoryStore stores_[2] = {{fs_[0], JoinPath(dir_.path(), "archive")}, {fs_[1], JoinPath(dir_.path(), "archive")}};
  std::vector<std::string> log_;
  Position last_;
};

TEST_F(ReplicaArchiveTest, AFollowerCopiesIfThereIsOne) {
  auto primary = Open(stores_[0]);
  Run(absl::Seconds(1), {primary.get()});
  ASSERT_EQ(primary->role(), Role::kPrimary);
  Submit(*primary, "one");
  // A primary waits for a follower first.
  Run(absl::Seconds(1), {primary.get()});
  EXPECT_EQ(Archived().end().position.seq, 0u);
  Run(absl::Seconds(4), {primary.get()});
  EXPECT_EQ(Archived().end().position, last_);
  const uint64_t by_primary = Archived().copier;

  auto follower = Open(stores_[1]);
  Run(absl::Seconds(2), {primary.get(), follower.get()});
  Submit(*primary, "two");
  Run(absl::Seconds(1), {primary.get(), follower.get()});
  EXPECT_EQ(Archived().end().position, last_);
  const uint64_t by_follower = Archived().copier;
  EXPECT_NE(by_follower, by_primary);
  for (int i = 0; i < 10; ++i) {
    Submit(*primary, "more");
    Run(absl::Seconds(1), {primary.get(), follower.get()});
    EXPECT_EQ(Archived().end().position, last_);
    EXPECT_EQ(Archived().copier, by_follower);
  }

  // The follower dies: the primary goes on where the archive ends.
  follower.reset();
  Submit(*primary, "three");
  Run(absl::Seconds(5), {primary.get()});
  EXPECT_EQ(Archived().end().position, last_);
  EXPECT_NE(Archived().copier, by_follower);

  // The primary dies: whoever takes over goes on.
  follower = Open(stores_[1]);
  Run(absl::Seconds(2), {primary.get(), follower.get()});
  primary.reset();
  Run(absl::Seconds(1), {follower.get()});
  ASSERT_EQ(follower->role(), Role::kPrimary);
  Submit(*follower, "four");
  Run(absl::Seconds(1), {follower.get()});
  EXPECT_EQ(Archived().end().position, last_);
  EXPECT_TRUE(log_.empty()) << log_[0];
  const RestoreReport report = ValueOrDie(Restore(stores_[0], FileSystem::Posix(), JoinPath(dir_.path(), "new"), {}));
  EXPECT_EQ(report.last, last_);
}

TEST_F(ReplicaArchiveTest, AStoreThatFailsStopsNobody) {
  auto primary = Open(stores_[0]);
  Run(absl::Seconds(6), {primary.get()});
  ASSERT_EQ(primary->role(), Role::kPrimary);
  for (const char* call : {"CreateUnnamed", "WriteAt", "File::Sync", "LinkTo", "SyncDirectory", "List", "Open"}) {
    log_.clear();
    fs_[0].FailCalls(call, absl::ResourceExhaustedError("planted: no room"));
    Submit(*primary, call);
    const Position before = Archived().end().position;
    Run(absl::Seconds(30), {primary.get()});
    EXPECT_EQ(primary->role(), Role::kPrimary);
    fs_[0].FailCalls(call, absl::OkStatus());
    fs_[0].Heal();
    // Once, however often it was tried.
    if (Archived().end().position == before) {
      ASSERT_EQ(log_.size(), 1u) << call;
      EXPECT_THAT(log_[0], HasSubstr("was not archived"));
    }
    Run(absl::Seconds(12), {primary.get()});
    EXPECT_EQ(Archived().end().position, last_) << call;
  }
}

TEST_F(ReplicaArchiveTest, AnIntervalThatIsTooShortIsRefused) {
  ReplicaOptions options = Options(stores_[0]);
  options.archive.interval = absl::Milliseconds(49);
  EXPECT_THAT(TapeReplica::Open(std::move(options)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("interval")));
}

// With threads: a copy comes by itself, and the end does not wait for a store that hangs for a while.
TEST_F(ReplicaArchiveTest, CopiesByAThreadOfItsOwn) {
  ReplicaOptions options = Options(stores_[0]);
  options.threads = true;
  options.clock = &Clock::System();
  options.archive.interval = absl::Milliseconds(50);
  const auto primary = ValueOrDie(TapeReplica::Open(std::move(options)));
  ASSERT_TRUE(primary->WaitForRole(Role::kPrimary, absl::Minutes(3)));
  Submit(*primary, "one");
  const absl::Time deadline = absl::Now() + absl::Minutes(3);
  while (Archived().end().position != last_ && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(Archived().end().position, last_);
}

}  // namespace
}  // namespace kekbit
