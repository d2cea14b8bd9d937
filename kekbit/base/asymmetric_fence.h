// HeavyFence: the dear side of an asymmetric fence between processes.
//
// Two sides each announce something and then look for the other's announcement; at least one has to see the other's.
// Usually both need a full fence between the two steps. Here the frequent side (a writer, which publishes and then
// looks whether someone sleeps) uses LightFence of shared_word.h, which costs nothing, and the rare side (a reader
// about to sleep) uses HeavyFence, by which the kernel has every processor that runs a registered process do its fence
// for it (membarrier(2), a few hundred nanoseconds).
//
// Thread safety: any thread.

#ifndef KEKBIT_BASE_ASYMMETRIC_FENCE_H_
#define KEKBIT_BASE_ASYMMETRIC_FENCE_H_

namespace kekbit {

// Has this process take part: called by the side that uses LightFence, before its first use. False where the kernel has
// no membarrier; then the other side's HeavyFence orders nothing of this one, and must not be relied on.
bool JoinHeavyFence();

// After it, each thread of every process that joined has either not yet done what stands before its next LightFence,
// and will see all that this thread stored before; or has done it, and this thread sees it. False where the kernel has
// no membarrier.
bool HeavyFence();

}  // namespace kekbit

#endif  // KEKBIT_BASE_ASYMMETRIC_FENCE_H_
