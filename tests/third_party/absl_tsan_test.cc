// Under --config=tsan: what the system's Abseil guards is not reported as a race (see
// third_party/absl_tsan).

#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace {

constexpr int kRounds = 1000;

struct Queue {
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return closed || !items.empty(); }

  void Push(int item) {
    absl::MutexLock lock(&mutex);
    items.push_back(item);
  }

  void Close() {
    absl::MutexLock lock(&mutex);
    closed = true;
  }

  int SumUntilClosed() {
    absl::MutexLock lock(&mutex);
    int sum = 0;
    for (;;) {
      mutex.Await(absl::Condition(this, &Queue::HasWork));
      if (items.empty()) return sum;
      sum += items.front();
      items.pop_front();
    }
  }

  absl::Mutex mutex;
  std::deque<int> items ABSL_GUARDED_BY(mutex);
  bool closed ABSL_GUARDED_BY(mutex) = false;
};

TEST(AbslTsanTest, AwaitWithConditionsThatOtherThreadsEvaluate) {
  Queue queue;
  int sum = 0;
  std::thread consumer([&] { sum = queue.SumUntilClosed(); });
  std::thread producer([&] {
    for (int i = 0; i < kRounds; ++i) queue.Push(2);
  });
  for (int i = 0; i < kRounds; ++i) queue.Push(1);
  producer.join();
  queue.Close();
  consumer.join();
  EXPECT_EQ(sum, 3 * kRounds);
}

TEST(AbslTsanTest, CondVarHandsTheMutexOver) {
  absl::Mutex mutex;
  absl::CondVar changed;
  int turn = 0;
  int rounds = 0;
  const auto play = [&](int self) {
    for (int i = 0; i < kRounds; ++i) {
      absl::MutexLock lock(&mutex);
      while (turn != self) {
        if (i % 2 == 0) {
          changed.Wait(&mutex);
        } else {
          changed.WaitWithTimeout(&mutex, absl::Minutes(1));
        }
      }
      ++rounds;
      turn = 1 - self;
      changed.SignalAll();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(rounds, 2 * kRounds);
}

TEST(AbslTsanTest, ReadersAndAWriter) {
  absl::Mutex mutex;
  int value = 0;
  int seen = 0;
  std::thread reader([&] {
    for (int i = 0; i < kRounds; ++i) {
      absl::ReaderMutexLock lock(&mutex);
      seen = value;
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    absl::WriterMutexLock lock(&mutex);
    ++value;
  }
  reader.join();
  EXPECT_LE(seen, value);
}

TEST(AbslTsanTest, NotificationSeenByEachWayToLook) {
  for (int i = 0; i < 99; ++i) {
    absl::Notification done;
    int result = 0;
    std::thread worker([&] {
      result = 1;
      done.Notify();
    });
    if (i % 3 == 0) done.WaitForNotification();
    if (i % 3 == 1) done.WaitForNotificationWithTimeout(absl::Minutes(1));
    while (!done.HasBeenNotified()) std::this_thread::yield();
    EXPECT_EQ(result, 1);
    worker.join();
  }
}

TEST(AbslTsanTest, BlockingCounterCollects) {
  absl::BlockingCounter left(2);
  int first = 0;
  int second = 0;
  std::thread one([&] {
    first = 1;
    left.DecrementCount();
  });
  std::thread two([&] {
    second = 2;
    left.DecrementCount();
  });
  left.Wait();
  EXPECT_EQ(first + second, 3);
  one.join();
  two.join();
}

}  // namespace
