// ForkMark's word: a page that the kernel clears in every child.

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/fork_mark.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18  // Linux 4.14
#endif

namespace kekbit {
namespace {

// The word of this process; a child finds its parent's, cleared. Words are never freed: marks of
// any age read them.
constinit std::atomic<uint64_t*> current = nullptr;

// Clears the word where the kernel has not: it is older, or there was no page.
void InChild() {
  if (uint64_t* const word = current.load()) PrepareWord(word, 0);
}

uint64_t* MakeWord() {
  static const bool registered = ::pthread_atfork(nullptr, nullptr, InChild) == 0;
  KB_CHECK(registered);
  const auto bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint64_t* const word = page == MAP_FAILED ? new uint64_t : static_cast<uint64_t*>(page);
  if (page != MAP_FAILED) ::madvise(page, bytes, MADV_WIPEONFORK);
  PrepareWord(word, ~uint64_t{0});
  return word;
}

std::string Text(absl::string_view what) {
  return absl::StrCat(what,
                      ": was opened by the parent, before fork(), and does nothing in a child; a child opens its own");
}

}  // namespace

const uint64_t* ForkMark::CurrentWord() {
  uint64_t* word = current.load();
  if (word != nullptr && PeekWord(word) != 0) return word;
  uint64_t* const made = MakeWord();
  // Another thread may have been faster: its word is as good, and this one stays unused.
  return current.compare_exchange_strong(word, made) ? made : word;
}

absl::Status ForkMark::Error(absl::string_view what) { return absl::FailedPreconditionError(Text(what)); }

void ForkMark::Die(absl::string_view what) {
  std::fprintf(stderr, "%s\n", Text(what).c_str());
  std::abort();
}

}  // namespace kekbit
