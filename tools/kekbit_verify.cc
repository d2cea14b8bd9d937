// The command Verify.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/segment_scan.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/journal_base.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/recovery/without_files.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/stats/stats_files.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_parts.h"
#include "tools/kekbit_show.h"

namespace kekbit {
namespace {

absl::string_view MessageOf(const absl::Status& status) {
  return absl::string_view(status.message().data(), status.message().size());
}

// Returns the place that a message names; 0: none.
uint64_t OffsetIn(absl::string_view message) {
  constexpr absl::string_view kAt = "at offset ";
  const size_t at = message.find(kAt);
  if (at == absl::string_view::npos) return 0;
  const absl::string_view rest = message.substr(at + kAt.size());
  uint64_t offset = 0;
  return absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &offset) ? offset : 0;
}

// Returns true if the file begins as a channel: if not, it is no damaged channel, but something
// else.
absl::StatusOr<bool> HasSignature(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  std::array<uint8_t, sizeof(kSignature)> bytes = {};
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(bytes.data(), bytes.size())));
  return size == bytes.size() && LoadUnaligned<uint64_t>(bytes.data()) == kSignature;
}

class Verifier final {
 public:
  Verifier(const CommandOptions& options, Output& output)
      : options_(options), output_(output), view_(*options.file_system) {}

  // Goes through one channel, or the next segment.
  absl::Status Check(const Part& part);

  // Checks the files beside a journal's segments; `mark` is as before those were read. Then checks
  // whether a replica can open the journal, and what a new primary would make of its end, unless
  // somebody writes to it.
  absl::Status CheckJournal(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced);

  bool sound() const { return sound_; }

 private:
  struct Counts {
    uint64_t records = 0;
    uint64_t heartbeats = 0;
    SegmentItem last;  // the item at the end
  };

  // Reports damage; `reason` names the file and says what is wrong there.
  void Damage(const Part& part, uint64_t offset, absl::string_view reason);
  // Reports something to know that is no damage of the file itself.
  void Note(absl::string_view kind, const std::string& path, const std::string& text);
  // Handles a segment that was listed and does not exist: the journal was trimmed, or there is a
  // hole.
  absl::Status Vanished(const Part& part);
  // Checks that the segment follows what was read before.
  void CheckLink(const Part& part, const SegmentScan& scan, bool first);
  // Reports a journal whose first segments were dropped.
  void Begins(const Part& part, Seq first);
  absl::Status CheckSmallOnes(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced);
  // Checks each snapshot, and whether a replica finds a place to begin.
  void CheckStart(const JournalLayout& layout, const StartSurvey& survey);
  void CheckSnapshot(const SnapshotSeen& snapshot, const SnapshotSeen* newest_good);
  absl::Status CheckEnd(const JournalLayout& layout, const std::optional<SyncMark>& mark, const StartSurvey& survey);
  void Summary(const Part& part, const Counts& counts, const std::optional<ChainLink>& last);

  const CommandOptions& options_;
  Output& output_;
  WithoutFiles view_;  // without what is bad and in the way, so that the rest can be looked at
  bool sound_ = true;
  bool part_sound_ = true;
  bool writer_alive_ = false;      // of the last segment
  std::string stopped_by_;         // a small file that is in the way of every replica; empty: none
  SegmentNumber segment_ = 0;      // the last segment; 0: none yet
  std::optional<ChainLink> link_;  // what its last frame was, unless it could not be read
};

absl::Status Verifier::Check(const Part& part) {
  part_sound_ = true;
  const bool first = segment_ == 0;
  if (segment_ != 0 && part.segment != segment_ + 1) {
    link_.reset();
    Damage(part, 0,
           absl::StrCat(part.path, ": segment ", part.segment, " comes after segment ", segment_,
                        ": what is between them is missing"));
  }
  segment_ = part.segment;
  absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(*options_.file_system, part.path, part.segment);
  if (!scan.ok()) {
    link_.reset();
    if (part.segment != 0) {
      if (absl::IsNotFound(scan.status())) return Vanished(part);
      const absl::Status why = WhyUnreadable(*options_.file_system, part.path, scan.status());
      if (absl::IsDataLoss(why)) Damage(part, 0, MessageOf(why));
      return absl::IsDataLoss(why) ? absl::OkStatus() : why;
    }
    if (!absl::IsDataLoss(scan.status())) return scan.status();
    KB_ASSIGN_OR_RETURN(const bool is_channel, HasSignature(*options_.file_system, part.path));
    if (!is_channel) return scan.status();
    Damage(part, 0, MessageOf(scan.status()));
    return absl::OkStatus();
  }
  CheckLink(part, *scan, first);
  Counts counts;
  absl::Status unknown;
  for (;;) {
    SegmentItem item = scan->Next();
    if (absl::IsDataLoss(item.status)) {
      Damage(part, item.in_channel.offset, MessageOf(item.status));
    } else if (unknown.ok()) {
      unknown = item.status;
    }
    if (item.is_last()) {
      counts.last = std::move(item);
      break;
    }
    ++(item.in_channel.kind == ChannelItemKind::kRecord ? counts.records : counts.heartbeats);
  }
  // A writer may go on at a WATERMARK: into a file that is no longer long enough.
  if (counts.last.in_channel.kind == ChannelItemKind::kWatermarkMarker && scan->scan().is_cut()) {
    const ChannelFile& channel = scan->scan().channel();
    Damage(part, channel.data_bytes(),
           absl::StrCat(part.path, ": the file was cut at offset ", channel.data_bytes(), "; the data area has ",
                        channel.header.capacity(), " bytes"));
  }
  if (scan->follows()) link_ = scan->last();
  writer_alive_ = scan->scan().WriterAlive().value_or(false);
  if (first && scan->follows() && scan->follows()->position.seq != 0) Begins(part, scan->follows()->position.seq + 1);
  Summary(part, counts, scan->follows() ? link_ : std::nullopt);
  return unknown;
}

void Verifier::Damage(const Part& part, uint64_t offset, absl::string_view reason) {
  sound_ = part_sound_ = false;
  if (!options_.json) {
    output_.Line(absl::StrCat("damage: ", reason));
    return;
  }
  JsonLine line;
  line.String("file", part.path);
  if (part.segment != 0) line.Number("segment", part.segment);
  output_.Line(
      line.Number("offset", offset).String("kind", "damage").Bool("ok", false).String("reason", reason).Take());
}

void Verifier::Note(absl::string_view kind, const std::string& path, const std::string& text) {
  if (options_.json) {
    output_.Line(JsonLine().String("file", path).String("kind", kind).String("what", text).Take());
  } else {
    output_.Line(absl::StrCat(kind, ": ", text));
  }
}

absl::Status Verifier::Vanished(const Part& part) {
  const JournalLayout layout(options_.path);
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> kept, layout.ListSegments(*options_.file_system));
  if (!kept.empty() && kept.front() < part.segment) {
    Damage(part, 0, absl::StrCat(part.path, ": the segment is missing, segment ", kept.front(), " is still there"));
    return absl::OkStatus();
  }
  Note("cut", part.path, absl::StrCat(part.path, ": the journal was cut meanwhile, and goes on behind this segment"));
  segment_ = 0;
  return absl::OkStatus();
}

void Verifier::CheckLink(const Part& part, const SegmentScan& scan, bool first) {
  if (part.segment == 0) return;
  if (!scan.follows()) {
    link_.reset();
    Damage(part, 0, absl::StrCat(part.path, ": the channel is not a segment of a journal"));
    return;
  }
  const ChainLink& follows = *scan.follows();
  // The first segment may follow a snapshot, whatever its number is.
  const std::optional<ChainLink> before = first && follows.position.seq == 0 ? ChainLink{} : link_;
  if (!before || (before->position == follows.position && before->crc32c == follows.crc32c)) return;
  Damage(
      part, 0,
      absl::StrCat(part.path, ": the segment follows ", follows.position.ToString(), " with checksum ", follows.crc32c,
                   ", the journal before it ends with ", before->position.ToString(), " and ", before->crc32c));
}

void Verifier::Summary(const Part& part, const Counts& counts, const std::optional<ChainLink>& last) {
  const uint64_t offset = counts.last.in_channel.offset;
  if (options_.json) {
    JsonLine line;
    line.String("file", part.path);
    if (part.segment != 0) line.Number("segment", part.segment);
    line.Number("offset", offset).String("kind", KindName(counts.last)).Bool("ok", part_sound_);
    line.Number("records", counts.records).Number("heartbeats", counts.heartbeats);
    if (last) line.Number("epoch", last->position.epoch).Number("seq", last->position.seq);
    output_.Line(line.Take());
    return;
  }
  const std::string end = last ? absl::StrCat(", up to ", last->position.ToString()) : "";
  output_.Line(absl::StrCat(part.path, ": ", part_sound_ ? "ok" : "DAMAGED", ", ", counts.records, " record(s), ",
                            counts.heartbeats, " heartbeat(s)", end, "; ", KindName(counts.last), " at offset ",
                            offset));
}

void Verifier::Begins(const Part& part, Seq first) {
  if (options_.json) {
    output_.Line(JsonLine().String("file", part.path).String("kind", "begin").Number("first_seq", first).Take());
  } else {
    output_.Line(absl::StrCat(part.path, ": the journal begins at seq ", first, ", what was before is not kept"));
  }
}

absl::Status Verifier::CheckSmallOnes(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced) {
  FileSystem& fs = *options_.file_system;
  KB_ASSIGN_OR_RETURN(const std::vector<BadFile> bad_files, CheckSmallFiles(fs, layout));
  for (const BadFile& bad : bad_files) view_.Hide(bad.path);
  for (const BadFile& bad : bad_files) {
    if (!bad.damage) {
      Note("note", bad.path, bad.reason);
      continue;
    }
    Damage({.segment = 0, .path = bad.path}, OffsetIn(bad.reason), bad.reason);
    if (bad.stops && stopped_by_.empty()) stopped_by_ = bad.path;
  }
  // Nobody syncs them: a power failure leaves zeros, old bytes, or less than all of them.
  for (const std::string& path : ListStatsFiles(view_, layout)) {
    const absl::Status status = ReadReplicaStats(fs, path).status();
    if (status.ok() || absl::IsNotFound(status)) continue;
    Note("note", path,
         absl::StrCat(status.message(), "; only `kekbit stat` reads it, and the journal is sound without it"));
  }
  if (!sound_ || !link_) return absl::OkStatus();
  const absl::StatusOr<Epoch> epoch = EpochStore::Read(fs, layout.epoch());
  if (epoch.ok() && link_->position.epoch > *epoch) {
    Damage({.segment = 0, .path = layout.epoch()}, 0,
           absl::StrCat(layout.epoch(), ": says that epoch ", *epoch, " is the newest, the journal ends in epoch ",
                        link_->position.epoch));
  }
  if (mark && link_->position.seq < synced) {
    Damage({.segment = 0, .path = layout.synced()}, 0,
           absl::StrCat(layout.synced(), ": says that everything up to seq ", synced,
                        " was synced, the journal ends with seq ", link_->position.seq));
  }
  return absl::OkStatus();
}

void Verifier::CheckSnapshot(const SnapshotSeen& snapshot, const SnapshotSeen* newest_good) {
  const Part part = {.segment = 0, .path = snapshot.path};
  const bool counts = &snapshot == newest_good;
  if (!snapshot.good.ok()) {
    const std::string instead = newest_good == nullptr ? "there is no good one"
                                : newest_good->seq > snapshot.seq
                                    ? "there is a newer one that is good"
                                    : absl::StrCat("for the one of seq ", newest_good->seq);
    Damage(part, OffsetIn(MessageOf(snapshot.good)),
           absl::StrCat(snapshot.good.message(), "; a replica passes it over: ", instead));
  } else if (!snapshot.joins.ok()) {
    Damage(part, 0,
           absl::StrCat(snapshot.path, ": the snapshot stands behind ", snapshot.last.position.ToString(),
                        ", where the journal does not go on: ", snapshot.joins.message(), "; ",
                        counts ? "it is the newest good one, so no replica opens the journal"
                               : "as long as there is a newer one that is good, nothing needs it"));
  } else if (options_.json) {
    JsonLine line;
    line.String("file", snapshot.path).String("kind", "snapshot").Bool("ok", true);
    output_.Line(line.Number("epoch", snapshot.last.position.epoch).Number("seq", snapshot.seq).Take());
  } else {
    output_.Line(absl::StrCat(snapshot.path, ": ok, a snapshot behind ", snapshot.last.position.ToString()));
  }
}

void Verifier::CheckStart(const JournalLayout& layout, const StartSurvey& survey) {
  const SnapshotSeen* const newest = survey.newest_good();
  for (const SnapshotSeen& snapshot : survey.snapshots) CheckSnapshot(snapshot, newest);
  if (!survey.there.ok()) Damage({.segment = 0, .path = layout.segments()}, 0, MessageOf(survey.there));
  if (newest != nullptr || survey.begins.ok()) return;
  Damage(
      {.segment = 0, .path = layout.directory()}, 0,
      absl::StrCat(survey.begins.message(), "; there is no good snapshot to begin with: no replica opens the journal"));
}

absl::Status Verifier::CheckEnd(const JournalLayout& layout, const std::optional<SyncMark>& mark,
                                const StartSurvey& survey) {
  const std::string repair = absl::StrCat("to see what can be done: kekbit repair ", layout.directory());
  if (!survey.opens().ok()) {  // why was said
    const std::string why(MessageOf(survey.opens()));
    const bool tells = absl::StrContains(why, "kekbit repair");
    Note("can't be opened", layout.directory(), tells ? why : absl::StrCat(why, "; ", repair));
    return absl::OkStatus();
  }
  if (!stopped_by_.empty()) {
    Note("can't be opened", layout.directory(),
         absl::StrCat(layout.directory(), ": ", stopped_by_, " is in the way; ", repair));
  }
  JournalBase base;
  if (const SnapshotSeen* const newest = survey.newest_good()) base.snapshot = *newest;
  const absl::StatusOr<JournalEnd> end = FindEnd(view_, layout, mark ? &*mark : nullptr, base);
  if (!end.ok()) {
    Note("can't be opened", layout.directory(), absl::StrCat(end.status().message(), "; ", repair));
    return absl::OkStatus();
  }
  const JournalTail& tail = end->tail;
  if (tail.verdict == TailVerdict::kClean) {
    if (sound_ || !stopped_by_.empty()) return absl::OkStatus();
    const std::string from = base.snapshot ? absl::StrCat("begins with the snapshot ", base.snapshot->path)
                                           : std::string("begins with seq 1");
    Note("can be opened", layout.directory(),
         absl::StrCat(layout.directory(), ": a replica ", from, ", needs nothing that is damaged, and reads up to ",
                      end->last.position.ToString(), "; ", repair));
    return absl::OkStatus();
  }
  const bool torn = tail.verdict == TailVerdict::kTorn;
  const std::string what = !torn ? std::string(MessageOf(tail.Error(layout)))
                           : stopped_by_ == layout.synced()
                               ? absl::StrCat(tail.what, "; whether seq ", tail.facts.bad_seq,
                                              " was synced is not known: ", layout.synced(), " can't be read")
                               : absl::StrCat(tail.what, "; nothing shows that seq ", tail.facts.bad_seq,
                                              " was synced: the next primary keeps what is there aside, and goes on");
  if (sound_) {
    Damage({.segment = 0, .path = tail.path}, tail.offset, what);
    return absl::OkStatus();
  }
  if (options_.json) {
    JsonLine line;
    line.String("file", tail.path).Number("offset", tail.offset).String("kind", torn ? "torn tail" : "damaged end");
    output_.Line(line.Number("seq", tail.facts.bad_seq).String("what", what).Take());
  } else {
    output_.Line(absl::StrCat(torn ? "torn tail: " : "no torn tail: ", what));
  }
  return absl::OkStatus();
}

absl::Status Verifier::CheckJournal(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced) {
  FileSystem& fs = *options_.file_system;
  KB_RETURN_IF_ERROR(CheckSmallOnes(layout, mark, synced));
  KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(view_, layout));
  for (const SnapshotSeen& snapshot : survey.snapshots) {
    // A newer version, say: nothing is known of the snapshot.
    if (!snapshot.good.ok() && !absl::IsDataLoss(snapshot.good)) return snapshot.good;
  }
  CheckStart(layout, survey);
  KB_ASSIGN_OR_RETURN(const bool held, LeaseHeld(fs, layout));
  return held || writer_alive_ ? absl::OkStatus() : CheckEnd(layout, mark, survey);
}

}  // namespace

absl::StatusOr<bool> Verify(const CommandOptions& options, Output& output) {
  const JournalLayout layout(options.path);
  absl::StatusOr<std::vector<Part>> parts = PartsOf(*options.file_system, options.path);
  // A journal that has no segment: none yet, or all are gone, or something stands in the place of
  // their directory.
  if (absl::IsFailedPrecondition(parts.status()) && HoldsJournal(*options.file_system, layout)) {
    parts = std::vector<Part>();
  }
  KB_RETURN_IF_ERROR(parts.status());
  Verifier verifier(options, output);
  const bool journal = parts->empty() || parts->front().segment != 0;
  std::optional<SyncMark> mark;
  if (journal) {
    if (auto opened = SyncMark::OpenForReading(*options.file_system, layout.synced()); opened.ok()) {
      mark = *std::move(opened);
    }
  }
  const Seq synced = mark ? mark->synced() : 0;
  for (const Part& part : *parts) KB_RETURN_IF_ERROR(verifier.Check(part));
  if (journal) KB_RETURN_IF_ERROR(verifier.CheckJournal(layout, mark, synced));
  return verifier.sound();
}

}  // namespace kekbit
