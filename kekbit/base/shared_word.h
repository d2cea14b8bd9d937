// The words of memory that a writer and its readers share. No other file of the project names a
// memory order.
//
// A channel needs one pairing: the writer stores everything of a record, then its length with
// PublishWord. A reader that sees the length through AcquireWord sees all that was stored before.
// Everything else is relaxed: written before such a publication, or a hint.

#ifndef KEKBIT_BASE_SHARED_WORD_H_
#define KEKBIT_BASE_SHARED_WORD_H_

#include <atomic>
#include <bit>
#include <cstdint>

namespace kekbit {

static_assert(std::endian::native == std::endian::little, "the formats of kekbit are little endian");
static_assert(sizeof(void*) == 8, "a channel may be 4 GiB long: kekbit needs 64-bit addresses");
static_assert(std::atomic_ref<uint64_t>::is_always_lock_free && std::atomic_ref<uint32_t>::is_always_lock_free,
              "shared words lie in memory of several processes: they can't be guarded by a lock of one");

namespace internal {

// atomic_ref wants a reference to non-const. A load writes nothing, so it also works on a read-only
// mapping.
template <typename Word>
std::atomic_ref<Word> Shared(const void* word) {
  return std::atomic_ref<Word>(*const_cast<Word*>(static_cast<const Word*>(word)));
}

}  // namespace internal

// Stores `value`. A thread that sees the value through AcquireWord sees everything this thread
// stored before.
inline void PublishWord(void* word, uint64_t value) {
  internal::Shared<uint64_t>(word).store(value, std::memory_order_release);
}

// Loads a word stored by PublishWord, and with it everything that was stored before the word.
inline uint64_t AcquireWord(const void* word) {
  return internal::Shared<uint64_t>(word).load(std::memory_order_acquire);
}

// Stores a word that some later PublishWord makes visible.
inline void PrepareWord(void* word, uint64_t value) {
  internal::Shared<uint64_t>(word).store(value, std::memory_order_relaxed);
}

// Loads a word whose value orders nothing else.
inline uint64_t PeekWord(const void* word) { return internal::Shared<uint64_t>(word).load(std::memory_order_relaxed); }
inline uint32_t PeekWord32(const void* word) {
  return internal::Shared<uint32_t>(word).load(std::memory_order_relaxed);
}

// Atomic read-modify-write on words that several processes change, in one total order with each
// other. They are for a thread that announces something and then looks for another's announcement.
// Returns the old value.
inline uint32_t FetchOrWord32(void* word, uint32_t bits) {
  return internal::Shared<uint32_t>(word).fetch_or(bits, std::memory_order_seq_cst);
}
// Returns true if the word was `expected` and now is `desired`.
inline bool CompareExchangeWord32(void* word, uint32_t expected, uint32_t desired) {
  return internal::Shared<uint32_t>(word).compare_exchange_strong(expected, desired, std::memory_order_seq_cst);
}

// Raises the word to at least `value`; several processes may do so at once, and the word never goes
// back. A thread that sees the value through AcquireWord sees everything this thread stored before.
inline void RaiseWord(void* word, uint64_t value) {
  const std::atomic_ref<uint64_t> shared = internal::Shared<uint64_t>(word);
  uint64_t before = shared.load(std::memory_order_relaxed);
  while (before < value && !shared.compare_exchange_weak(before, value, std::memory_order_release)) {
  }
}

// Keeps the compiler, not the processor, from moving memory accesses across the fence. This is the
// cheap half of an asymmetric fence; the dear half is HeavyFence of asymmetric_fence.h on the other
// side.
inline void LightFence() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace kekbit

#endif  // KEKBIT_BASE_SHARED_WORD_H_
