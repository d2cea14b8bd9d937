// JudgeTail decides what the place is at which the frames of a journal end: a clean end, a torn
// tail, or damage. The decision is a pure function of what was found there.
//
// A power failure leaves the pages of a mapped file as they were at different times. So a frame
// that does not fit may never have reached the disk, while later frames did. That is a torn tail:
// nothing of it was acknowledged as synced. But if anything shows that the frame was on the disk
// once, its bytes were damaged since. To go on without that frame would lose it silently.

#ifndef KEKBIT_REPLICATION_RECOVERY_TAIL_VERDICT_H_
#define KEKBIT_REPLICATION_RECOVERY_TAIL_VERDICT_H_

#include <algorithm>

#include "kekbit/replication/position.h"

namespace kekbit {

struct TailFacts {
  // The seq of the first frame that is not there, or does not fit.
  Seq bad_seq = 1;
  // True if something else stands in its place, or after it, which the death of a process can't
  // explain.
  bool misfit = false;
  // Up to which seq everything was on the disk once: by the sync mark, by later whole frames, and
  // by a snapshot or a cursor of that seq.
  Seq synced_by_mark = 0;
  Seq synced_by_frames = 0;
  Seq synced_by_others = 0;
  // True if the machine has run without a stop since all was known to be well, no sync has failed,
  // and no process has died inside one of these bytes. Then nothing that was written is missing.
  bool nothing_lost = false;
};

enum class TailVerdict {
  kClean,    // the journal ends there
  kTorn,     // the journal ends there, and what else there is was never acknowledged as synced
  kDamaged,  // the journal went on there
};

constexpr TailVerdict JudgeTail(const TailFacts& facts) {
  const Seq synced = std::max({facts.synced_by_mark, facts.synced_by_frames, facts.synced_by_others});
  if (synced >= facts.bad_seq) return TailVerdict::kDamaged;
  if (!facts.misfit) return TailVerdict::kClean;
  return facts.nothing_lost ? TailVerdict::kDamaged : TailVerdict::kTorn;
}

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_TAIL_VERDICT_H_
