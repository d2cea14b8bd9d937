#include "tests/support/allocations.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

std::atomic<size_t> no_memory_from = std::numeric_limits<size_t>::max();

thread_local uint64_t thread_count = 0;
thread_local uint64_t thread_total = 0;
thread_local size_t thread_largest = 0;

void* Allocate(size_t size) {
  ++thread_count;
  thread_total += size;
  thread_largest = std::max(thread_largest, size);
  return size < no_memory_from ? std::malloc(std::max<size_t>(size, 1)) : nullptr;
}

void* AllocateOrThrow(size_t size) {
  void* const memory = Allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return AllocateOrThrow(size); }
void* operator new[](size_t size) { return AllocateOrThrow(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace kekbit {

AllocationMeter::AllocationMeter() : count_at_start_(thread_count), total_at_start_(thread_total) {
  thread_largest = 0;
}

uint64_t AllocationMeter::count() const { return thread_count - count_at_start_; }
uint64_t AllocationMeter::total_bytes() const { return thread_total - total_at_start_; }
size_t AllocationMeter::largest_bytes() const { return thread_largest; }

NoMemoryFrom::NoMemoryFrom(size_t bytes) { no_memory_from = bytes; }
NoMemoryFrom::~NoMemoryFrom() { no_memory_from = std::numeric_limits<size_t>::max(); }

}  // namespace kekbit
