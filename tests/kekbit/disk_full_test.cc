// P10, for a channel: a full disk is an error from a call, never SIGBUS. What was made can be
// filled to its last byte, and work goes on when there is room again. No failure of a call to the
// system leaves anything.

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/blocking_reader.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using absl::StatusCode;

constexpr int kCantMount = 77;

uint64_t FreeBytes(const std::string& path) {
  struct statvfs stat;
  return ::statvfs(path.c_str(), &stat) == 0 ? stat.f_bavail * stat.f_frsize : 0;
}

// Runs `body` in a process for which `directory` is an empty tmpfs of `bytes` bytes. Returns its
// exit status: 0 if no expectation failed, 1 if one did, kCantMount.
template <typename Body>
int OnSmallDisk(const std::string& directory, uint64_t bytes, Body body) {
  ChildProcess child([&] {
    if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return kCantMount;
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    const std::string options = absl::StrCat("size=", bytes);
    if (::mount("tmpfs", directory.c_str(), "tmpfs", 0, options.c_str()) != 0) return kCantMount;
    body();
    return testing::Test::HasFailure() ? 1 : 0;
  });
  return child.Wait();
}

HeaderOptions Capacity(uint32_t bytes) { return {.capacity = bytes, .max_msg_len = 4000, .creation_time = 1}; }

class DiskFullTest : public testing::Test {
 protected:
  TempDir dir_;
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(DiskFullTest, AChannelThatDoesNotFitIsRefusedAndLeavesNothing) {
  const int status = OnSmallDisk(dir_.path(), 1 << 20, [&] {
    const uint64_t free = FreeBytes(dir_.path());
    EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(Capacity(2 << 20)), QuietWriter()),
                StatusIs(StatusCode::kResourceExhausted, testing::HasSubstr(path_)));
    EXPECT_EQ(dir_.Listing(), "");
    EXPECT_EQ(FreeBytes(dir_.path()), free);
  });
  if (status == kCantMount) GTEST_SKIP() << "this process can't mount a tmpfs";
  EXPECT_EQ(status, 0);
}

TEST_F(DiskFullTest, AChannelThatWasMadeCanBeFilledOnAFullDisk) {
  const int status = OnSmallDisk(dir_.path(), 1 << 20, [&] {
    ShmWriter writer = MakeWriter(path_, Capacity(512 << 10));
    // Others take the rest.
    std::string filler(FreeBytes(dir_.path()), 'f');
    WriteFileBytes(dir_.File("filler"), filler);
    ASSERT_EQ(FreeBytes(dir_.path()), 0u);
    uint64_t written = 0;
    while (writer.Write(AsBytes(std::string(1000, 'x'))).ok()) ++written;
    EXPECT_EQ(written, ((512u << 10) - 8) / 1008);
    EXPECT_THAT(writer.Flush(), IsOk());
    ShmReader reader = MakeReader(path_);
    EXPECT_EQ(ReadAll(reader).size(), written);
    // The next channel has no room, until there is some again.
    const std::string next = dir_.File("next.kekbit");
    EXPECT_THAT(ShmWriter::CreateAt(next, MakeHeader(Capacity(100 << 10)), QuietWriter()),
                StatusIs(StatusCode::kResourceExhausted));
    ASSERT_EQ(::unlink(dir_.File("filler").c_str()), 0);
    EXPECT_THAT(ShmWriter::CreateAt(next, MakeHeader(Capacity(100 << 10)), QuietWriter()), IsOk());
  });
  if (status == kCantMount) GTEST_SKIP() << "this process can't mount a tmpfs";
  EXPECT_EQ(status, 0);
}

// Room for the channel to the last page, and none for the event's file.
TEST_F(DiskFullTest, AnEventThatDoesNotFitLeavesNothing) {
  const uint64_t channel_pages = (ChannelFileBytes(512 << 10) + 4095) / 4096;
  const int status = OnSmallDisk(dir_.path(), channel_pages * 4096, [&] {
    EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(Capacity(512 << 10)), {.touch_ahead_bytes = 0}),
                StatusIs(StatusCode::kResourceExhausted));
    EXPECT_EQ(dir_.Listing(), "");
    EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(Capacity(512 << 10)), QuietWriter()), IsOk());
  });
  if (status == kCantMount) GTEST_SKIP() << "this process can't mount a tmpfs";
  EXPECT_EQ(status, 0);
}

// A file size limit is another end of the disk. The signal is at its default, which would end the
// process.
TEST_F(DiskFullTest, AFileSizeLimitIsAnErrorNotASignal) {
  ChildProcess child([&] {
    const rlimit small = {.rlim_cur = 100 << 10, .rlim_max = 100 << 10};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 2;
    EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(Capacity(200 << 10)), QuietWriter()),
                StatusIs(StatusCode::kResourceExhausted));
    EXPECT_EQ(dir_.Listing(), "");
    EXPECT_THAT(ShmWriter::CreateAt(path_, MakeHeader(Capacity(50 << 10)), QuietWriter()), IsOk());
    return HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(DiskFullTest, NoDescriptorsLeftIsAnError) {
  ChildProcess child([&] {
    // Make a writer once with descriptors: UBSan itself needs some to look at the type of an object
    // that it meets for the first time.
    MakeWriter(path_);
    const Header header = MakeHeader();
    const rlimit none = {.rlim_cur = 3, .rlim_max = 3};
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 2;
    const absl::Status refused = ShmWriter::CreateAt(dir_.File("next.kekbit"), header, QuietWriter()).status();
    return absl::IsResourceExhausted(refused) ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(dir_.Listing(), "channel.kekbit");
}

// Each call of each step fails once, with each kind of error.
class EachCallFailsTest : public DiskFullTest {
 protected:
  const std::vector<absl::Status> errors_ = {absl::ResourceExhaustedError("planted"), absl::DataLossError("planted"),
                                             absl::PermissionDeniedError("planted"), absl::UnavailableError("planted")};
  FaultyFileSystem fs_;
  WriterOptions options_ = {.file_system = &fs_, .touch_ahead_bytes = 0};
};

TEST_F(EachCallFailsTest, OfCreating) {
  for (const absl::Status& error : errors_) {
    for (const bool for_good : {false, true}) {
      uint64_t n = 1;
      for (;; ++n) {
        fs_.FailCall(n, error, for_good);
        const absl::StatusOr<ShmWriter> writer = ShmWriter::CreateAt(path_, MakeHeader(), options_);
        if (!fs_.failed()) {
          fs_.Heal();
          break;
        }
        EXPECT_THAT(writer, StatusIs(error.code())) << fs_.failed_call();
        // Unlinking what had its name already is what can't be done when nothing works any more.
        if (!for_good) {
          EXPECT_EQ(dir_.Listing(), "") << fs_.failed_call();
        }
        for (const char* name : {"channel.kekbit", "channel.wake"}) ::unlink(dir_.File(name).c_str());
      }
      // The file exists when nothing failed, and was closed.
      EXPECT_GE(n, 10u);
      EXPECT_EQ(dir_.Listing(), "channel.kekbit");
      ASSERT_EQ(::unlink(path_.c_str()), 0);
    }
  }
}

TEST_F(EachCallFailsTest, OfWritingFlushingAndClosing) {
  for (const absl::Status& error : errors_) {
    for (uint64_t n = 1;; ++n) {
      bool failed;
      {
        fs_.Heal();
        ShmWriter writer = MakeWriter(path_, kSmallChannel, options_);
        fs_.FailCall(n, error);
        EXPECT_THAT(writer.Write(AsBytes("a")), IsOk());
        const absl::Status flushed = writer.Flush();
        EXPECT_THAT(flushed, fs_.failed() ? testing::Matcher<const absl::Status&>(StatusIs(error.code()))
                                          : testing::Matcher<const absl::Status&>(IsOk()));
        EXPECT_THAT(writer.Write(AsBytes("b")), IsOk());
      }
      failed = fs_.failed();
      // Whatever failed, what was published is there, and the channel is closed.
      ShmReader reader = MakeReader(path_);
      EXPECT_THAT(ReadAll(reader), testing::ElementsAre("a", "b"));
      EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
      ASSERT_EQ(::unlink(path_.c_str()), 0);
      ::unlink(dir_.File("channel.wake").c_str());
      if (!failed) break;
    }
  }
}

TEST_F(EachCallFailsTest, OfOpeningAndReading) {
  ShmWriter writer = MakeWriter(path_, kSmallChannel, {.touch_ahead_bytes = 0});
  ASSERT_THAT(writer.Write(AsBytes("a")), IsOk());
  for (const absl::Status& error : errors_) {
    for (uint64_t n = 1;; ++n) {
      fs_.FailCall(n, error);
      absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path_, {.file_system = &fs_});
      if (fs_.failed()) {
        EXPECT_THAT(reader, StatusIs(error.code())) << fs_.failed_call();
        continue;
      }
      ASSERT_THAT(reader, IsOk());
      // The event can't be opened: then it looks for itself.
      BlockingReader blocking(*std::move(reader), fs_);
      EXPECT_EQ(blocking.is_woken(), !fs_.failed());
      EXPECT_EQ(AsText(*blocking.Read(absl::InfiniteDuration())), "a");
      EXPECT_EQ(blocking.Read(absl::Milliseconds(3)), std::nullopt);
      EXPECT_FALSE(blocking.abandoned());
      if (!fs_.failed()) break;
    }
  }
}

}  // namespace
}  // namespace kekbit
