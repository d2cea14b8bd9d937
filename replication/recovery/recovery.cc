#include "kekbit/replication/recovery/recovery.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/lock_holder.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/channel_format.h"
#include "kekbit/channel_seal.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/segment_sync.h"
#include "kekbit/replication/recovery/aside.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

constexpr uint64_t kRewriteBytes = 1u << 20;
constexpr size_t kPageBytes = 4096;

constexpr uint64_t kWhole = SegmentSync::kWhole;

absl::Status NotYet(const absl::Status& status) {
  return absl::UnavailableError(absl::StrCat("can't take over yet: ", status.message()));
}

// Writes those pages of `bytes` at `at` that are not all zeros. No frame needs the others, and they
// may be a hole, for which a full disk has no room.
absl::Status WriteNonZero(File& file, uint64_t at, Bytes bytes) {
  const auto is_zero = [](uint8_t byte) { return byte == 0; };
  size_t begin = 0;  // of what waits to be written
  for (size_t i = 0; i < bytes.size(); i += kPageBytes) {
    const Bytes page = bytes.subspan(i, std::min(kPageBytes, bytes.size() - i));
    if (!std::all_of(page.begin(), page.end(), is_zero)) continue;
    if (i > begin) KB_RETURN_IF_ERROR(file.WriteAt(at + begin, bytes.subspan(begin, i - begin)));
    begin = i + page.size();
  }
  return begin < bytes.size() ? file.WriteAt(at + begin, bytes.subspan(begin)) : absl::OkStatus();
}

// Writes once more what can be read of bytes [from, end) of the file, so that the next sync really
// writes them: a failed sync leaves pages that the system takes for written.
absl::Status RewriteSegment(FileSystem& fs, const std::string& path, uint64_t from, uint64_t end) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  const uint64_t to = std::min(end, info.size);
  std::vector<uint8_t> buffer;
  for (uint64_t at = from; at < to; at += buffer.size()) {
    KB_RETURN_IF_ERROR(ResizeBuffer(buffer, std::min(to - at, kRewriteBytes), path));
    KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(at, MutableBytes(buffer)));
    KB_RETURN_IF_ERROR(WriteNonZero(*file, at, Bytes(buffer).first(size)));
  }
  return absl::OkStatus();
}

// A writer that lives may have lost its lease without knowing.
absl::Status CheckNoWriter(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  const absl::Status locked = LockFromWriters(fs, *file, path);
  return absl::IsFailedPrecondition(locked) ? NotYet(locked) : locked;
}

// Checks the segment `first` and later ones. What a living writer is just doing
// there looks like anything, and must not be examined. A writer goes on to the next segment before
// it lets go of one: so check in this order.
absl::Status CheckNoWriters(FileSystem& fs, const JournalLayout& layout, SegmentNumber first) {
  for (SegmentNumber number = first;; ++number) {
    const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(layout.segment(number), Access::kReadWrite);
    if (absl::IsNotFound(file.status())) return absl::OkStatus();
    KB_RETURN_IF_ERROR(file.status());
    KB_ASSIGN_OR_RETURN(const bool locked, (*file)->LockedByOther());
    if (locked) return NotYet(LockedError(fs, **file, "a living writer"));
  }
}

// Returns true if frames stand where the reader found none when it looked last: a writer that has
// lost its lease published them meanwhile, and ended.
absl::StatusOr<bool> HasMore(FileSystem& fs, const JournalLayout& layout, const JournalReader& reader) {
  if (!reader.status().ok() || !reader.segment_open()) return false;
  KB_ASSIGN_OR_RETURN(
      JournalReader again,
      JournalReader::At(
          fs, layout, {},
          {.segment = reader.segment(), .offset = reader.offset(), .link = reader.last(), .opened = std::nullopt}));
  return again.Next().has_value();
}

class TailRecovery {
 public:
  TailRecovery(FileSystem& fs, const JournalLayout& layout, JournalReader& reader, SyncMark& mark,
               const RecoveryOptions& options, JournalTail tail)
      : fs_(fs), layout_(layout), reader_(reader), mark_(mark), options_(options), tail_(std::move(tail)) {}

  absl::StatusOr<RecoveryOutcome> Recover() {
    outcome_.next_segment = tail_.segment + 1;
    // Later segments go, or are gone.
    if (!tail_.continues) mark_.ForgetMadeBehind(tail_.segment_open ? tail_.segment : 0);
    const bool cut = tail_.verdict == TailVerdict::kTorn || (tail_.continues && tail_.facts.misfit);
    if (cut) KB_RETURN_IF_ERROR(KeepAside());
    if (tail_.segment_open && !(cut && Planted(PlantedBug::kTailNotCut))) {
      const std::string path = layout_.segment(tail_.segment);
      const absl::Status sealed = cut ? CutAbandonedChannel(fs_, path, tail_.offset, options_.writer)
                                      : SealAbandonedChannel(fs_, path, tail_.offset, options_.writer);
      KB_RETURN_IF_ERROR(absl::IsFailedPrecondition(sealed) ? NotYet(sealed) : sealed);
    }
    KB_RETURN_IF_ERROR(RewriteUnfinished());
    if (options_.sync || cut) {
      const uint64_t bytes = tail_.segment_open ? kDataOffset + tail_.offset + kLengthBytes : kWhole;
      KB_RETURN_IF_ERROR(SyncJournal(fs_, layout_, mark_, tail_.segment, bytes, reader_.last().position.seq));
      outcome_.synced = true;
    }
    if (tail_.continues || tail_.verdict == TailVerdict::kTorn) KB_RETURN_IF_ERROR(reader_.LookAgain());
    if (tail_.continues) {
      outcome_.read_on = true;
      return std::move(outcome_);
    }
    KB_ASSIGN_OR_RETURN(const uint64_t boot, SyncMark::CurrentBoot(fs_));
    mark_.SetBoot(boot);
    // Others would read up to a hole that is only cut now.
    if (mark_.poisoned() != 0) KB_RETURN_IF_ERROR(mark_.ClearPoison());
    return std::move(outcome_);
  }

 private:
  absl::Status KeepAside() {
    outcome_.torn = true;
    outcome_.why = tail_.what;
    Aside aside(fs_, layout_, options_.lose_from ? tail_.what : absl::StrCat("a torn tail: ", tail_.what),
                options_.clock->RealtimeNanos());
    if (options_.writer != WriterIs::kDead) {
      for (const SegmentNumber number : tail_.beyond) KB_RETURN_IF_ERROR(CheckNoWriter(fs_, layout_.segment(number)));
    }
    if (tail_.occupied) {
      KB_ASSIGN_OR_RETURN(const ChannelFile channel, OpenChannelFile(fs_, tail_.path));
      const Bytes cut = channel.mapping->bytes().subspan(kDataOffset + tail_.offset, tail_.end - tail_.offset);
      KB_ASSIGN_OR_RETURN(std::string path, aside.Copy(cut, tail_.path, kDataOffset + tail_.offset));
      outcome_.aside.push_back(std::move(path));
      outcome_.bytes_cut = cut.size();
    }
    // Begin with the last: recovery after a crash finds the same place, and the same first segment
    // after the end.
    for (size_t i = tail_.beyond.size(); i-- > 0;) {
      KB_ASSIGN_OR_RETURN(std::string path, aside.Move(layout_.segment(tail_.beyond[i])));
      outcome_.aside.push_back(std::move(path));
    }
    return absl::OkStatus();
  }

  // Writes once more what a sync has died in. If it had failed, its pages count as written.
  absl::Status RewriteUnfinished() {
    const std::optional<SyncMark::Unfinished> unfinished = mark_.unfinished();
    if (!unfinished || Planted(PlantedBug::kUnfinishedForgotten)) return absl::OkStatus();
    KB_ASSIGN_OR_RETURN(const uint64_t boot, SyncMark::CurrentBoot(fs_));
    if (mark_.boot() != 0 && boot != 0 && mark_.boot() != boot) {
      mark_.End();  // the machine has stopped since: all that can be read is on the disk
      return absl::OkStatus();
    }
    // A sync that failed is an unfinished one, too.
    if (Planted(PlantedBug::kPoisonForgotten)) return absl::OkStatus();
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs_));
    const uint64_t end = tail_.segment_open ? kDataOffset + tail_.offset + kLengthBytes : kWhole;
    for (const SegmentNumber number : segments) {
      if (number < unfinished->segment || number > tail_.segment) continue;
      const uint64_t from = number == unfinished->segment ? unfinished->from : 0;
      KB_RETURN_IF_ERROR(RewriteSegment(fs_, layout_.segment(number), from, number == tail_.segment ? end : kWhole));
    }
    return ReadAgain();
  }

  // Opens the journal at a place before which everything is on the disk.
  absl::StatusOr<JournalReader> OpenForAgain() {
    Seq synced = mark_.synced();
    for (const KnownSeq& known : options_.known) synced = std::max(synced, known.seq);
    if (reader_.anchor_seq() <= synced) {
      absl::StatusOr<JournalReader> again = reader_.AtAnchor();
      if (!absl::IsNotFound(again.status())) return again;
    }
    // That place is not known, or was trimmed.
    KB_ASSIGN_OR_RETURN(const Position before, BeforeFirstKept(fs_, layout_));
    return ReadJournal(fs_, layout_, std::nullopt, std::max(synced, before.seq) + 1);
  }

  // Where a segment ends only because the next one follows: false if it does not.
  bool GoOn(JournalReader& again) {
    if (!again.status().ok() || !again.segment_open() || !again.CheckFollows(again.segment() + 1).ok()) return false;
    absl::StatusOr<JournalReader> next = JournalReader::At(
        fs_, layout_, {}, {.segment = again.segment(), .offset = std::nullopt, .link = again.last(), .opened = {}});
    if (!next.ok()) return false;
    again = *std::move(next);
    return true;
  }

  // Until it was written once more, the system may have dropped what the reader had read.
  absl::Status ReadAgain() {
    absl::StatusOr<JournalReader> again = OpenForAgain();
    const ChainLink& last = reader_.last();
    if (again.ok()) {
      while (again->last().position.seq < last.position.seq && (!again->NextBatch().empty() || GoOn(*again))) {
      }
    }
    const absl::Status& status = again.ok() ? again->status() : again.status();
    if (IsTransient(status)) return status;
    if (again.ok() && again->last().position == last.position && again->last().crc32c == last.crc32c) {
      return absl::OkStatus();
    }
    return absl::AbortedError(absl::StrCat(
        layout_.directory(), ": a process died in a sync that failed, and the system has dropped what that had not ",
        "written: ", last.position.ToString(), " was read here, and is no longer in the journal; open it anew",
        status.ok() ? "" : ": ", status.message()));
  }

  FileSystem& fs_;
  const JournalLayout& layout_;
  JournalReader& reader_;
  SyncMark& mark_;
  const RecoveryOptions& options_;
  const JournalTail tail_;
  RecoveryOutcome outcome_;
};

}  // namespace

absl::StatusOr<RecoveryOutcome> RecoverTail(FileSystem& fs, const JournalLayout& layout, JournalReader& reader,
                                            SyncMark& mark, const RecoveryOptions& options) {
  if (options.writer != WriterIs::kDead) {
    KB_RETURN_IF_ERROR(CheckNoWriters(fs, layout, std::max<SegmentNumber>(reader.segment(), 1)));
    // Where an operator gives up whole frames, the reader stands before them.
    KB_ASSIGN_OR_RETURN(const bool more, options.whole ? false : HasMore(fs, layout, reader));
    if (more) {
      RecoveryOutcome outcome;
      outcome.read_on = true;
      return outcome;
    }
  }
  if (mark.in_doubt() && !Planted(PlantedBug::kPoisonForgotten)) {
    return absl::UnavailableError(absl::StrCat(layout.segment(mark.poisoned()), ": a sync of this segment failed"));
  }
  KB_ASSIGN_OR_RETURN(JournalTail tail,
                      ExamineTail(fs, layout, reader, &mark, options.known, options.lose_from.has_value()));
  if (options.whole) {
    if (options.lose_from != tail.facts.bad_seq || !tail.facts.misfit) {
      return absl::InvalidArgumentError(
          absl::StrCat(layout.directory(), ": there is no seq ", options.lose_from.value_or(0),
                       " to be cut, the reader stands after ", reader.last().position.ToString()));
    }
    tail.verdict = TailVerdict::kTorn;
    tail.what = absl::StrCat("by an operator's order everything from seq ", tail.facts.bad_seq,
                             " on is given up, though none of it is damaged");
  } else if (tail.verdict == TailVerdict::kDamaged) {
    if (options.lose_from != tail.facts.bad_seq) return tail.Error(layout);
    tail.verdict = TailVerdict::kTorn;
    tail.what = absl::StrCat("by an operator's order, since seq ", tail.facts.bad_seq, " is damaged: ", tail.what, "; ",
                             tail.evidence);
  }
  // Damage is refused, unless an operator has named it.
  KB_CHECK(tail.verdict != TailVerdict::kDamaged);
  return TailRecovery(fs, layout, reader, mark, options, std::move(tail)).Recover();
}

absl::Status SettlePoison(FileSystem& fs, const JournalLayout& layout, SyncMark& mark, WriterIs writer) {
  const SegmentNumber poisoned = mark.poisoned();
  if (!mark.in_doubt()) return absl::OkStatus();
  if (Planted(PlantedBug::kPoisonForgotten)) return mark.ClearPoison();
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> numbers, layout.ListSegments(fs));
  if (writer != WriterIs::kDead && !numbers.empty()) {
    KB_RETURN_IF_ERROR(CheckNoWriters(fs, layout, std::max(poisoned, numbers.front())));
  }
  std::vector<UnsyncedSegment> segments;
  for (const SegmentNumber number : numbers) {
    if (number < poisoned) continue;
    KB_RETURN_IF_ERROR(RewriteSegment(fs, layout.segment(number), 0, kWhole));
    segments.push_back({.number = number});
  }
  KB_RETURN_IF_ERROR(SegmentSync(fs, layout, mark).Sync(absl::MakeSpan(segments), kWhole));
  mark.NoteSettled();
  return absl::OkStatus();
}

absl::Status SyncJournal(FileSystem& fs, const JournalLayout& layout, SyncMark& mark, SegmentNumber last,
                         uint64_t last_bytes, Seq seq) {
  if (Planted(PlantedBug::kSealNotSynced)) {
    mark.Advance(seq);
    return absl::OkStatus();
  }
  KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs, layout, mark.synced(), last));
  // If the last existing segment is no longer `last`, all of it counts.
  const bool ends = !segments.empty() && segments.back().number == last;
  return SegmentSync(fs, layout, mark).SyncAndMark(absl::MakeSpan(segments), ends ? last_bytes : kWhole, seq);
}

void AddToReport(const RecoveryOutcome& outcome, RecoveryReport& report) {
  if (!outcome.torn) return;
  report.bytes_cut += outcome.bytes_cut;
  report.why.push_back(outcome.why);
  report.aside.insert(report.aside.end(), outcome.aside.begin(), outcome.aside.end());
}

}  // namespace kekbit
