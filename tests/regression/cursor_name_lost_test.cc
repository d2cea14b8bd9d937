// A registered reader's cursor could be lost with the power, and with it what the journal keeps for that reader: one
// that died while it registered left a file whose name was not synced, and the next one took the file as it was.

#include <memory>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "tests/support/crash_images.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_process.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

TEST(CursorNameLostTest, ARegisteredCursorSurvivesAPowerFailureWhoeverMadeItsFile) {
  SimulatedDisk disk;
  const JournalLayout layout("/d/j");
  SimulatedProcess* dying = nullptr;
  SimulatedProcess first(disk, 1, [&](const SimulatedProcess::Call& call) {
    if (call.name == "LinkTo" && call.done) dying->Kill();
    return absl::OkStatus();
  });
  dying = &first;
  EXPECT_FALSE(ReaderCursor::Register(first, layout, "audit").ok());
  first.Bury();
  EXPECT_THAT(ReaderCursor::Register(disk, layout, "audit"), IsOk());

  disk.CrashPoint("registered");
  SeededRandom random(1);
  CrashImages images(disk, random, {});
  for (auto after = images.Next(); after != nullptr; after = images.Next()) {
    EXPECT_THAT(after->Info("/d/j/readers/audit"), IsOk());
  }
}

}  // namespace
}  // namespace kekbit
