#include "kekbit/replication/lease/process_watch.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"

namespace kekbit {
namespace {

// Longer than any test: a wait that ends was ended by what the test did.
constexpr absl::Duration kLong = absl::Minutes(30);

FileSystem& Fs() { return FileSystem::Posix(); }

int Sleep() {
  for (;;) ::pause();
}

// Returns what a process says of itself, asked from outside.
ProcessId IdOf(const ChildProcess& child, const SharedWords& words) {
  words.AwaitAtLeast(0, 1);
  return {.pid = static_cast<uint64_t>(child.pid()), .start_time = words.Get(1), .pid_namespace = words.Get(2)};
}

// A process that says who it is, then sleeps.
ChildProcess Sleeper(SharedWords& words) {
  return ChildProcess([&words] {
    const ProcessId self = ProcessId::Self(FileSystem::Posix());
    words.Set(1, self.start_time);
    words.Set(2, self.pid_namespace);
    words.Set(0, 1);
    return Sleep();
  });
}

TEST(ProcessIdTest, SelfIsThisProcess) {
  const ProcessId self = ProcessId::Self(Fs());
  EXPECT_EQ(self.pid, static_cast<uint64_t>(::getpid()));
  EXPECT_NE(self.start_time, 0u);
  EXPECT_NE(self.pid_namespace, 0u);
  EXPECT_EQ(self, ProcessId::Self(Fs()));
}

// As the kernel writes it, cut after the fields that count.
std::string StatText(absl::string_view name, char state, uint64_t flags) {
  return absl::StrCat("1234 (", name, ") ", std::string(1, state), " 1 1234 1234 0 -1 ", flags,
                      " 90 0 0 0 3 4 0 0 20 0 7 0 5678 1000000 200 18446744073709551615\n");
}

TEST(ParseThreadStatTest, TakesTheFieldsWhateverTheNameIs) {
  for (const absl::string_view name : {"ledger", "a b", ") R 1 1 1", "", "((("}) {
    const std::optional<ThreadStat> stat = ParseThreadStat(StatText(name, 'S', 0x400040));
    ASSERT_TRUE(stat.has_value()) << name;
    EXPECT_EQ(stat->state, 'S');
    EXPECT_EQ(stat->flags, 0x400040u);
    EXPECT_EQ(stat->threads, 7u);
    EXPECT_EQ(stat->start_time, 5678u);
  }
}

TEST(ParseThreadStatTest, TakesNothingElse) {
  const std::string whole = StatText("ledger", 'S', 0);
  for (const std::string& text :
       {std::string(), std::string("1234"), std::string("1234 (ledger"), std::string("1234 (ledger) "),
        whole.substr(0, whole.find(" 5678")), StatText("x", ' ', 0),
        std::string("1234 (x) S a b c d e f g h i j k l m n o p q r s")}) {
    EXPECT_FALSE(ParseThreadStat(text).has_value()) << text;
  }
}

TEST(ParseThreadStatTest, AThreadThatExitsOrWhoseProcessDumpsCoreNeverReturns) {
  // PF_FORKNOEXEC, PF_RANDOMIZE, PF_SUPERPRIV and PF_SIGNALED say nothing of the end.
  for (const uint64_t flags : {0x0, 0x40, 0x400000, 0x100, 0x400}) {
    EXPECT_FALSE(ParseThreadStat(StatText("x", 'R', flags))->never_returns()) << flags;
  }
  // PF_EXITING, PF_DUMPCORE, PF_POSTCOREDUMP.
  for (const uint64_t flags : {0x4, 0x200, 0x8, 0x400240, 0x40000c}) {
    EXPECT_TRUE(ParseThreadStat(StatText("x", 'D', flags))->never_returns()) << flags;
  }
}

TEST(ProcessWatchTest, SeesADeathBySigkill) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  StopEvent stop = StopEvent::Create().value();
  child.Signal(SIGKILL);
  watch->Wait(stop, kLong);  // ends, or the test does not
  EXPECT_EQ(child.Wait(), -SIGKILL);
}

TEST(ProcessWatchTest, ADeathThatWasBeforeTheWaitEndsItAtOnce) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  child.Kill();
  StopEvent stop = StopEvent::Create().value();
  watch->Wait(stop, kLong);
}

TEST(ProcessWatchTest, AStoppedProcessIsNotDead) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  child.Signal(SIGSTOP);
  StopEvent stop = StopEvent::Create().value();
  const absl::Time begin = absl::Now();
  watch->Wait(stop, absl::Milliseconds(50));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(45));
}

TEST(ProcessWatchTest, SeesWhoIsStopped) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const ProcessId id = IdOf(child, words);
  EXPECT_FALSE(ProcessWatch::IsStopped(Fs(), id));
  child.Signal(SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid(), &status, WUNTRACED), child.pid());
  EXPECT_TRUE(ProcessWatch::IsStopped(Fs(), id));
  ProcessId other = id;
  --other.start_time;
  EXPECT_FALSE(ProcessWatch::IsStopped(Fs(), other));
  other = id;
  ++other.pid_namespace;
  EXPECT_FALSE(ProcessWatch::IsStopped(Fs(), other));
  child.Signal(SIGCONT);
  while (ProcessWatch::IsStopped(Fs(), id)) std::this_thread::yield();
  child.Kill();
  EXPECT_FALSE(ProcessWatch::IsStopped(Fs(), id));
}

TEST(ProcessWatchTest, AProcessThatGotThePidOfADeadOneIsNotTakenForIt) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const ProcessId id = IdOf(child, words);
  ProcessId earlier = id;
  --earlier.start_time;
  EXPECT_FALSE(ProcessWatch::Open(Fs(), earlier).has_value());
  EXPECT_TRUE(ProcessWatch::Open(Fs(), id).has_value());
}

TEST(ProcessWatchTest, WhatCanNotBeWatchedIsNot) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const ProcessId id = IdOf(child, words);
  ProcessId elsewhere = id;
  ++elsewhere.pid_namespace;
  EXPECT_FALSE(ProcessWatch::Open(Fs(), elsewhere).has_value());
  ProcessId unknown = id;
  unknown.pid_namespace = 0;
  EXPECT_FALSE(ProcessWatch::Open(Fs(), unknown).has_value());
  EXPECT_FALSE(ProcessWatch::Open(Fs(), ProcessId{}).has_value());
  child.Kill();
  EXPECT_FALSE(ProcessWatch::Open(Fs(), id).has_value());
}

TEST(ProcessWatchTest, StopEndsTheWait) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  StopEvent stop = StopEvent::Create().value();
  std::thread stopper([&stop] { stop.Signal(); });
  watch->Wait(stop, kLong);
  stopper.join();
  // The wait took the signal: the next one is not ended by it.
  EXPECT_FALSE(stop.Wait(absl::ZeroDuration()));
}

TEST(ProcessWatchTest, WhoLivesOrIsStoppedIsNotExiting) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  EXPECT_FALSE(watch->IsExiting(Fs()));
  child.Signal(SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid(), &status, WUNTRACED), child.pid());
  EXPECT_FALSE(watch->IsExiting(Fs()));
}

TEST(ProcessWatchTest, WhoIsKilledIsExitingAndStaysSo) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  child.Signal(SIGKILL);
  while (!watch->IsExiting(Fs())) std::this_thread::yield();
  EXPECT_TRUE(watch->IsExiting(Fs()));
  child.Wait();
  EXPECT_TRUE(watch->IsExiting(Fs()));
}

TEST(ProcessWatchTest, AProcessWhoseFirstThreadEndedIsNotExiting) {
  SharedWords words(4);
  ChildProcess child([&words] {
    const ProcessId self = ProcessId::Self(FileSystem::Posix());
    words.Set(1, self.start_time);
    words.Set(2, self.pid_namespace);
    std::thread([&words] {
      words.Set(3, 1);
      Sleep();
    }).detach();
    words.AwaitAtLeast(3, 1);
    words.Set(0, 1);
    ::syscall(SYS_exit, 0);  // of this thread alone
  });
  const std::optional<ProcessWatch> watch = ProcessWatch::Open(Fs(), IdOf(child, words));
  ASSERT_TRUE(watch.has_value());
  // Wait until the process is a zombie.
  std::string state;
  while (state != "Z") {
    std::ifstream stat(absl::StrCat("/proc/", child.pid(), "/stat"));
    std::string pid, name;
    stat >> pid >> name >> state;
  }
  EXPECT_FALSE(watch->IsExiting(Fs()));
  child.Kill();
  EXPECT_TRUE(watch->IsExiting(Fs()));
}

TEST(ProcessWatchTest, WhoIsDeadIsGoneAndNobodyElse) {
  SharedWords words(3);
  ChildProcess child = Sleeper(words);
  const ProcessId id = IdOf(child, words);
  EXPECT_FALSE(ProcessWatch::IsGone(Fs(), id));
  ProcessId earlier = id;
  --earlier.start_time;
  EXPECT_TRUE(ProcessWatch::IsGone(Fs(), earlier));
  child.Kill();
  EXPECT_TRUE(ProcessWatch::IsGone(Fs(), id));
  ProcessId elsewhere = id;
  ++elsewhere.pid_namespace;
  EXPECT_FALSE(ProcessWatch::IsGone(Fs(), elsewhere));
  EXPECT_FALSE(ProcessWatch::IsGone(Fs(), ProcessId{}));
}

}  // namespace
}  // namespace kekbit
