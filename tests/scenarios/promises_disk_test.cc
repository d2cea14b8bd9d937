// P10: a full disk is an error from a call, never SIGBUS; nothing acknowledged is lost, and work
// goes on when there is room again. On a tmpfs of a fixed size, which takes a user who may mount
// one; skipped visibly otherwise.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "tests/support/child_process.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using TapeReplica = Replica<Tape, TextCodec>;

constexpr int kSkipped = 77;

// Mounts a tmpfs of `size` on `path`, seen by this process alone. False if it may not.
bool MountSmallDisk(const std::string& path, const char* size) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return ::mount("tmpfs", path.c_str(), "tmpfs", 0, absl::StrCat("size=", size).c_str()) == 0;
}

// Runs `body` in a process that has a disk of `size` at `path`; returns how it ended, a failed
// expectation being 1.
template <typename Body>
int OnSmallDisk(const std::string& path, const char* size, Body&& body) {
  ChildProcess child([&] {
    if (!MountSmallDisk(path, size)) return kSkipped;
    body();
    return testing::Test::HasFailure() ? 1 : 0;
  });
  return child.Wait();
}

absl::StatusOr<std::unique_ptr<TapeReplica>> OpenPrimary(const std::string& directory, uint64_t free_bytes_min = 0) {
  ReplicaOptions options;
  options.free_bytes_min = free_bytes_min;
  options.directory = directory;
  options.segment_bytes = 64 << 10;
  KB_ASSIGN_OR_RETURN(auto replica, TapeReplica::Open(options));
  if (!replica->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return replica->status();
  return replica;
}

// Executes numbered commands of 400 bytes until one is refused; returns why.
absl::Status Fill(TapeReplica& replica, std::vector<std::string>* acknowledged) {
  for (;;) {
    std::string command = absl::StrCat(acknowledged->size(), " ", std::string(400, 'x'));
    if (const auto executed = replica.Execute(command); !executed.ok()) return executed.status();
    acknowledged->push_back(std::move(command));
  }
}

class PromiseP10Test : public testing::Test {
 protected:
  TempDir dir_;
};

TEST_F(PromiseP10Test, AFullDiskIsAnErrorAndWorkGoesOnWhenThereIsRoom) {
  const std::string disk = dir_.path();
  const int ended = OnSmallDisk(disk, "1m", [&disk] {
    const std::string ballast = disk + "/ballast";
    WriteFileBytes(ballast, std::string(300 << 10, 'b'));
    std::vector<std::string> acknowledged;
    {
      KB_ASSERT_OK_AND_ASSIGN(const auto primary, OpenPrimary(disk + "/journal"));
      const auto is_full =
          StatusIs(absl::StatusCode::kResourceExhausted, AllOf(HasSubstr(disk), HasSubstr(std::strerror(ENOSPC))));
      EXPECT_THAT(Fill(*primary, &acknowledged), is_full);
      const size_t before = acknowledged.size();
      EXPECT_GT(before, 500u);
      // The primary is refused, not stopped: it reads, refuses again, and is still primary.
      EXPECT_THAT(Fill(*primary, &acknowledged), is_full);
      EXPECT_EQ(primary->role(), Role::kPrimary);
      EXPECT_EQ(primary->Read([](const Tape& tape) { return tape.commands; }), acknowledged);
      // Room again: as much as was freed.
      ASSERT_EQ(::unlink(ballast.c_str()), 0);
      EXPECT_THAT(Fill(*primary, &acknowledged), is_full);
      EXPECT_GT(acknowledged.size(), before + 300);
      EXPECT_EQ(primary->Read([](const Tape& tape) { return tape.commands; }), acknowledged);
    }
    // Nothing acknowledged is lost. A follower needs no room; a takeover does.
    ReplicaOptions options;
    options.directory = disk + "/journal";
    options.may_lead = false;
    KB_ASSERT_OK_AND_ASSIGN(const auto follower, TapeReplica::Open(options));
    EXPECT_EQ(follower->Read([](const Tape& tape) { return tape.commands; }), acknowledged);
  });
  if (ended == kSkipped) GTEST_SKIP() << "this user may not mount a tmpfs";
  EXPECT_EQ(ended, 0);
}

TEST_F(PromiseP10Test, AtTheFloorCommandsAreRefusedUntilThereIsRoom) {
  const std::string disk = dir_.path();
  const int ended = OnSmallDisk(disk, "2m", [&disk] {
    const std::string ballast = disk + "/ballast";
    KB_ASSERT_OK_AND_ASSIGN(const auto primary, OpenPrimary(disk + "/journal", 1u << 20));
    ASSERT_THAT(primary->Execute("one"), IsOk());
    WriteFileBytes(ballast, std::string(1u << 20, 'b'));
    // The primary looks now and then.
    absl::Status status;
    while (status.ok()) {
      ::usleep(1000);
      status = primary->Execute("two").status();
    }
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("fewer than the floor of 1048576")));
    EXPECT_EQ(primary->role(), Role::kPrimary);
    ASSERT_EQ(::unlink(ballast.c_str()), 0);
    while (!primary->Execute("three").ok()) ::usleep(1000);
  });
  if (ended == kSkipped) GTEST_SKIP() << "this user may not mount a tmpfs";
  EXPECT_EQ(ended, 0);
}

TEST_F(PromiseP10Test, ATakeoverOnAFullDiskWaitsForRoom) {
  const std::string disk = dir_.path();
  const int ended = OnSmallDisk(disk, "1m", [&disk] {
    const std::string ballast = disk + "/ballast";
    WriteFileBytes(ballast, std::string(300 << 10, 'b'));
    std::vector<std::string> acknowledged;
    {
      KB_ASSERT_OK_AND_ASSIGN(const auto primary, OpenPrimary(disk + "/journal"));
      EXPECT_THAT(Fill(*primary, &acknowledged), StatusIs(absl::StatusCode::kResourceExhausted));
    }
    ReplicaOptions options;
    options.directory = disk + "/journal";
    options.segment_bytes = 64 << 10;
    KB_ASSERT_OK_AND_ASSIGN(const auto standby, TapeReplica::Open(options));
    while (standby->status().ok()) ::usleep(1000);
    EXPECT_THAT(standby->status(), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_EQ(standby->role(), Role::kFollower);
    EXPECT_EQ(standby->Read([](const Tape& tape) { return tape.commands; }), acknowledged);
    ASSERT_EQ(::unlink(ballast.c_str()), 0);
    ASSERT_TRUE(standby->WaitForRole(Role::kPrimary, absl::InfiniteDuration()));
    EXPECT_THAT(standby->Execute("more"), IsOk());
  });
  if (ended == kSkipped) GTEST_SKIP() << "this user may not mount a tmpfs";
  EXPECT_EQ(ended, 0);
}

TEST_F(PromiseP10Test, AJournalOnAFullDiskIsRefused) {
  const std::string disk = dir_.path();
  const int ended = OnSmallDisk(disk, "64k", [&disk] {
    for (int i = 0; i < 16; ++i) {
      std::FILE* const file = std::fopen(absl::StrCat(disk, "/ballast", i).c_str(), "wb");
      for (int page = 0; page < 16; ++page) std::fwrite(std::string(4096, 'b').data(), 1, 4096, file);
      std::fclose(file);
    }
    EXPECT_THAT(OpenPrimary(disk + "/journal"), StatusIs(absl::StatusCode::kResourceExhausted));
  });
  if (ended == kSkipped) GTEST_SKIP() << "this user may not mount a tmpfs";
  EXPECT_EQ(ended, 0);
}

}  // namespace
}  // namespace kekbit
