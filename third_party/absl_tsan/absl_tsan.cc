// Tells ThreadSanitizer what the system's Abseil does: its locks are in shared libraries that were
// built without it.
//
// ThreadSanitizer sees an order between threads only where code was compiled with it. Debian's
// absl::Mutex was not, so all that it guards would be reported as a race. This library is linked
// into every binary of --config=tsan and stands in front of the functions below: each calls the
// real one unseen and tells what that did for the order, by the address of the lock: who locks has
// acquired what those before released by unlocking.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

#include "absl/base/options.h"
#include "absl/time/time.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

// While it lives, ThreadSanitizer looks away from this thread. Inside of Abseil a thread evaluates
// conditions that others wait for: in good order by the lock, but at moments when ThreadSanitizer
// takes it for free.
class Unseen {
 public:
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
  ~Unseen() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

class Acquires {
 public:
  explicit Acquires(void* lock) : lock_(lock) {}
  Acquires(const Acquires&) = delete;
  Acquires& operator=(const Acquires&) = delete;
  // Acquire even after a TryLock in vain: one order too many may hide a race, but invents none.
  ~Acquires() { __tsan_acquire(lock_); }

 private:
  void* const lock_;
};

class Releases {
 public:
  explicit Releases(void* lock) { __tsan_release(lock); }
};

class Waits {
 public:
  explicit Waits(void* lock) : release_(lock), acquire_(lock) {}

 private:
  Releases release_;
  Acquires acquire_;
};

// absl::Notification's HasBeenNotified() is inline and loads the flag, which follows its mutex.
class Notifies {
 public:
  explicit Notifies(void* notification)
      : releases_(notification), releases_flag_(static_cast<char*>(notification) + sizeof(void*)) {}

 private:
  Releases releases_;
  Releases releases_flag_;
};

template <typename Function>
Function* Real(const char* symbol) {
  void* const found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    std::fprintf(stderr, "absl_tsan: Abseil's libraries have no %s\n", symbol);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

}  // namespace

#define KB_STRING_OF(token) #token
#define KB_STRING(macro) KB_STRING_OF(macro)
#define KB_NAMESPACE KB_STRING(ABSL_OPTION_INLINE_NAMESPACE_NAME)
static_assert(sizeof(KB_NAMESPACE) - 1 == 7, "the mangled names below count its letters");

// Defines a function of namespace absl that calls the real function of that name, and has this
// effect on `self`.
#define KB_IN_FRONT(Result, Name, parameters, arguments, Effect, qualifiers, symbol)                  \
  Result Name parameters asm("_ZN" qualifiers "4absl7" KB_NAMESPACE symbol);                          \
  Result Name parameters {                                                                            \
    static auto* const real = Real<Result parameters>("_ZN" qualifiers "4absl7" KB_NAMESPACE symbol); \
    Effect effect(self);                                                                              \
    Unseen unseen;                                                                                    \
    return real arguments;                                                                            \
  }

using Object = void*;
using Duration = absl::Duration;
using Time = absl::Time;

KB_IN_FRONT(void, Lock, (Object self), (self), Acquires, "", "5Mutex4LockEv")
KB_IN_FRONT(bool, TryLock, (Object self), (self), Acquires, "", "5Mutex7TryLockEv")
KB_IN_FRONT(void, Unlock, (Object self), (self), Releases, "", "5Mutex6UnlockEv")
KB_IN_FRONT(void, ReaderLock, (Object self), (self), Acquires, "", "5Mutex10ReaderLockEv")
KB_IN_FRONT(bool, ReaderTryLock, (Object self), (self), Acquires, "", "5Mutex13ReaderTryLockEv")
KB_IN_FRONT(void, ReaderUnlock, (Object self), (self), Releases, "", "5Mutex12ReaderUnlockEv")

KB_IN_FRONT(void, LockWhen, (Object self, Object condition), (self, condition), Acquires, "",
            "5Mutex8LockWhenERKNS0_9ConditionE")
KB_IN_FRONT(bool, LockWhenTimeout, (Object self, Object condition, Duration timeout), (self, condition, timeout),
            Acquires, "", "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE")
KB_IN_FRONT(bool, LockWhenDeadline, (Object self, Object condition, Time deadline), (self, condition, deadline),
            Acquires, "", "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE")
KB_IN_FRONT(void, ReaderLockWhen, (Object self, Object condition), (self, condition), Acquires, "",
            "5Mutex14ReaderLockWhenERKNS0_9ConditionE")
KB_IN_FRONT(void, Await, (Object self, Object condition), (self, condition), Waits, "",
            "5Mutex5AwaitERKNS0_9ConditionE")
KB_IN_FRONT(bool, AwaitTimeout, (Object self, Object condition, Duration timeout), (self, condition, timeout), Waits,
            "", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE")
KB_IN_FRONT(bool, AwaitDeadline, (Object self, Object condition, Time deadline), (self, condition, deadline), Waits, "",
            "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE")

// `self` is the mutex that the wait gives up and takes again.
KB_IN_FRONT(void, CondVarWait, (Object condvar, Object self), (condvar, self), Waits, "", "7CondVar4WaitEPNS0_5MutexE")
KB_IN_FRONT(bool, CondVarTimeout, (Object condvar, Object self, Duration timeout), (condvar, self, timeout), Waits, "",
            "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE")
KB_IN_FRONT(bool, CondVarDeadline, (Object condvar, Object self, Time deadline), (condvar, self, deadline), Waits, "",
            "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE")

KB_IN_FRONT(void, Notify, (Object self), (self), Notifies, "", "12Notification6NotifyEv")
KB_IN_FRONT(void, Notified, (Object self), (self), Acquires, "K", "12Notification19WaitForNotificationEv")
KB_IN_FRONT(bool, NotifiedTimeout, (Object self, Duration timeout), (self, timeout), Acquires, "K",
            "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE")
KB_IN_FRONT(bool, NotifiedDeadline, (Object self, Time deadline), (self, deadline), Acquires, "K",
            "12Notification31WaitForNotificationWithDeadlineENS0_4TimeE")

KB_IN_FRONT(bool, DecrementCount, (Object self), (self), Waits, "", "15BlockingCounter14DecrementCountEv")
KB_IN_FRONT(void, WaitForCount, (Object self), (self), Acquires, "", "15BlockingCounter4WaitEv")
KB_IN_FRONT(bool, Block, (Object self), (self), Waits, "", "7Barrier5BlockEv")
