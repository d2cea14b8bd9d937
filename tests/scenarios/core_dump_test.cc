// Mends: a primary that dumped core kept its standby waiting until the dump was written.
//
// The kernel hands each dump to a script of this test, which reads nothing before the standby leads: so a standby that
// leads has not waited for the end of the dump. By real processes; wants to set the machine's core_pattern.

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/lease/process_watch.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/writer_process.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

constexpr char kPattern[] = "/proc/sys/kernel/core_pattern";
constexpr size_t kBallast = size_t{256} << 20;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Returns whether all of `text` was taken.
bool WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The dumps of one process go to a script, which waits for Release(), and gives up after some 20 s.
class HeldDumps final {
 public:
  HeldDumps() : before_(ReadFile(kPattern)) {
    const std::string script = dir_.File("dump");
    const bool written = WriteFile(script,
                                   "#!/bin/sh\n"
                                   "PATH=/usr/bin:/bin\n"
                                   "dir=${0%/*}\n"
                                   "[ \"$1\" = \"$(cat \"$dir/pid\")\" ] || exec cat > /dev/null\n"
                                   ": > \"$dir/begun\"\n"
                                   "looks=0\n"
                                   "while [ -d \"$dir\" ] && [ ! -e \"$dir/go\" ]; do\n"
                                   "  looks=$((looks + 1))\n"
                                   "  [ $looks -lt 400 ] || { : > \"$dir/gave_up\"; break; }\n"
                                   "  sleep 0.05\n"
                                   "done\n"
                                   "exec cat > /dev/null\n");
    ::chmod(script.c_str(), 0700);
    set_ = written && !before_.empty() && WriteFile(kPattern, absl::StrCat("|/bin/sh ", script, " %P"));
  }
  ~HeldDumps() {
    Release();
    if (set_) WriteFile(kPattern, before_);
  }

  // Whether dumps are held: not if this process may not say where they go.
  bool held() const { return set_; }
  void Of(pid_t pid) { WriteFile(dir_.File("pid"), absl::StrCat(pid)); }
  bool begun() const { return Exists(dir_.File("begun")); }
  bool gave_up() const { return Exists(dir_.File("gave_up")); }
  void Release() { WriteFile(dir_.File("go"), "go"); }

 private:
  TempDir dir_ = TempDir::InMemory();
  std::string before_;
  bool set_ = false;
};

void AllowDumps() {
  const rlimit unlimited = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  ::setrlimit(RLIMIT_CORE, &unlimited);
}

std::string StatusOf(pid_t pid) { return ReadFile(absl::StrCat("/proc/", pid, "/status")); }

class CoreDumpTest : public testing::TestWithParam<absl::Duration> {};

TEST_P(CoreDumpTest, AStandbyDoesNotWaitForThePrimarysDump) {
  HeldDumps dumps;
  if (!dumps.held()) GTEST_SKIP() << "SKIPPED: " << kPattern << " can't be written to";
  WriterJournal journal;
  ReplicaOptions options = journal.options();
  options.kill_hung_primary_after = GetParam();
  SharedWords words(1);
  ChildProcess primary([&options, &words] {
    AllowDumps();
    const std::vector<char> ballast(kBallast, 1);
    auto replica = Replica<Tape, TextCodec>::Open(options).value();
    if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return 1;
    for (uint64_t number = 0; number < 100; ++number) {
      const std::vector<uint8_t> bytes = CheckedPayload(number, kCommandBytesMax);
      if (!replica->Execute(std::string(AsText(bytes))).ok()) return 2;
    }
    words.Set(0, 1);
    for (;;) ::pause();
  });
  dumps.Of(primary.pid());
  words.AwaitAtLeast(0, 1);
  WriterProcess standby(options, nullptr);
  ASSERT_FALSE(standby.SaysAnything(200));
  primary.Signal(SIGABRT);
  ASSERT_TRUE(standby.AwaitAcks(100));
  EXPECT_EQ(standby.acks().front().number, 100u) << "something acknowledged is lost";
  // In this order: what is not over now was not over when the standby came to lead.
  EXPECT_THAT(StatusOf(primary.pid()), HasSubstr("CoreDumping:\t1"));
  EXPECT_FALSE(dumps.gave_up());
  dumps.Release();
  EXPECT_EQ(primary.Wait(), -SIGABRT);
  EXPECT_TRUE(dumps.begun()) << "there was no dump to wait for";
  standby.Kill();
  ASSERT_NO_FATAL_FAILURE(journal.Check({&standby}));
}

// A hung primary's watcher has another way of waiting. Its patience is longer than the script's.
INSTANTIATE_TEST_SUITE_P(Patience, CoreDumpTest, testing::Values(absl::InfiniteDuration(), absl::Minutes(5)));

TEST(DumpingProcessTest, NeverRunsAgainWithAllOfItsThreads) {
  HeldDumps dumps;
  if (!dumps.held()) GTEST_SKIP() << "SKIPPED: " << kPattern << " can't be written to";
  SharedWords words(3);
  ChildProcess child([&words] {
    AllowDumps();
    const ProcessId self = ProcessId::Self(FileSystem::Posix());
    words.Set(1, self.start_time);
    words.Set(2, self.pid_namespace);
    for (int i = 0; i < 3; ++i) {
      std::thread([] {
        for (;;) ::pause();
      }).detach();
    }
    words.Set(0, 1);
    for (;;) ::pause();
  });
  words.AwaitAtLeast(0, 1);
  dumps.Of(child.pid());
  const std::optional<ProcessWatch> watch = ProcessWatch::Open(
      FileSystem::Posix(),
      {.pid = static_cast<uint64_t>(child.pid()), .start_time = words.Get(1), .pid_namespace = words.Get(2)});
  ASSERT_TRUE(watch.has_value());
  EXPECT_FALSE(watch->IsExiting(FileSystem::Posix()));
  child.Signal(SIGQUIT);
  while (!watch->IsExiting(FileSystem::Posix()) && !dumps.gave_up()) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_THAT(StatusOf(child.pid()), HasSubstr("CoreDumping:\t1"));
  EXPECT_FALSE(dumps.gave_up());
  dumps.Release();
  EXPECT_EQ(child.Wait(), -SIGQUIT);
  EXPECT_TRUE(dumps.begun());
}

}  // namespace
}  // namespace kekbit
