// SyncMark says how far a journal is known to be on stable storage, and whether a sync has failed: DIR/synced.
//
//   auto mark = SyncMark::Open(fs, layout.synced());
//   ... sync the segments up to seq ...
//   mark->Advance(seq);
//
// It is evidence for recovery, never needed: what it says is true, but it may say less than is true, since nobody syncs
// it. A frame that does not fit, at or before the mark, was whole once: it was damaged, not torn.
//
// File: magic u64, synced seq u64, poisoned segment u64, boot u64, made segment u64, segment and offset of the sync
// under way u64 each, the journal's time u64; mapped. One aligned word is written by the disk whole or not at all, and
// each means something by itself; the offset only matters as long as no power failure has come.
//
// Thread safety: synced(), poisoned(), Poison() any thread; the others the holder of the lease, one thread at a time.

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
  // Opens the file, or makes it with nothing synced. DataLoss if it is something else.
  static absl::StatusOr<SyncMark> Open(FileSystem& fs, const std::string& path);

  // The same for who only looks: NotFound if there is none. Then only what does not change it may be called.
  static absl::StatusOr<SyncMark> OpenForReading(FileSystem& fs, const std::string& path);

  SyncMark(SyncMark&&) = default;
  SyncMark& operator=(SyncMark&&) = default;

  // Every frame up to this seq was synced; 0: nothing is known.
  Seq synced() const { return AcquireWord(word(1)); }

  // Every frame up to `seq` is synced: the call that synced it has returned. Never goes back.
  void Advance(Seq seq) {
    if (seq > PeekWord(word(1))) PublishWord(word(1), seq);
  }

  // Forgets what was synced after `seq`: by an operator's word the journal ends there. On stable
  // storage once it returns.
  absl::Status GiveUpAfter(Seq seq);

  // The first segment of which a sync has failed; 0: none. What the page cache shows of it need not be on the disk,
  // whatever a later sync returns.
  SegmentNumber poisoned() const { return AcquireWord(word(2)); }

  // A sync of the segment, at least 1, has failed.
  void Poison(SegmentNumber segment) {
    const SegmentNumber before = PeekWord(word(2));
    if (before == 0 || segment < before) PublishWord(word(2), segment);
  }

  // A sync begins of the segment, at least 1, from this byte of the file on, and of those behind it.
  void Begin(SegmentNumber segment, uint64_t from) {
    PrepareWord(word(6), from);
    PublishWord(word(5), segment);
  }
  // It has succeeded.
  void End() { PublishWord(word(5), 0); }
  // A sync that never ended: whoever made it died in it. The kernel tells of an error once; if it told the dead, then
  // what this sync should have written counts as written, and the next sync does nothing about it.
  struct Unfinished {
    SegmentNumber segment;
    uint64_t from;
  };
  std::optional<Unfinished> unfinished() const {
    const SegmentNumber segment = AcquireWord(word(5));
    if (segment == 0) return std::nullopt;
    return Unfinished{.segment = segment, .from = PeekWord(word(6))};
  }

  // Since which start of the machine everything that was written is in memory or on the disk, as said by the last
  // recovery; 0: not known. As long as it is CurrentBoot(), no power failure has taken anything.
  uint64_t boot() const { return AcquireWord(word(3)); }
  void SetBoot(uint64_t boot) { PublishWord(word(3), boot); }
  // Names this start of the machine; 0 if the system does not say. An error if it could not be asked just now: who
  // takes that for 0 takes damage for a torn tail.
  static absl::StatusOr<uint64_t> CurrentBoot(FileSystem& fs);

  // The newest segment that was made; 0: none, or not known. It is there as long as no power failure has taken it (see
  // boot()): only recovery takes the newest one away, and says so first.
  SegmentNumber made() const { return AcquireWord(word(4)); }
  // The segment has its name.
  void Made(SegmentNumber segment) {
    if (segment > PeekWord(word(4))) PublishWord(word(4), segment);
  }
  // Those behind it may be gone.
  void ForgetMadeBehind(SegmentNumber segment) {
    if (segment < PeekWord(word(4))) PublishWord(word(4), segment);
  }

  // The journal's time less the boot clock, in ns, as the last primary had it; nullopt: not known to this machine since
  // it was started. `clock`, not 0, names the boot clock: no other one has the same name. Best effort: it is a little
  // less, by up to 2^16 ns.
  std::optional<int64_t> journal_line(uint64_t clock) const;
  void SetJournalLine(int64_t line, uint64_t clock);

  // What was poisoned has been read anew from the disk, or is no part of the journal any more.
  absl::Status ClearPoison();

 private:
  static absl::StatusOr<SyncMark> OpenFor(FileSystem& fs, const std::string& path, Access access);

  explicit SyncMark(std::unique_ptr<MappedFile> mapping) : mapping_(std::move(mapping)) {}

  uint8_t* word(uint64_t n) const { return mapping_->data() + n * sizeof(uint64_t); }

  std::unique_ptr<MappedFile> mapping_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_SYNC_MARK_H_
