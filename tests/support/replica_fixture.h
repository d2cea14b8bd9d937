// ReplicaTest: replicas of a Tape over one directory in memory, with threads or polled, for every
// test of a Replica.

#ifndef KEKBIT_TESTS_SUPPORT_REPLICA_FIXTURE_H_
#define KEKBIT_TESTS_SUPPORT_REPLICA_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {

using TapeReplica = Replica<Tape, TextCodec>;
using StrictReplica = Replica<Tape, StrictTextCodec>;

// Longer than anything takes on a busy machine, and shorter than a test may take: a wait for what
// never comes fails where it is.
inline constexpr absl::Duration kLong = absl::Minutes(3);
inline constexpr int64_t kSecondNs = 1'000'000'000;
// UTF-8 for nobody: TextCodec takes it, StrictTextCodec can't decode it.
inline constexpr char kNoUtf8[] = "\xFF";

inline std::vector<std::string> CommandsOf(const TapeReplica& replica) {
  return replica.Read([](const Tape& tape) { return tape.commands; });
}

class ReplicaTest : public testing::Test {
 protected:
  ReplicaOptions Options() {
    ReplicaOptions options;
    options.directory = dir_.path();
    options.segment_bytes = 64 << 10;
    options.file_system = &fs_;
    return options;
  }
  ReplicaOptions Polled() {
    ReplicaOptions options = Options();
    options.threads = false;
    options.clock = &clock_;
    return options;
  }

  template <typename R = TapeReplica>
  static std::unique_ptr<R> Open(ReplicaOptions options) {
    auto replica = R::Open(std::move(options));
    EXPECT_THAT(replica, IsOk());
    return replica.ok() ? *std::move(replica) : nullptr;
  }
  std::unique_ptr<TapeReplica> OpenPrimary() {
    auto replica = Open(Options());
    EXPECT_TRUE(replica->WaitForRole(Role::kPrimary, kLong));
    return replica;
  }
  // Polls again and again, with time going by, until the replica has the role. If it never gets it:
  // its status, or DeadlineExceeded if that is OK.
  template <typename R>
  absl::Status PollUntil(Role role, R& replica, int polls = 1000) {
    for (int i = 0; i < polls && replica.role() != role; ++i) {
      clock_.Advance(kSecondNs);
      replica.Poll().IgnoreError();
    }
    if (replica.role() == role) return absl::OkStatus();
    return replica.status().ok() ? absl::DeadlineExceededError("it did not get the role") : replica.status();
  }

  TempDir dir_ = TempDir::InMemory();
  FaultyFileSystem fs_;
  FakeClock clock_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_REPLICA_FIXTURE_H_
