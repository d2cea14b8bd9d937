#include "tests/support/fiber.h"

#include <string>

#include "gtest/gtest.h"

namespace kekbit {
namespace {

TEST(FiberTest, ABodyStopsAndGoesOnWhereItStopped) {
  std::string told;
  Fiber fiber;
  fiber.Start([&] {
    for (int i = 0; i < 3; ++i) {
      told += std::to_string(i);
      Fiber::Yield();
    }
    told += "end";
  });
  EXPECT_EQ(told, "0");
  EXPECT_TRUE(fiber.busy());
  fiber.Resume();
  EXPECT_EQ(told, "01");
  fiber.Resume();
  fiber.Resume();
  EXPECT_EQ(told, "012end");
  EXPECT_FALSE(fiber.busy());
}

TEST(FiberTest, SeveralTakeTurns) {
  std::string told;
  Fiber one;
  Fiber other;
  const auto say = [&](const char* what) { return [&told, what] { told += what, Fiber::Yield(), told += what; }; };
  one.Start(say("a"));
  other.Start(say("b"));
  one.Resume();
  other.Resume();
  EXPECT_EQ(told, "abab");
}

TEST(FiberTest, AFiberTakesOneBodyAfterTheOther) {
  int ran = 0;
  Fiber fiber;
  for (int i = 0; i < 3; ++i) fiber.Start([&] { ++ran; });
  EXPECT_EQ(ran, 3);
}

}  // namespace
}  // namespace kekbit
