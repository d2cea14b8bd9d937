#include "kekbit/page_toucher.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/channel_file.h"
#include "kekbit/header.h"
#include "kekbit/shm_writer.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

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

// NotingFileMapping passes on to a real mapping, and notes what is touched. After Forget() the
// caller may take away what a mapping stands on.
class NotingFileMapping final : public MappedFile {
 public:
  NotingFileMapping(std::shared_ptr<MappedFile> file, Notes& notes)
      : MappedFile(file->data(), file->size()), file_(std::move(file)), notes_(notes) {}

  absl::Status Sync(uint64_t offset, uint64_t size) override { return file_->Sync(offset, size); }
  absl::Status Touch(uint64_t offset, uint64_t size) override {
    absl::MutexLock lock(&notes_.mutex);
    notes_.touched.emplace_back(offset, offset + size);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<MappedFile> file_;
  Notes& notes_;
};

TEST(PageToucherTest, AWriterAsksForNothingThatWasTouchedBefore) {
  constexpr uint64_t kAhead = 256 << 10;
  const TempDir dir;
  const Header header = Header::Make({.channel_id = 1, .capacity = 1 << 20}).value();
  PreparedChannelFile prepared =
      PrepareChannelFile(FileSystem::Posix(), dir.File("prepared"), header.capacity()).value();
  Notes notes;
  prepared.mapping = std::make_shared<NotingFileMapping>(prepared.mapping, notes);
  prepared.touched_bytes = kAhead;
  PageToucher toucher;
  const WriterOptions options = {.wakes_readers = false, .touch_ahead_bytes = kAhead, .page_toucher = &toucher};
  ShmWriter writer = ShmWriter::CreateFrom(std::move(prepared), dir.File("channel"), header, options).value();
  const std::vector<uint8_t> payload(4096);
  while (writer.write_offset() < kAhead) ASSERT_TRUE(writer.Write(payload).ok());
  // By now the writer has asked for the next part, with half of the window still to come.
  absl::MutexLock lock(&notes.mutex);
  const auto touched = [&] { return !notes.touched.empty(); };
  notes.mutex.Await(absl::Condition(&touched));
  EXPECT_EQ(notes.touched.front().first, kAhead);
}

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
  // There are 2 million steps, and no time was left for them, if they began at all.
  EXPECT_TRUE(notes.touched.empty() || notes.touched.back().second < 1ull << 40);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEKBIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KEKBIT_SANITIZED 1
#endif
#endif

// Where the machine has no thread to give, writers take their page faults themselves.
TEST(PageToucherTest, WithoutAThreadNothingIsTouchedAndNothingFails) {
#ifdef KEKBIT_SANITIZED
  GTEST_SKIP() << "a sanitizer does not live within a limit of memory";
#endif
  ChildProcess child([] {
    // Room for small things, none for a thread's stack.
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit little = {.rlim_cur = pages * 4096 + (4 << 20), .rlim_max = RLIM_INFINITY};
    if (pages == 0 || ::setrlimit(RLIMIT_AS, &little) != 0) return 2;
    auto& taken = *new std::vector<std::thread>;  // stacks that are there to be used again
    for (;;) {
      absl::StatusOr<std::thread> thread = StartThread([] {
        for (;;) ::pause();
      });
      if (!thread.ok()) break;
      taken.push_back(*std::move(thread));
    }
    PageToucher toucher;
    NotingMapping::Notes notes;
    const auto mapping = std::make_shared<NotingMapping>(notes);
    toucher.Request(mapping, 0, 100);
    toucher.Forget(mapping);
    return notes.touched.empty() ? 0 : 4;
  });
  EXPECT_EQ(child.Wait(), 0);
}

// A forked child has no thread of its parent's. It used to wait for such a thread, or to find a
// mutex locked for ever.
TEST(PageToucherTest, AForkedChildHasOneOfItsOwn) {
#ifdef KEKBIT_SANITIZED
  GTEST_SKIP() << "ThreadSanitizer takes no thread in the child of a process with threads";
#endif
  NotingMapping::Notes notes;
  notes.held = true;
  const auto mapping = std::make_shared<NotingMapping>(notes);
  PageToucher::Shared().Request(mapping, 0, 100);
  ChildProcess child([] {
    NotingMapping::Notes own;
    const auto other = std::make_shared<NotingMapping>(own);
    PageToucher::Shared().Request(other, 0, 100);
    absl::MutexLock lock(&own.mutex);
    const auto touched = [&] { return !own.touched.empty(); };
    own.mutex.Await(absl::Condition(&touched));
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  {
    absl::MutexLock lock(&notes.mutex);
    notes.held = false;
  }
  PageToucher::Shared().Forget(mapping);
}

}  // namespace
}  // namespace kekbit
