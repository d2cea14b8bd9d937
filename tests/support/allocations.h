// AllocationMeter counts what this thread has allocated by operator new since the meter was made.
//
//   AllocationMeter meter;
//   Work();
//   EXPECT_EQ(meter.count(), 0);
//
// Linking this library replaces operator new and delete in the whole program. Thread safety: each
// thread has its own figures.

#ifndef KEKBIT_TESTS_SUPPORT_ALLOCATIONS_H_
#define KEKBIT_TESTS_SUPPORT_ALLOCATIONS_H_

#include <cstddef>
#include <cstdint>

namespace kekbit {

class AllocationMeter final {
 public:
  // One at a time in a thread: the largest is counted from the youngest meter on.
  AllocationMeter();

  uint64_t count() const;
  uint64_t total_bytes() const;
  size_t largest_bytes() const;

 private:
  uint64_t count_at_start_;
  uint64_t total_at_start_;
};

// While it lives, operator new has no memory for so many bytes or more, in any thread. One at a time.
class NoMemoryFrom final {
 public:
  explicit NoMemoryFrom(size_t bytes);
  NoMemoryFrom(const NoMemoryFrom&) = delete;
  NoMemoryFrom& operator=(const NoMemoryFrom&) = delete;
  ~NoMemoryFrom();
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_ALLOCATIONS_H_
