// PlantedBug: faults that a build can have planted, so that the tests are seen to find them: tests/planted_bugs.sh.
//
//   if (Planted(PlantedBug::kAckBeforeSync)) return absl::OkStatus();
//
// Compiled with -DKEKBIT_PLANTABLE, that is so if the environment variable KEKBIT_PLANT is the bug's place in the list
// below: one build can have any of them. Without, Planted() is a constant false, and no code is left of it. Included by
// .cc files only, and never by a header.

#ifndef KEKBIT_REPLICATION_TESTING_PLANTED_BUGS_H_
#define KEKBIT_REPLICATION_TESTING_PLANTED_BUGS_H_

#ifdef KEKBIT_PLANTABLE
#include <cstdlib>
#endif

namespace kekbit {

enum class PlantedBug {
  kNone,
  kAckBeforeSync,        // frames count as synced, and no sync was made
  kMarkBeforeSync,       // the mark in DIR/synced is ahead of the truth
  kNewestSegmentFirst,   // frames count as synced when the segment in use is, whatever is with those before it
  kNamesNotSynced,       // of a new segment the bytes are synced, not the name
  kRetryFailedSync,      // a sync that failed is made again, and believed
  kNoChecksum,           // a frame's checksum is not looked at
  kTailNotCut,           // recovery leaves a torn tail as it is
  kSealNotSynced,        // recovery says that what it found and sealed is synced, and makes no sync
  kSnapshotAheadOfSync,  // a snapshot gets its name before the journal is synced that far
  kSnapshotNotVerified,  // the journal is cut before the snapshot that replaces it is on the disk and read back
  kNoChain,              // a frame proves nothing about the one before: no chained checksum, seq and epoch not checked
  // These take several processes, or time, and are for the simulation of replicas.
  kPoisonForgotten,          // what the page cache shows is believed, though a sync has failed
  kUnfinishedForgotten,      // what a sync covered in which its process died is not written once more
  kFollowerSyncsNothing,     // a follower's snapshot relies on frames that neither it nor the primary has synced
  kInheritedCountsAsSynced,  // a reign takes all frames of those before for synced
  kEpochNotSynced,           // an epoch is used before it is on stable storage
  kLeaseKept,                // who steps down keeps the lease
  kTimeStandsStill,          // frames are stamped by the wall clock alone, or as the one before
  kTimeGoesBack,             // a reign stamps its frames by the wall clock, whatever those before have
  kAppliedTwice,             // after a reign the last frame is read, and applied, once more
  kTrimmedByNewest,          // the journal is trimmed up to the newest snapshot, not the one before
  kCursorIgnored,            // the journal is trimmed though a registered reader still wants it
  kCursorNotSynced,          // the journal is trimmed up to a cursor that is not on stable storage
  kTrimLeavesHole,           // segments are unlinked, and nobody brings that to the disk in order
  kSnapshotNameNotSynced,    // the journal is trimmed before the name of the snapshot that replaces it is synced
  kSyncedByReading,          // segments of earlier reigns are synced by mappings for reading, which syncs nothing
};

#ifdef KEKBIT_PLANTABLE
inline bool Planted(PlantedBug bug) {
  static const char* const chosen = std::getenv("KEKBIT_PLANT");
  return chosen != nullptr && std::atoi(chosen) == static_cast<int>(bug);
}
#else
constexpr bool Planted(PlantedBug) { return false; }
#endif

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_TESTING_PLANTED_BUGS_H_
