// ForkGuard is for descriptors that a child made by fork(2) must not keep.
//
// A lock of an open file description is released when its last descriptor is closed. A forked child
// has a copy of each descriptor, and would keep the lock of a parent that dies. The death of a
// lock's holder would no longer release the lock. So a guarded descriptor leads to /dev/null in
// every child.
//
// Thread safety: any thread. Works for fork(), not for a raw clone(2). A program that is executed
// has none of the descriptors anyway.

#ifndef KEKBIT_BASE_FORK_GUARD_H_
#define KEKBIT_BASE_FORK_GUARD_H_

namespace kekbit {

// Makes forked children not keep what `fd` leads to, until UnguardFromFork(). REQUIRES: `fd` is not
// guarded.
void GuardFromFork(int fd);
// Ends the guard, before `fd` is closed. Does nothing if `fd` is not guarded.
void UnguardFromFork(int fd);

}  // namespace kekbit

#endif  // KEKBIT_BASE_FORK_GUARD_H_
