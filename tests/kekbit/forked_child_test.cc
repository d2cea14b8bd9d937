// Mends: a forked child that used a channel of its parent's died without a word, hung, or took the channel's files
// away. A writer does nothing in a child, and says so; a reader goes on there.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/blocking_reader.h"
#include "kekbit/shared_writer.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

Header SomeHeader() { return Header::Make({.writer_id = 1, .channel_id = 2, .capacity = 1 << 20}).value(); }

bool SaysForked(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) && absl::StrContains(status.message(), "fork()");
}

class ForkedChildTest : public testing::Test {
 protected:
  ShmWriter Create() { return ShmWriter::CreateAt(path_, SomeHeader()).value(); }

  TempDir dir_ = TempDir::InMemory();
  const std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(ForkedChildTest, AWriterDoesNothingThere) {
  auto writer = std::make_unique<ShmWriter>(Create());
  ASSERT_THAT(writer->Write(AsBytes("before")), IsOk());
  ChildProcess child([&writer] {
    if (!SaysForked(writer->Write(AsBytes("child")).status())) return 1;
    if (!SaysForked(writer->Claim(5).status()) || !SaysForked(writer->ClaimMost().status())) return 2;
    if (!SaysForked(writer->Heartbeat().status()) || !SaysForked(writer->Flush())) return 3;
    if (!SaysForked(writer->IsNamed().status())) return 4;
    writer->Close();
    writer.reset();  // closes nothing, and deletes no file
    return 0;
  });
  ASSERT_EQ(child.Wait(), 0);
  ASSERT_THAT(writer->Write(AsBytes("after")), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(path_));
  EXPECT_EQ(AsText(*reader.TryRead()), "before");
  EXPECT_EQ(AsText(*reader.TryRead()), "after");
  EXPECT_FALSE(reader.TryRead().has_value());
  EXPECT_FALSE(reader.exhausted()) << "the child closed the channel";
  EXPECT_THAT(reader.WriterAlive(), IsOkAndHolds(true));
  EXPECT_EQ(::access(WakePath(path_).c_str(), F_OK), 0) << "the child deleted the event";
}

TEST_F(ForkedChildTest, AChildMakesChannelsOfItsOwn) {
  const ShmWriter writer = Create();
  const std::string own_path = dir_.File("own.kekbit");
  ChildProcess child([&own_path] {
    auto own = ShmWriter::CreateAt(own_path, SomeHeader());
    return own.ok() && own->Write(AsBytes("child")).ok() ? 0 : 1;
  });
  ASSERT_EQ(child.Wait(), 0);
  KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(own_path));
  EXPECT_EQ(AsText(*reader.TryRead()), "child");
}

TEST_F(ForkedChildTest, ASharedWriterDoesNotHangOnALockOfTheParents) {
  SharedWriter writer(Create());
  std::atomic<bool> locked = false;
  std::atomic<bool> done = false;
  std::thread holder([&] {
    writer.With([&](ShmWriter&) {
      locked = true;
      while (!done) std::this_thread::yield();
    });
  });
  while (!locked) std::this_thread::yield();
  ChildProcess child([&writer] {
    return SaysForked(writer.Write(AsBytes("x")).status()) && SaysForked(writer.TryWrite(AsBytes("x")).status()) ? 0
                                                                                                                 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
  done = true;
  holder.join();
}

TEST_F(ForkedChildTest, ACallThatCanNotSaySoEndsTheChild) {
  SharedWriter writer(Create());
  ChildProcess child([&writer] {
    std::freopen("/dev/null", "w", stderr);
    writer.With([](ShmWriter&) {});
  });
  EXPECT_EQ(child.Wait(), -SIGABRT);
}

TEST_F(ForkedChildTest, ATouchersThreadIsNotWaitedFor) {
  auto toucher = std::make_unique<PageToucher>();
  ChildProcess child([&toucher] { toucher.reset(); });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(ForkedChildTest, AReaderGoesOnFromItsPlace) {
  ShmWriter writer = Create();
  ASSERT_THAT(writer.Write(AsBytes("one")), IsOk());
  ASSERT_THAT(writer.Write(AsBytes("two")), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(path_));
  ASSERT_EQ(AsText(*reader.TryRead()), "one");
  SharedWords words(1);
  ChildProcess child([&] {
    const std::optional<Bytes> two = reader.TryRead();
    if (!two || AsText(*two) != "two") return 1;
    words.Set(0, 1);
    // What the parent publishes meanwhile.
    std::optional<Bytes> three;
    while (!three) three = reader.TryRead();
    return AsText(*three) == "three" && reader.status().ok() ? 0 : 2;
  });
  words.AwaitAtLeast(0, 1);
  ASSERT_THAT(writer.Write(AsBytes("three")), IsOk());
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(AsText(*reader.TryRead()), "two");
}

TEST_F(ForkedChildTest, AReaderThatSleepsSeesWhatComes) {
  ShmWriter writer = Create();
  KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(path_));
  BlockingReader blocking(std::move(reader), FileSystem::Posix());
  ASSERT_FALSE(blocking.Read(absl::ZeroDuration()).has_value());
  SharedWords words(1);
  ChildProcess child([&] {
    words.Set(0, 1);
    const std::optional<Bytes> payload = blocking.Read(absl::Minutes(10));
    return payload && AsText(*payload) == "late" ? 0 : 1;
  });
  words.AwaitAtLeast(0, 1);
  ASSERT_THAT(writer.Write(AsBytes("late")), IsOk());
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace kekbit
