// ForkMark tells a process from the children that it forks, at the price of one load.
//
//   const ForkMark mark_;   // in an object that relies on threads, locks or mappings of its process
//   if (ABSL_PREDICT_FALSE(mark_.in_child())) return ForkMark::Error(path);
//
// A forked child has a copy of the object, but none of the threads, none of the mappings for
// writing, and locks that nobody will ever release. The mark is a word in memory that the kernel
// clears in each child (MADV_WIPEONFORK), even after a raw clone(2). A child that makes a mark of
// its own gets another word.
//
// Thread safety: any thread.

#ifndef KEKBIT_BASE_FORK_MARK_H_
#define KEKBIT_BASE_FORK_MARK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/shared_word.h"

namespace kekbit {

class ForkMark final {
 public:
  // Marks the calling process.
  ForkMark() : word_(CurrentWord()) {}

  // Returns true in a forked child of the process that made the mark.
  bool in_child() const { return mask() == 0; }
  // Returns all bits set in the process that made the mark, none in its children. A limit that is
  // masked with this word, and compared anyway, costs no branch.
  uint64_t mask() const { return PeekWord(word_); }

  // FailedPrecondition: what every call answers in a child.
  static absl::Status Error(absl::string_view what);
  // Ends the process with a message on standard error: for a call that can't return an error.
  [[noreturn]] static void Die(absl::string_view what);

 private:
  static const uint64_t* CurrentWord();

  const uint64_t* word_;
};

}  // namespace kekbit

#endif  // KEKBIT_BASE_FORK_MARK_H_
