#include "tests/support/simulated_process.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/shared_word.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

absl::Status GoOn(const SimulatedProcess::Call& /*call*/) { return absl::OkStatus(); }

// A file of a page, mapped for writing.
std::unique_ptr<MappedFile> MapPage(FileSystem& fs, const std::string& path) {
  const auto file = fs.OpenOrCreate(path).value();
  EXPECT_THAT(file->Allocate(4096), IsOk());
  return file->Map(Access::kReadWrite, 4096).value();
}

TEST(SimulatedProcessTest, ProcessesShareWhatTheyMap) {
  SimulatedDisk disk;
  SimulatedProcess one(disk, 1, GoOn);
  SimulatedProcess other(disk, 2, GoOn);
  const auto written = MapPage(one, "/f");
  PublishWord(written->data(), 7);
  EXPECT_EQ(AcquireWord(MapPage(other, "/f")->data()), 7u);
}

TEST(SimulatedProcessTest, StoresOfTheDeadHaveNoEffect) {
  SimulatedDisk disk;
  SimulatedProcess dying(disk, 1, GoOn);
  SimulatedProcess living(disk, 2, GoOn);
  auto written = MapPage(dying, "/f");
  const auto seen = MapPage(living, "/f");
  PublishWord(written->data(), 7);
  dying.Kill();
  PublishWord(written->data(), 8);
  written.reset();
  dying.Bury();
  EXPECT_EQ(AcquireWord(seen->data()), 7u);
}

TEST(SimulatedProcessTest, CallsOfTheDeadHaveNoEffect) {
  SimulatedDisk disk;
  SimulatedProcess dying(disk, 1, GoOn);
  auto file = dying.OpenOrCreate("/f").value();
  dying.Kill();
  EXPECT_FALSE(file->WriteAt(0, AsBytes("x")).ok());
  EXPECT_FALSE(dying.Unlink("/f").ok());
  EXPECT_FALSE(dying.OpenOrCreate("/g").ok());
  file.reset();
  dying.Bury();
  EXPECT_EQ(disk.Info("/f").value().size, 0u);
  EXPECT_TRUE(absl::IsNotFound(disk.Info("/g").status()));
}

TEST(SimulatedProcessTest, DeathReleasesLocks) {
  SimulatedDisk disk;
  SimulatedProcess dying(disk, 1, GoOn);
  SimulatedProcess living(disk, 2, GoOn);
  auto held = dying.OpenOrCreate("/lock").value();
  const auto wanted = living.OpenOrCreate("/lock").value();
  ASSERT_TRUE(held->TryLock().value());
  EXPECT_FALSE(wanted->TryLock().value());
  dying.Kill();
  held.reset();
  dying.Bury();
  EXPECT_TRUE(wanted->TryLock().value());
}

TEST(SimulatedProcessTest, ItDiesBeforeOrAfterACall) {
  for (const bool done : {false, true}) {
    SimulatedDisk disk;
    SimulatedProcess* self = nullptr;
    SimulatedProcess dying(disk, 1, [&](const SimulatedProcess::Call& call) {
      if (call.name == "OpenOrCreate" && call.done == done) self->Kill();
      return absl::OkStatus();
    });
    self = &dying;
    EXPECT_FALSE(dying.OpenOrCreate("/f").ok());
    dying.Bury();
    EXPECT_EQ(disk.Info("/f").ok(), done);
  }
}

TEST(SimulatedProcessTest, ACallThatFailsHasNoEffect) {
  SimulatedDisk disk;
  SimulatedProcess process(disk, 1, [&](const SimulatedProcess::Call& call) {
    return call.may_want_more() && !call.done ? absl::ResourceExhaustedError("no more") : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsResourceExhausted(process.OpenOrCreate("/f").status()));
  EXPECT_FALSE(disk.Info("/f").ok());
}

TEST(SimulatedProcessTest, EachIsAProcessOfItsOwn) {
  SimulatedDisk disk;
  const auto stat_of = [&](uint64_t number) {
    SimulatedProcess process(disk, number, GoOn);
    const auto file = process.Open(absl::StrCat("/proc/", ::getpid(), "/stat"), Access::kRead).value();
    uint8_t text[512] = {};
    const size_t size = file->ReadAt(0, MutableBytes(text)).value();
    return std::string(AsText(Bytes(text, size)));
  };
  EXPECT_NE(stat_of(1), stat_of(2));
}

}  // namespace
}  // namespace kekbit
