// SyncMark says how far a journal is known to be on stable storage, and whether a sync has failed:
// DIR/synced.
//
//   auto mark = SyncMark::Open(fs, layout.synced());
//   ... sync the segments up to seq ...
//   mark->Advance(seq);
//
// The mark is evidence for recovery, never needed. What the mark says is true, but may be less than
// the truth, since nobody syncs the file. A frame that does not fit, at or before the mark, was
// whole once: it was damaged, not torn.
//
// File: magic u64, synced seq u64, poisoned segment u64, boot u64, made segment u64, segment and
// offset of the sync under way u64 each, the journal's time u64; mapped. The disk writes an aligned
// word whole or not at all, and each word means something by itself. The offset only matters as
// long as no power failure has come.
//
// Thread safety: synced(), poisoned(), Poison() any thread; in_doubt() any thread, while nobody
// changes what is settled; the others the holder of the lease, one thread at a time.

#ifndef KEKBIT_REPLICATION_JOURNAL_SYNC_MARK_H_
#define KEKBIT_REPLICATION_JOURNAL_SYNC_MARK_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

class SyncMark final {
 public:
  // Opens the file, or makes it with nothing synced. DataLoss if the file is something else.
  static absl::StatusOr<SyncMark> Open(FileSystem& fs, const std::string& path);

  // Opens the file for callers that only look: NotFound if there is none. Then only calls that
  // change nothing are allowed.
  static absl::StatusOr<SyncMark> OpenForReading(FileSystem& fs, const std::string& path);

  SyncMark(SyncMark&&) = default;
  SyncMark& operator=(SyncMark&&) = default;

  // Returns the seq up to which every frame was synced; 0: not known.
  Seq synced() const { return AcquireWord(word(1)); }

  // Notes that every frame up to `seq` is synced: the call that synced it has returned. Never goes
  // back.
  void Advance(Seq seq) {
    if (seq > PeekWord(word(1))) PublishWord(word(1), seq);
  }

  // Forgets what was synced after `seq`: by an operator's word the journal ends there. On stable
  // storage once it returns.
  absl::Status GiveUpAfter(Seq seq);

  // Returns the first segment of which a sync has failed; 0: none. What the page cache shows of
  // that segment need not be on the disk, whatever a later sync returns.
  SegmentNumber poisoned() const { return AcquireWord(word(2)); }

  // Notes that a sync of the segment, at least 1, has failed.
  void Poison(SegmentNumber segment) {
    const SegmentNumber before = PeekWord(word(2));
    if (before == 0 || segment < before) PublishWord(word(2), segment);
  }

  // Notes that what was poisoned stands on the disk: this process wrote it again. Others read nothing
  // of it until ClearPoison().
  void NoteSettled() { settled_ = poisoned(); }
  // Writes nothing if nothing was: a sync of an earlier reign may still look at it.
  void ForgetSettled() {
    if (settled_ != 0) settled_ = 0;
  }
  // Returns true if a sync has failed, and this process has not settled that.
  bool in_doubt() const {
    const SegmentNumber segment = poisoned();
    return segment != 0 && segment != settled_;
  }

  // Notes that a sync begins of the segment, at least 1, from this byte of the file on, and of
  // later segments.
  void Begin(SegmentNumber segment, uint64_t from) {
    PrepareWord(word(6), from);
    PublishWord(word(5), segment);
  }
  // Notes that the sync has succeeded.
  void End() { PublishWord(word(5), 0); }
  // A sync that never ended: its process died. The kernel tells of an error once. If the dead
  // process was told, what this sync should have written counts as written, and the next sync does
  // nothing about that.
  struct Unfinished {
    SegmentNumber segment;
    uint64_t from;
  };
  std::optional<Unfinished> unfinished() const {
    const SegmentNumber segment = AcquireWord(word(5));
    if (segment == 0) return std::nullopt;
    return Unfinished{.segment = segment, .from = PeekWord(word(6))};
  }

  // Returns the start of the machine since which everything written is in memory or on the disk, as
  // the last recovery said; 0: not known. While this is CurrentBoot(), no power failure has taken
  // anything.
  uint64_t boot() const { return AcquireWord(word(3)); }
  void SetBoot(uint64_t boot) { PublishWord(word(3), boot); }
  // Names this start of the machine; 0 if the system does not say. An error if it could not be
  // asked just now: who takes that for 0 takes damage for a torn tail.
  static absl::StatusOr<uint64_t> CurrentBoot(FileSystem& fs);

  // Returns the newest segment that was made; 0: none, or not known. It exists as long as no power
  // failure has taken it (see boot()). Only recovery takes the newest segment away, and says so
  // first.
  SegmentNumber made() const { return AcquireWord(word(4)); }
  // Notes that the segment has its name.
  void Made(SegmentNumber segment) {
    if (segment > PeekWord(word(4))) PublishWord(word(4), segment);
  }
  // Notes that later segments may be gone.
  void ForgetMadeBehind(SegmentNumber segment) {
    if (segment < PeekWord(word(4))) PublishWord(word(4), segment);
  }

  // Returns the journal's time less the boot clock, in ns, as the last primary had it; nullopt: not
  // known to this machine since its start. `clock`, not 0, names the boot clock: no other clock has
  // the same name. Best effort: less by up to 2^16 ns.
  std::optional<int64_t> journal_line(uint64_t clock) const;
  void SetJournalLine(int64_t line, uint64_t clock);

  // Notes that what was poisoned was settled, and the journal's end recovered after that: everybody
  // may read it.
  absl::Status ClearPoison();

 private:
  static absl::StatusOr<SyncMark> OpenFor(FileSystem& fs, const std::string& path, Access access);

  explicit SyncMark(std::unique_ptr<MappedFile> mapping) : mapping_(std::move(mapping)) {}

  uint8_t* word(uint64_t n) const { return mapping_->data() + n * sizeof(uint64_t); }

  std::unique_ptr<MappedFile> mapping_;
  SegmentNumber settled_ = 0;  // of poisoned()
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SYNC_MARK_H_
