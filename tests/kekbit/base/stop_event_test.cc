#include "kekbit/base/stop_event.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace kekbit {
namespace {

TEST(StopEventTest, IsSignalledOnce) {
  StopEvent stop = StopEvent::Create().value();
  EXPECT_FALSE(stop.Wait(absl::ZeroDuration()));
  stop.Signal();
  stop.Signal();
  EXPECT_TRUE(stop.Wait(absl::Seconds(10)));
  EXPECT_FALSE(stop.Wait(absl::Milliseconds(1)));
}

}  // namespace
}  // namespace kekbit
