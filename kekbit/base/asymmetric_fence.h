// HeavyFence is the dear side of an asymmetric fence between processes.
//
// Two sides each announce something and then look for the other's announcement; at least one of
// them has to see the other's. Usually both need a full fence between the two steps. Here the
// frequent side uses LightFence of shared_word.h, which costs nothing: a writer, which publishes
// and then looks whether someone sleeps. The rare side uses HeavyFence: a reader about to sleep.
// HeavyFence makes the kernel run a fence on every processor that runs a registered process
// (membarrier(2), a few hundred nanoseconds).
//
// Thread safety: any thread.

#ifndef KEKBIT_BASE_ASYMMETRIC_FENCE_H_
#define KEKBIT_BASE_ASYMMETRIC_FENCE_H_

namespace kekbit {

// Registers this process: called by the side that uses LightFence, before the first use. Returns
// false if the kernel has no membarrier. The other side's HeavyFence then does not order this
// process, and must not be relied on.
bool JoinHeavyFence();

// Orders this thread with each thread of every process that joined, around that thread's next
// LightFence. Either that thread has done what stands before its LightFence, and this thread sees
// the result. Or that thread will see all that this thread stored before. Returns false if the
// kernel has no membarrier.
bool HeavyFence();

}  // namespace kekbit

#endif  // KEKBIT_BASE_ASYMMETRIC_FENCE_H_
