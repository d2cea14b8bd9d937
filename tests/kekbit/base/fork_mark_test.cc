#include "kekbit/base/fork_mark.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ForkMarkTest, TellsAChildFromItsParent) {
  const ForkMark mark;
  EXPECT_FALSE(mark.in_child());
  EXPECT_EQ(mark.mask(), ~uint64_t{0});
  ChildProcess child([&mark] {
    if (!mark.in_child()) return 1;
    // Of the child itself, and one that is made later still.
    const ForkMark own;
    const ForkMark later;
    if (own.in_child() || later.in_child() || !mark.in_child()) return 2;
    ChildProcess grandchild([&] { return mark.in_child() && own.in_child() ? 0 : 3; });
    return grandchild.Wait();
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_FALSE(mark.in_child());
}

// It runs no handler of pthread_atfork().
TEST(ForkMarkTest, SeesARawClone) {
  const ForkMark mark;
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (pid == 0) ::_exit(mark.in_child() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(ForkMarkTest, SaysWhy) {
  EXPECT_THAT(ForkMark::Error("/journal"),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("/journal"), HasSubstr("fork()"))));
  EXPECT_DEATH(ForkMark::Die("/journal"), "/journal.*fork\\(\\)");
}

}  // namespace
}  // namespace kekbit
