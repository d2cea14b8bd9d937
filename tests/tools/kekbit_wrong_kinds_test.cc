// Something of a wrong kind in the place of each file of a journal, seen by Replica::Open, verify,
// repair, stat and dump; and files of which nobody was promised anything.

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/stats/stats_files.h"
#include "tests/support/file_bytes.h"
#include "tests/support/replica_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tools/kekbit_commands.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void MakeSocket(const std::string& path) {
  // Its name is short, the path need not be.
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(std::filesystem::path(path).parent_path());
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "a socket"};
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  std::filesystem::rename("a socket", path);
  std::filesystem::current_path(before);
}

struct Kind {
  std::string says;
  std::function<void(const std::string& path)> put;
};
std::vector<Kind> KindsFor(bool directory) {
  std::vector<Kind> kinds = {
      {"is a link that leads to itself", [](const std::string& path) { std::filesystem::create_symlink(path, path); }},
      {"is a link that leads nowhere",
       [](const std::string& path) { std::filesystem::create_symlink("/nowhere/at/all", path); }},
      {"is a pipe", [](const std::string& path) { EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0); }},
      {"is a device", [](const std::string& path) { std::filesystem::create_symlink("/dev/null", path); }},
      {"is a socket", MakeSocket},
  };
  if (directory) {
    kinds.push_back({"is a file", [](const std::string& path) { WriteFileBytes(path, "no directory"); }});
  } else {
    kinds.push_back({"is a directory", [](const std::string& path) { std::filesystem::create_directory(path); }});
  }
  return kinds;
}

class WrongKindsTest : public ReplicaTest {
 protected:
  struct Ran {
    absl::StatusOr<bool> result;
    std::string text;  // output, and the error
  };
  using Command = absl::StatusOr<bool> (*)(const CommandOptions& options, Output& output);

  void SetUp() override {
    {
      ReplicaOptions options = Polled();
      options.snapshots.on_primary = true;
      const auto primary = Open(options);
      ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
      for (const size_t segments : {2, 3, 5}) {
        while (layout().ListSegments(fs_)->size() < segments) {
          ASSERT_THAT(primary->Execute(std::string(400, 'x')), IsOk());
        }
        if (segments < 5) {
          ASSERT_THAT(primary->TakeSnapshot(), IsOk());
        }
      }
      ASSERT_THAT(ReaderCursor::Register(fs_, layout(), "audit"), IsOk());
    }
    ASSERT_THAT(Run(Verify).result, IsOkAndHolds(true));
    std::filesystem::copy(dir_.path(), whole_.File("journal"), std::filesystem::copy_options::recursive);
  }

  JournalLayout layout() const { return JournalLayout(dir_.path()); }

  void Restore() {
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
      std::filesystem::remove_all(entry.path());
    std::filesystem::copy(whole_.File("journal"), dir_.path(), std::filesystem::copy_options::recursive);
  }

  Ran Run(Command command, CommandOptions options = {}) const {
    options.path = dir_.path();
    testing::internal::CaptureStdout();
    Ran ran;
    {
      Output output;
      ran.result = command(options, output);
      output.Flush();
    }
    ran.text = testing::internal::GetCapturedStdout();
    if (!ran.result.ok()) absl::StrAppend(&ran.text, ran.result.status().ToString());
    EXPECT_THAT(ran.text, Not(HasSubstr("UNKNOWN")));
    return ran;
  }

  // Why no replica leads; OK if one does.
  absl::Status Leads() {
    auto replica = TapeReplica::Open(Polled());
    if (!replica.ok()) return replica.status();
    return PollUntil(Role::kPrimary, **replica, 20);
  }

  // Does what it says, with the seq that it names, if it names one.
  void RepairAll(const std::string& path, const std::string& says) {
    Ran ran = Run(Repair);
    EXPECT_THAT(ran.result, IsOkAndHolds(false));
    EXPECT_THAT(ran.text, HasSubstr(absl::StrCat("would move: ", path)));
    EXPECT_THAT(ran.text, HasSubstr(says));
    CommandOptions apply;
    apply.apply = true;
    const std::string lose_from = "--lose-from ";
    if (const size_t at = ran.text.find(lose_from); at != std::string::npos) {
      EXPECT_THAT(Run(Repair, apply).result, IsOkAndHolds(false));
      const std::string rest = ran.text.substr(at + lose_from.size());
      uint64_t seq = 0;
      ASSERT_TRUE(absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &seq)) << ran.text;
      apply.lose_from = seq;
    }
    ran = Run(Repair, apply);
    EXPECT_THAT(ran.result, IsOkAndHolds(true)) << ran.text;
    EXPECT_THAT(Run(Repair).result, IsOkAndHolds(true));
  }

  const TempDir whole_ = TempDir::InMemory();
};

// A link to itself used to be no damage, or an error of verify and repair, and Unknown at Open.
TEST_F(WrongKindsTest, IsNamedByEveryCommandAndRepaired) {
  const JournalLayout at = layout();
  const std::vector<SegmentNumber> segments = *at.ListSegments(fs_);
  const std::string snapshot = JoinPath(at.snapshots(), fs_.List(at.snapshots())->back());
  const std::vector<std::string> files = {at.epoch(),
                                          at.synced(),
                                          at.wake(),
                                          at.lease(),
                                          at.lease() + ".next",
                                          at.segment(segments.front()),
                                          at.segment(segments[segments.size() - 2]),
                                          at.segment(segments.back()),
                                          snapshot,
                                          at.readers() + "/audit"};
  const std::vector<std::string> directories = {at.segments(), DirectoryOf(at.segment(1)), at.snapshots(), at.readers(),
                                                at.replicas()};
  // A replica opens without these.
  const std::vector<std::string> spare = {snapshot, at.readers() + "/audit", at.replicas(), at.readers(),
                                          at.segment(segments.front())};
  const auto check = [&](const std::string& path, const Kind& kind) {
    SCOPED_TRACE(absl::StrCat(path, " ", kind.says));
    Restore();
    std::filesystem::remove_all(path);
    kind.put(path);
    const std::string says = absl::StrCat(path, ": ", kind.says, ", not a ");
    const Ran verified = Run(Verify);
    EXPECT_THAT(verified.result, IsOkAndHolds(false));
    EXPECT_THAT(verified.text, HasSubstr("damage: " + says));
    for (const Command command : {Stat, Dump}) {
      const Ran ran = Run(command);
      if (!ran.result.ok()) {
        EXPECT_THAT(ran.text, HasSubstr(says));
      }
    }
    const absl::Status led = Leads();
    if (!led.ok()) {
      EXPECT_THAT(led.message(), HasSubstr(path));
      EXPECT_NE(led.code(), absl::StatusCode::kUnknown);
      // Whoever waits for the lease is open, and says this in its status.
      if (!absl::StartsWith(path, at.lease())) {
        EXPECT_THAT(led.message(), HasSubstr("kekbit repair " + dir_.path()));
      }
    } else {
      EXPECT_THAT(spare, testing::Contains(path));
      Restore();
      std::filesystem::remove_all(path);
      kind.put(path);
    }
    RepairAll(path, says);
    EXPECT_THAT(Run(Verify).result, IsOkAndHolds(true));
    EXPECT_THAT(Leads(), IsOk());
  };
  for (const std::string& path : files) {
    for (const Kind& kind : KindsFor(/*directory=*/false)) check(path, kind);
  }
  for (const std::string& path : directories) {
    for (const Kind& kind : KindsFor(/*directory=*/true)) check(path, kind);
  }
}

TEST_F(WrongKindsTest, InThePlaceOfWhatIsKeptIsForAnOperatorToMove) {
  for (const Kind& kind : KindsFor(/*directory=*/true)) {
    SCOPED_TRACE(kind.says);
    Restore();
    kind.put(layout().aside());
    const std::string says = absl::StrCat(layout().aside(), ": ", kind.says, ", not a directory");
    const Ran verified = Run(Verify);
    EXPECT_THAT(verified.result, IsOkAndHolds(false));
    EXPECT_THAT(verified.text, AllOf(HasSubstr(says), HasSubstr("move it away by hand")));
    const Ran repaired = Run(Repair);
    EXPECT_THAT(repaired.result, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(layout().aside())));
    EXPECT_THAT(Leads(), IsOk());
  }
}

// verify used to call them damage, and exit with 1, after nearly every power failure.
TEST_F(WrongKindsTest, FilesThatNobodyWasPromisedAreNotesInAnyShape) {
  const std::string stats = ListStatsFiles(fs_, layout()).front();
  for (const std::string& path : {stats, layout().lease()}) {
    const std::string bytes = ReadFileBytes(path);
    std::string old = bytes;
    for (char& c : old) c = static_cast<char>(c ^ 0x5A);
    for (const std::string& shape : {std::string(bytes.size(), '\0'), bytes.substr(0, 20), std::string(), old}) {
      SCOPED_TRACE(absl::StrCat(path, " with ", shape.size(), " bytes"));
      Restore();
      WriteFileBytes(path, shape);
      const Ran ran = Run(Verify);
      EXPECT_THAT(ran.result, IsOkAndHolds(true)) << ran.text;
      if (path == stats) {
        EXPECT_THAT(ran.text, HasSubstr("note: " + path));
      }
      EXPECT_THAT(Run(Repair).result, IsOkAndHolds(true));
      EXPECT_THAT(Leads(), IsOk());
    }
  }
  for (const Kind& kind : KindsFor(/*directory=*/false)) {
    SCOPED_TRACE(kind.says);
    Restore();
    std::filesystem::remove(stats);
    kind.put(stats);
    const Ran ran = Run(Verify);
    EXPECT_THAT(ran.result, IsOkAndHolds(true));
    EXPECT_THAT(ran.text, HasSubstr(absl::StrCat("note: ", stats, ": ", kind.says)));
    EXPECT_THAT(Run(Repair).result, IsOkAndHolds(true));
    EXPECT_THAT(Leads(), IsOk());
  }
}

TEST_F(WrongKindsTest, WhatAPowerFailureOrAnOperatorLeavesBesideIsPassedOver) {
  std::filesystem::create_directory(layout().aside());
  for (const std::string& path :
       {layout().aside() + "/segments.0000_0000.0000_0009.kekbit.moved_1", layout().aside() + "/synced.moved_1",
        layout().lease() + ".next", layout().synced() + ".next", layout().epoch() + ".next",
        layout().snapshots() + "/of a snapshot.tmp", layout().segments() + "/0000_0000/0000_0002.kekbit.tmp",
        layout().readers() + "/.hidden", layout().replicas() + "/of a new replica", layout().directory() + "/notes"}) {
    WriteFileBytes(path, std::string(100, '\0'));
  }
  WriteFileBytes(layout().wake(), "");  // it is made, then written
  Ran ran = Run(Verify);
  EXPECT_THAT(ran.result, IsOkAndHolds(true)) << ran.text;
  WriteFileBytes(layout().wake(), std::string(64, '\0'));
  ran = Run(Verify);
  EXPECT_THAT(ran.result, IsOkAndHolds(true)) << ran.text;
  EXPECT_THAT(Run(Repair).result, IsOkAndHolds(true));
  EXPECT_THAT(Leads(), IsOk());
}

// Other damages named the commands, these did not.
TEST_F(WrongKindsTest, EveryDamageAtOpenNamesVerifyAndRepair) {
  const auto refused = [this](absl::StatusCode code, const std::string& says) {
    return StatusIs(code, AllOf(HasSubstr(says), HasSubstr("kekbit verify " + dir_.path()),
                                HasSubstr("kekbit repair " + dir_.path())));
  };
  for (const std::string& path : {layout().epoch(), layout().synced(), layout().wake()}) {
    for (const size_t size : {1, 8, 63}) {
      Restore();
      WriteFileBytes(path, std::string(size, '\0'));
      const auto code = path == layout().wake() ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kDataLoss;
      EXPECT_THAT(Leads(), refused(code, absl::StrCat(path, ": has ", size, " bytes, not 64")));
    }
  }
  Restore();
  const std::vector<SegmentNumber> segments = *layout().ListSegments(fs_);
  std::filesystem::remove(layout().segment(segments[segments.size() - 2]));
  EXPECT_THAT(Leads(), refused(absl::StatusCode::kOutOfRange, "was in segment"));
}

}  // namespace
}  // namespace kekbit
