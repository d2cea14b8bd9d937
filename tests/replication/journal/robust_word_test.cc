#include "kekbit/replication/journal/robust_word.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/stop_event.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

constexpr uint64_t kOffset = 16;
constexpr uint64_t kBytes = 64;
// Longer than any test: a wait that ends was ended by what the test did.
constexpr absl::Duration kLong = absl::Minutes(30);

class RobustWordTest : public testing::Test {
 protected:
  RobustWordTest() { EXPECT_THAT(fs_.OpenOrCreate(path_).value()->Allocate(kBytes), IsOk()); }

  // Each time by another mapping, as in another process.
  RobustWord Word() {
    return {.mapping = fs_.Open(path_, Access::kReadWrite).value()->Map(Access::kReadWrite, kBytes).value(),
            .offset = kOffset};
  }
  std::unique_ptr<RobustWordWatch> Watch(StopEvent& event) { return RobustWordWatch::Start(Word(), event).value(); }

  // Holds the word in a process of its own, until it is killed.
  ChildProcess HolderProcess() {
    ChildProcess child([this] {
      RobustWordHolder holder(Word());
      holder.Hold();
      words_.Set(0, 1);
      for (;;) ::pause();
    });
    words_.AwaitAtLeast(0, 1);
    return child;
  }

  FileSystem& fs_ = FileSystem::Posix();
  SharedWords words_{1};
  TempDir dir_;
  std::string path_ = dir_.File("word");
};

TEST_F(RobustWordTest, TellsEveryWatcherOfAKilledHolder) {
  ChildProcess child = HolderProcess();
  StopEvent first_event = StopEvent::Create().value();
  StopEvent second_event = StopEvent::Create().value();
  const auto first = Watch(first_event);
  const auto second = Watch(second_event);
  EXPECT_FALSE(first_event.Wait(absl::ZeroDuration()));
  EXPECT_FALSE(first->TakeNotice());
  child.Kill();
  EXPECT_TRUE(first_event.Wait(kLong));
  EXPECT_TRUE(second_event.Wait(kLong));
  EXPECT_TRUE(first->TakeNotice());
  EXPECT_TRUE(second->TakeNotice());
  // Once.
  EXPECT_FALSE(first_event.Wait(absl::Milliseconds(20)));
  EXPECT_FALSE(first->TakeNotice());
}

TEST_F(RobustWordTest, TellsWhoComesAfterTheDeath) {
  HolderProcess().Kill();
  StopEvent event = StopEvent::Create().value();
  const auto watch = Watch(event);
  EXPECT_TRUE(event.Wait(kLong));
  EXPECT_TRUE(watch->TakeNotice());
}

TEST_F(RobustWordTest, TellsOfAThreadThatEndsWithoutLettingGo) {
  StopEvent event = StopEvent::Create().value();
  const auto watch = Watch(event);
  // Only the thread itself could destroy it.
  static RobustWordHolder* holder = nullptr;
  std::thread([this] {
    holder = new RobustWordHolder(Word());
    holder->Hold();
  }).join();
  EXPECT_TRUE(event.Wait(kLong));
  EXPECT_TRUE(watch->TakeNotice());
}

TEST_F(RobustWordTest, IsSilentAboutAHolderThatLetsGo) {
  StopEvent event = StopEvent::Create().value();
  const auto watch = Watch(event);
  std::thread([this] {
    RobustWordHolder holder(Word());
    holder.Hold();
    EXPECT_NE(PeekWord32(Word().data()), 0u);
  }).join();
  EXPECT_EQ(PeekWord32(Word().data()), 0u);
  EXPECT_FALSE(event.Wait(absl::Milliseconds(20)));
  EXPECT_FALSE(watch->TakeNotice());
}

TEST_F(RobustWordTest, WhoLetsGoLateTakesNothingFromTheNextHolder) {
  RobustWordHolder late(Word());
  late.Hold();
  ChildProcess child = HolderProcess();
  const uint32_t held = PeekWord32(Word().data());
  late.LetGo();
  EXPECT_EQ(PeekWord32(Word().data()), held);
  StopEvent event = StopEvent::Create().value();
  const auto watch = Watch(event);
  child.Kill();
  EXPECT_TRUE(event.Wait(kLong));
}

TEST_F(RobustWordTest, AWatchOfAFileOfAnythingEnds) {
  const RobustWord shared = Word();
  for (const uint32_t word : {0u, 1u, 0x40000000u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    StoreUnaligned(shared.data(), word);
    StopEvent event = StopEvent::Create().value();
    Watch(event);
  }
}

}  // namespace
}  // namespace kekbit
