// Partner is a second process, forked from the benchmark's, and memory that both share.
//
//   Partner<Shared> partner([&](Shared& shared) { ... });  // runs in the child, on another processor
//   partner.shared().word ...
//   partner.Join();                                        // a failed KB_CHECK in the child fails here
//
// Mappings are not inherited by fork: the child opens a channel of its own.

#ifndef KEKBIT_BENCH_PARTNER_H_
#define KEKBIT_BENCH_PARTNER_H_

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#include "kekbit/base/check.h"
#include "kekbit/base/shared_word.h"

namespace kekbit::bench {

// Keeps this thread on the `index`-th of the processors that the process may use, counted round.
inline void PinTo(int index) {
  static const cpu_set_t allowed = [] {
    cpu_set_t set;
    KB_CHECK(::sched_getaffinity(0, sizeof set, &set) == 0);
    return set;
  }();
  index %= CPU_COUNT(&allowed);
  int cpu = 0;
  for (;; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && index-- == 0) break;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  KB_CHECK(::sched_setaffinity(0, sizeof one, &one) == 0);
}

// LoneWord is a word that two processes look at, alone in its cache lines (processors fetch them in
// pairs).
struct alignas(128) LoneWord {
  uint64_t value = 0;

  void Set(uint64_t to) { PublishWord(&value, to); }
  uint64_t Get() const { return AcquireWord(&value); }
  void Await(uint64_t wanted) const {
    while (Get() != wanted) {
    }
  }
};

template <typename Shared>
class Partner final {
 public:
  template <typename Main>
  explicit Partner(Main main) {
    void* const memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    KB_CHECK(memory != MAP_FAILED);
    shared_ = new (memory) Shared;
    PinTo(1);  // the child begins where it shall stay, away from this spinning process
    child_ = ::fork();
    KB_CHECK(child_ >= 0);
    if (child_ == 0) {
      main(*shared_);
      ::_exit(0);
    }
    PinTo(0);
  }
  Partner(const Partner&) = delete;
  Partner& operator=(const Partner&) = delete;
  ~Partner() {
    Join();
    ::munmap(shared_, sizeof(Shared));
  }

  Shared& shared() { return *shared_; }

  // Waits for the end of the other process.
  void Join() {
    if (child_ == 0) return;
    int status = 0;
    KB_CHECK(::waitpid(child_, &status, 0) == child_);
    KB_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    child_ = 0;
  }

 private:
  Shared* shared_;
  pid_t child_;
};

}  // namespace kekbit::bench

#endif  // KEKBIT_BENCH_PARTNER_H_
