// What the simulated disk does, case by case as the kernel does it, and which disks it says a power
// failure may leave.

#include "tests/support/simulated_disk.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/shared_word.h"
#include "tests/support/crash_images.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr uint64_t kPage = 4096;

std::string ReadText(FileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return absl::IsNotFound(file.status()) ? "none" : std::string(file.status().message());
  std::string text((*file)->Info()->size, '?');
  if (!(*file)->ReadAt(0, MutableBytes(reinterpret_cast<uint8_t*>(text.data()), text.size())).ok()) return "error";
  for (char& c : text) c = c == '\0' ? '0' : c;
  return text;
}

void WriteText(FileSystem& fs, const std::string& path, const std::string& text, bool sync = false) {
  auto file = fs.OpenOrCreate(path);
  EXPECT_THAT((*file)->WriteAt(0, AsBytes(text)), IsOk());
  EXPECT_THAT(sync ? (*file)->Sync() : absl::OkStatus(), IsOk());
}

class SimulatedDiskTest : public testing::Test {
 protected:
  // What the file can hold once power is back.
  std::set<std::string> After(SimulatedDisk& disk, const std::string& path, uint64_t all_up_to = 10'000) {
    std::set<std::string> texts;
    disk.CrashPoint("test");
    CrashImages images(disk, random_, {.all_up_to = all_up_to, .samples = 2000, .stale_one_in = 2});
    while (const auto after = images.Next()) texts.insert(ReadText(*after, path));
    return texts;
  }

  SimulatedDisk disk_{{.torn = false}};
  SeededRandom random_{42};
};

TEST_F(SimulatedDiskTest, AHoleReadsAsZerosGivesItsSpaceBackAndMayOrMayNotBeOnTheDevice) {
  const std::string text(3 * kPage, 'x');
  WriteText(disk_, "/f", text, true);
  ASSERT_THAT(disk_.SyncDirectory("/"), IsOk());
  auto file = *disk_.Open("/f", Access::kReadWrite);
  ASSERT_THAT(file->PunchHole(kPage + 8, 2 * kPage), IsOk());
  EXPECT_EQ(file->Info()->size, 3 * kPage);
  EXPECT_EQ(file->Info()->allocated, 2 * kPage);
  const std::string holed = std::string(2 * kPage, 'x') + std::string(kPage, '0');
  EXPECT_EQ(ReadText(disk_, "/f"), holed);
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre(text, holed));
  // It takes room again.
  disk_.SetCapacity(2 * kPage);
  EXPECT_THAT(file->WriteAt(2 * kPage, AsBytes("y")), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(file->Allocate(3 * kPage), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(file->Allocate(2 * kPage), IsOk());
}

TEST_F(SimulatedDiskTest, AStoreIntoAHoleIsFound) {
  WriteText(disk_, "/f", std::string(2 * kPage, 'x'));
  auto file = *disk_.Open("/f", Access::kReadWrite);
  ASSERT_THAT(file->PunchHole(kPage, kPage), IsOk());
  auto mapping = *file->Map(Access::kReadWrite, 2 * kPage);
  mapping->data()[0] = 'y';
  disk_.CrashPoint("fine");
  EXPECT_DEATH(
      {
        mapping->data()[kPage] = 'y';
        disk_.CrashPoint("a store into a hole");
      },
      "");
}

TEST_F(SimulatedDiskTest, WithoutASyncOfTheDirectoryTheNameMayBeGone) {
  WriteText(disk_, "/f", "text", true);
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("none", "text"));
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("text"));
}

TEST_F(SimulatedDiskTest, WithoutASyncOfTheFileLengthAndBytesAreOldOrNewEachByItself) {
  WriteText(disk_, "/f", "text");
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("", "0000", "text"));
}

TEST_F(SimulatedDiskTest, EveryContentSinceTheLastSyncMayHaveBeenWritten) {
  WriteText(disk_, "/f", "one!", true);
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  WriteText(disk_, "/f", "two!");
  WriteText(disk_, "/f", "six!");
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("one!", "two!", "six!"));
  EXPECT_THAT((*disk_.Open("/f", Access::kReadWrite))->Sync(), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("six!"));
}

TEST_F(SimulatedDiskTest, StoresIntoAMappingAreSeenAndPagesAreWrittenInAnyOrder) {
  auto file = disk_.OpenOrCreate("/f");
  EXPECT_THAT((*file)->Allocate(2 * kPage), IsOk());
  EXPECT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  auto mapping = (*file)->Map(Access::kReadWrite, 2 * kPage);
  uint8_t* const data = (*mapping)->data();
  PublishWord(data, 0x61);
  PublishWord(data + kPage, 0x62);
  std::set<std::pair<char, char>> pairs;
  for (const std::string& text : After(disk_, "/f")) pairs.insert({text[0], text[kPage]});
  EXPECT_EQ(pairs, (std::set<std::pair<char, char>>{{'0', '0'}, {'a', '0'}, {'0', 'b'}, {'a', 'b'}}));
  // Another mapping is the same memory.
  auto other = (*disk_.Open("/f", Access::kRead))->Map(Access::kRead, 8);
  EXPECT_EQ(AcquireWord((*other)->data()), 0x61u);
  EXPECT_THAT((*mapping)->Sync(kPage, 8), IsOk());
  pairs.clear();
  for (const std::string& text : After(disk_, "/f")) pairs.insert({text[0], text[kPage]});
  EXPECT_EQ(pairs, (std::set<std::pair<char, char>>{{'0', 'b'}, {'a', 'b'}}));
}

TEST_F(SimulatedDiskTest, SectorsOfAPageAreIndependentIfAskedFor) {
  SimulatedDisk disk({.unit_bytes = 512, .torn = false});
  WriteText(disk, "/f", std::string(1024, 'a'), true);
  EXPECT_THAT(disk.SyncDirectory("/"), IsOk());
  WriteText(disk, "/f", std::string(1024, 'b'));
  EXPECT_THAT(After(disk, "/f"), UnorderedElementsAre(std::string(1024, 'a'), std::string(1024, 'b'),
                                                      std::string(512, 'a') + std::string(512, 'b'),
                                                      std::string(512, 'b') + std::string(512, 'a')));
}

TEST_F(SimulatedDiskTest, WordsStoredBetweenTwoLooksAreTakenInSeveralOrders) {
  SimulatedDisk disk;
  WriteText(disk, "/f", std::string(64, 'a'), true);
  EXPECT_THAT(disk.SyncDirectory("/"), IsOk());
  WriteText(disk, "/f", std::string(64, 'b'));
  const std::set<std::string> texts = After(disk, "/f");
  EXPECT_GE(texts.size(), 4u);
  // As a writer leaves it that stores the first word last.
  EXPECT_THAT(texts, Contains(std::string(8, 'a') + std::string(56, 'b')));
}

TEST_F(SimulatedDiskTest, AFailedSyncLeavesPagesCleanAndMemoryAhead) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimulatedDisk disk({.torn = false});
    WriteText(disk, "/f", "old", true);
    EXPECT_THAT(disk.SyncDirectory("/"), IsOk());
    WriteText(disk, "/f", "new");
    disk.FailSync(1, seed);
    EXPECT_THAT((*disk.Open("/f", Access::kReadWrite))->Sync(), StatusIs(absl::StatusCode::kAborted));
    EXPECT_TRUE(disk.failed());
    // The second try says OK and writes nothing.
    EXPECT_THAT((*disk.Open("/f", Access::kReadWrite))->Sync(), IsOk());
    EXPECT_EQ(ReadText(disk, "/f"), "new");
    const std::set<std::string> texts = After(disk, "/f");
    ASSERT_EQ(texts.size(), 1u);
    // A process that starts now is told the truth only once the cache is dropped.
    const auto restarted = disk.AfterDeath();
    EXPECT_EQ(ReadText(*restarted, "/f"), "new");
    EXPECT_THAT((*restarted->Open("/f", Access::kRead))->DropCache(0, 0), IsOk());
    EXPECT_EQ(ReadText(*restarted, "/f"), *texts.begin());
    lost += *texts.begin() == "old";
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 20);
}

TEST_F(SimulatedDiskTest, TheCacheOfAMappedOrDirtyFileStays) {
  WriteText(disk_, "/f", "old", true);
  WriteText(disk_, "/f", "new");
  auto file = disk_.Open("/f", Access::kReadWrite);
  EXPECT_THAT((*file)->DropCache(0, 0), IsOk());
  EXPECT_EQ(ReadText(disk_, "/f"), "new");
  disk_.FailSync(1, 3);
  EXPECT_FALSE((*file)->Sync().ok());
  {
    auto mapping = (*file)->Map(Access::kRead, 3);
    EXPECT_THAT((*file)->DropCache(0, 0), IsOk());
    EXPECT_EQ(ReadText(disk_, "/f"), "new");
  }
}

TEST_F(SimulatedDiskTest, ALyingDiskLosesWhatItSaidItKept) {
  SimulatedDisk disk({.torn = false, .lying = true});
  WriteText(disk, "/f", "text", true);
  EXPECT_THAT(disk.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk, "/f"), Contains("none"));
}

TEST_F(SimulatedDiskTest, ARenameIsWholeOrNotAtAll) {
  WriteText(disk_, "/old", "1", true);
  WriteText(disk_, "/new", "2", true);
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(disk_.Rename("/new", "/old"), IsOk());
  EXPECT_THAT(After(disk_, "/old"), UnorderedElementsAre("1", "2"));
  EXPECT_THAT(After(disk_, "/new"), UnorderedElementsAre("2", "none"));
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk_, "/old"), UnorderedElementsAre("2"));
}

TEST_F(SimulatedDiskTest, ARenameBetweenDirectoriesNeedsBothSynced) {
  EXPECT_THAT(disk_.CreateDirectories("/a"), IsOk());
  EXPECT_THAT(disk_.CreateDirectories("/b"), IsOk());
  WriteText(disk_, "/a/f", "1", true);
  EXPECT_THAT(disk_.SyncDirectory("/a"), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(disk_.Rename("/a/f", "/b/f"), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/b"), IsOk());
  EXPECT_THAT(After(disk_, "/b/f"), UnorderedElementsAre("1", "none"));
  EXPECT_THAT(disk_.SyncDirectory("/a"), IsOk());
  EXPECT_THAT(After(disk_, "/b/f"), UnorderedElementsAre("1"));
  EXPECT_THAT(After(disk_, "/a/f"), UnorderedElementsAre("none"));
}

TEST_F(SimulatedDiskTest, ADirectoryThatIsLostTakesItsFilesAlong) {
  EXPECT_THAT(disk_.CreateDirectories("/a/b"), IsOk());
  WriteText(disk_, "/a/b/f", "1", true);
  EXPECT_THAT(disk_.SyncDirectory("/a/b"), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/a"), IsOk());
  EXPECT_THAT(After(disk_, "/a/b/f"), UnorderedElementsAre("none", "1"));
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk_, "/a/b/f"), UnorderedElementsAre("1"));
}

TEST_F(SimulatedDiskTest, AnUnlinkedFileMayComeBack) {
  WriteText(disk_, "/f", "1", true);
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(disk_.Unlink("/f"), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("1", "none"));
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("none"));
}

TEST_F(SimulatedDiskTest, AFileWithoutANameIsGone) {
  auto file = disk_.CreateUnnamed("/", "/f");
  EXPECT_THAT((*file)->WriteAt(0, AsBytes("1")), IsOk());
  EXPECT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("none"));
  EXPECT_THAT((*file)->LinkTo("/f"), IsOk());
  EXPECT_THAT((*file)->LinkTo("/f"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(After(disk_, "/f"), UnorderedElementsAre("1", "none"));
}

TEST_F(SimulatedDiskTest, SpaceThatWasNeverWrittenMayShowOldBytes) {
  WriteText(disk_, "/old", std::string(2 * kPage, 'x'), true);
  auto file = disk_.OpenOrCreate("/f");
  EXPECT_THAT((*file)->Allocate(2 * kPage), IsOk());
  EXPECT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/"), IsOk());
  WriteText(disk_, "/g", "more to choose from");
  EXPECT_THAT(After(disk_, "/f", 0),
              UnorderedElementsAre(std::string(2 * kPage, '0'), std::string(kPage, '0') + std::string(kPage, 'x')));
}

TEST_F(SimulatedDiskTest, ADeathKeepsMemoryAndGivesLocksBack) {
  WriteText(disk_, "/f", "text");
  auto file = disk_.Open("/f", Access::kReadWrite);
  EXPECT_TRUE(*(*file)->TryLock());
  EXPECT_TRUE(*(*disk_.Open("/f", Access::kRead))->LockedByOther());
  EXPECT_FALSE(*(*disk_.Open("/f", Access::kReadWrite))->TryLock());
  const auto after = disk_.AfterDeath();
  EXPECT_EQ(ReadText(*after, "/f"), "text");
  EXPECT_TRUE(*(*after->Open("/f", Access::kReadWrite))->TryLock());
  // What was not synced before the death still isn't.
  EXPECT_THAT(After(*after, "/f"), UnorderedElementsAre("none", "", "0000", "text"));
  EXPECT_EQ(after->ContentHash(), disk_.ContentHash());
}

TEST_F(SimulatedDiskTest, AFullDiskIsAnErrorAndUnlinkingGivesRoom) {
  SimulatedDisk disk({.capacity = 100});
  WriteText(disk, "/f", std::string(60, 'a'));
  EXPECT_THAT((*disk.OpenOrCreate("/g"))->Allocate(41), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT((*disk.OpenOrCreate("/g"))->WriteAt(0, AsBytes(std::string(41, 'b'))),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(*disk.FreeBytes("/"), 40u);
  EXPECT_THAT(disk.Unlink("/f"), IsOk());
  EXPECT_EQ(*disk.FreeBytes("/"), 100u);
  EXPECT_THAT((*disk.OpenOrCreate("/g"))->Allocate(100), IsOk());
}

TEST_F(SimulatedDiskTest, TheHookIsCalledBeforeEachEffect) {
  std::vector<std::string> tags;
  std::vector<std::string> names;
  disk_.SetHook([&](absl::string_view tag) {
    tags.emplace_back(tag);
    names = *disk_.List("/");
  });
  EXPECT_THAT(disk_.CreateDirectories("/j"), IsOk());
  EXPECT_THAT(names, IsEmpty());
  auto file = disk_.CreateUnnamed("/j", "/j/a/b");
  EXPECT_THAT((*file)->Allocate(10), IsOk());
  EXPECT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT((*file)->LinkTo("/j/f"), IsOk());
  EXPECT_THAT(disk_.Rename("/j/f", "/j/g"), IsOk());
  EXPECT_THAT(disk_.SyncDirectory("/j"), IsOk());
  EXPECT_THAT(disk_.Unlink("/j/g"), IsOk());
  EXPECT_THAT(tags, ElementsAre("CreateDirectory j", "Allocate a", "Sync a", "LinkTo f", "Rename g", "SyncDirectory j",
                                "Unlink g"));
}

TEST_F(SimulatedDiskTest, EqualDisksHaveEqualHashes) {
  WriteText(disk_, "/f", "text");
  const uint64_t one = disk_.ContentHash();
  WriteText(disk_, "/f", "next");
  const uint64_t other = disk_.ContentHash();
  EXPECT_NE(one, other);
  WriteText(disk_, "/f", "text");
  EXPECT_EQ(disk_.ContentHash(), one);
  EXPECT_THAT(disk_.Rename("/f", "/g"), IsOk());
  EXPECT_NE(disk_.ContentHash(), one);
}

TEST_F(SimulatedDiskTest, ScratchFilesAreGoneAfterAPowerFailureAndDoNotCount) {
  SimulatedDisk disk({.torn = false, .scratch = "tmp"});
  EXPECT_THAT(disk.CreateDirectories("/tmp"), IsOk());
  EXPECT_THAT(disk.SyncDirectory("/"), IsOk());
  const uint64_t hash = disk.ContentHash();
  WriteText(disk, "/tmp/f", "text", true);
  EXPECT_EQ(disk.ContentHash(), hash);
  disk.CrashPoint("test");
  CrashImages images(disk, random_, {});
  EXPECT_EQ(images.combinations(), 1u);
  EXPECT_THAT(After(disk, "/tmp/f"), UnorderedElementsAre("none"));
  EXPECT_EQ(ReadText(*disk.AfterDeath(), "/tmp/f"), "text");
}

TEST_F(SimulatedDiskTest, APowerFailureIsAnotherBootAndADeathIsNot) {
  const std::string path = "/proc/sys/kernel/random/boot_id";
  const std::string boot = ReadText(disk_, path);
  EXPECT_EQ(boot.size(), 36u);
  EXPECT_EQ(ReadText(*disk_.AfterDeath(), path), boot);
  EXPECT_THAT(After(disk_, path), Not(Contains(boot)));
}

TEST_F(SimulatedDiskTest, TheSameSeedGivesTheSameDisks) {
  for (int i = 0; i < 12; ++i) WriteText(disk_, std::string("/f") + static_cast<char>('a' + i), "text");
  disk_.CrashPoint("test");
  std::vector<std::vector<uint64_t>> runs(3);
  for (size_t run = 0; run < runs.size(); ++run) {
    SeededRandom random(run < 2 ? 7 : 8);
    CrashImages images(disk_, random, {.samples = 100});
    EXPECT_GT(images.combinations(), 1'000'000u);
    while (const auto after = images.Next()) runs[run].push_back(after->ContentHash());
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_THAT(runs[0], Not(testing::Eq(runs[2])));
}

}  // namespace
}  // namespace kekbit
