// ForkGuard: descriptors that a child made by fork(2) must not keep.
//
// A lock of an open file description is released when its last descriptor is closed. A forked child has a copy of each,
// and would so keep the lock of a parent that dies: the death of a lock's holder would no longer release it. So a
// guarded descriptor leads to /dev/null in every child.
//
// Thread safety: any thread. It works for fork(), not for a raw clone(2); a program that is executed has none of the
// descriptors anyway.

#ifndef KEKBIT_BASE_FORK_GUARD_H_
#define KEKBIT_BASE_FORK_GUARD_H_

namespace kekbit {

// From now on, until UnguardFromFork(), forked children don't keep what `fd` leads to. REQUIRES: `fd` is not guarded.
void GuardFromFork(int fd);
// Before `fd` is closed. Fine if it is not guarded.
void UnguardFromFork(int fd);

}  // namespace kekbit

#endif  // KEKBIT_BASE_FORK_GUARD_H_
