#include "kekbit/page_toucher.h"

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

// Notes what is touched, and by option makes the toucher wait.
class NotingMapping final : public MappedFile {
 public:
  struct Notes {
    absl::Mutex mutex;
    std::vector<std::pair<uint64_t, uint64_t>> touched;  // begin and end
    bool held = false;
  };

  explicit NotingMapping(Notes& notes) : MappedFile(nullptr, 1ull << 40), notes_(notes) {}

  absl::Status Sync(uint64_t, uint64_t) override { return absl::OkStatus(); }
  absl::Status Touch(uint64_t offset, uint64_t size) override {
    absl::MutexLock lock(&notes_.mutex);
    notes_.touched.emplace_back(offset, offset + size);
    notes_.mutex.Await(absl::Condition(
        +[](Notes* notes) { return !notes->held; }, &notes_));
    // The toucher goes on whatever it is told.
    return absl::InternalError("planted");
  }

 private:
  Notes& notes_;
};

using Notes = NotingMapping::Notes;

// Waits until [.., end) was touched.
void AwaitTouchedUpTo(Notes& notes, uint64_t end) {
  absl::MutexLock lock(&notes.mutex);
  const auto touched = [&] { return !notes.touched.empty() && notes.touched.back().second == end; };
  notes.mutex.Await(absl::Condition(&touched));
}

TEST(PageToucherTest, TouchesAllThatIsRequestedOnceAndInOrder) {
  Notes notes;
  const auto mapping = std::make_shared<NotingMapping>(notes);
  PageToucher toucher;
  toucher.Request(mapping, 1000, 3'000'000);
  toucher.Request(mapping, 3'000'000, 3'000'001);
  toucher.Request(mapping, 4'000'000, 5'000'000);
  AwaitTouchedUpTo(notes, 5'000'000);
  absl::MutexLock lock(&notes.mutex);
  uint64_t end = 1000;
  for (const auto& range : notes.touched) {
    if (end == 3'000'001) end = 4'000'000;
    EXPECT_EQ(range.first, end);
    EXPECT_LE(range.second - range.first, 512u * 1024u);
    end = range.second;
  }
  EXPECT_EQ(end, 5'000'000u);
}

// Whoever forgets a mapping may take away what it stands on as soon as Forget() returns.
TEST(PageToucherTest, ForgetWaitsForTheTouchAndLeavesTheRest) {
  auto notes = std::make_unique<Notes>();
  notes->held = true;
  auto mapping = std::make_shared<NotingMapping>(*notes);
  const std::weak_ptr<NotingMapping> watched = mapping;
  PageToucher toucher;
  toucher.Request(mapping, 0, 1ull << 30);
  {
    absl::MutexLock lock(&notes->mutex);
    notes->mutex.Await(absl::Condition(
        +[](Notes* n) { return !n->touched.empty(); }, notes.get()));
  }
  std::thread release([&notes] {
    absl::MutexLock lock(&notes->mutex);
    notes->held = false;
  });
  toucher.Forget(mapping);
  mapping.reset();
  EXPECT_TRUE(watched.expired());
  release.join();
  notes.reset();

  Notes other_notes;
  toucher.Request(std::make_shared<NotingMapping>(other_notes), 0, 100);
  AwaitTouchedUpTo(other_notes, 100);
}

TEST(PageToucherTest, EndsWithoutFinishing) {
  Notes notes;
  const auto mapping = std::make_shared<NotingMapping>(notes);
  {
    PageToucher toucher;
    toucher.Request(mapping, 0, 1ull << 40);
  }
  // 2 million steps; it had no time for them, if it began at all.
  EXPECT_TRUE(notes.touched.empty() || notes.touched.back().second < 1ull << 40);
}

}  // namespace
}  // namespace kekbit
