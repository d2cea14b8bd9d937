// VersionedWords are words that belong together, written by one process and read by others, never
// torn.
//
// There are two places for them. The writer fills the place that is not valid and then makes it
// valid by the generation, a word that counts these changes. A writer that dies in the middle
// leaves the earlier words as they were.
//
// Thread safety: one writer at a time. Any number of readers, in any process, that neither wait nor
// make the writer wait.

#ifndef KEKBIT_REPLICATION_STATS_VERSIONED_WORDS_H_
#define KEKBIT_REPLICATION_STATS_VERSIONED_WORDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kekbit/base/shared_word.h"

namespace kekbit {

template <size_t kCount>
struct VersionedWords {
  uint64_t generation = 0;  // 0: nothing was written yet; the words of generation n stand in places[n % 2]
  uint64_t places[2][kCount] = {};
};

// REQUIRES: no other thread writes to the words meanwhile.
template <size_t kCount>
void StoreVersioned(VersionedWords<kCount>& to, const std::array<uint64_t, kCount>& words) {
  const uint64_t generation = PeekWord(&to.generation) + 1;
  uint64_t* const place = to.places[generation % 2];
  // Publish each word: a reader of any of them also sees that the generation which stood here is
  // over.
  for (size_t i = 0; i < kCount; ++i) PublishWord(&place[i], words[i]);
  PublishWord(&to.generation, generation);
}

// Returns nullopt if nothing was written yet. Also if the words never stood still long enough for a
// read: no writer is so busy, but the file may lie.
template <size_t kCount>
std::optional<std::array<uint64_t, kCount>> LoadVersioned(const VersionedWords<kCount>& from) {
  constexpr int kTries = 10'000;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t generation = AcquireWord(&from.generation);
    if (generation == 0) return std::nullopt;
    std::array<uint64_t, kCount> words;
    for (size_t j = 0; j < kCount; ++j) words[j] = AcquireWord(&from.places[generation % 2][j]);
    if (PeekWord(&from.generation) == generation) return words;
  }
  return std::nullopt;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_STATS_VERSIONED_WORDS_H_
